/**
 * The enabled rules of a catalog, compiled once and asked for every message.
 *
 * 1. Result order: priority, highest first, then id by code units; a matching rule with `stop` ends the result.
 * 2. A rule is in the index or in the scan list, never in both; a message reaches an indexed rule at most once.
 * 3. The index changes the cost of a result, never the result.
 */
import type { Condition, Leaf, Rule } from '../../../api/rule.ts';
import { FieldCache, type Envelope } from './field-cache.ts';
import { chooseKeys, type Keys } from './index-choice.ts';
import { compileLeaf, type Predicate } from './leaf.ts';

/** Rules by the value of one field. Their place in the result order stands for them. */
interface FieldIndex {
  slot: number;
  ranks: Map<unknown, number[]>;
}

const NO_RULES: readonly Rule[] = [];
const ALWAYS: Predicate = () => true;

/** Returns the set of the enabled rules among `rules`, which validation has accepted. */
export function compileRules(rules: readonly Rule[]): RuleSet {
  return new RuleSet(rules.filter((rule) => rule.enabled).sort(inResultOrder));
}

function inResultOrder(a: Rule, b: Rule): number {
  if (a.priority !== b.priority) return b.priority - a.priority;
  return a.id < b.id ? -1 : Number(a.id > b.id);
}

export class RuleSet {
  readonly #rules: readonly Rule[];
  readonly #fields = new FieldCache();
  readonly #predicates: readonly Predicate[];
  readonly #indexes: readonly FieldIndex[];
  /** Ranks of the rules that no equality leads to. */
  readonly #scanned: number[] = [];
  /** Ranks of what matched in the evaluation under way; kept to spare an allocation for each message. */
  readonly #matched: Int32Array;
  /** The answer when one rule alone matches, by rank. */
  readonly #alone: readonly (readonly Rule[])[];

  /** `rules` in result order, all enabled; `compileRules` is the way to get one. */
  constructor(rules: readonly Rule[]) {
    this.#rules = rules;
    this.#matched = new Int32Array(rules.length);
    this.#alone = rules.map((rule) => [rule]);
    const chosen = chooseKeys(rules, this.#fields);
    const indexes = new Map<number, FieldIndex>();
    chosen.forEach((keys, rank) => {
      if (keys === undefined) this.#scanned.push(rank);
      else addToIndex(indexes, keys, rank);
    });
    this.#indexes = [...indexes.values()];
    this.#predicates = rules.map(
      (rule, rank) => compileCondition(rule.conditions, this.#fields, chosen[rank]?.leaf) ?? ALWAYS,
    );
  }

  /** Number of compiled rules. */
  get size(): number {
    return this.#rules.length;
  }

  /** The rules that match, in result order. `message` is a parsed JSON object; the answer must not be changed. */
  match(message: Readonly<Record<string, unknown>>, envelope: Envelope): readonly Rule[] {
    this.#fields.begin(message, envelope);
    let count = 0;
    for (const index of this.#indexes) {
      const ranks = index.ranks.get(this.#fields.read(index.slot));
      if (ranks !== undefined) count = this.#test(ranks, count);
    }
    count = this.#test(this.#scanned, count);
    if (count === 0) return NO_RULES;
    if (count === 1) return this.#alone[this.#matched[0] ?? 0] ?? NO_RULES;
    return this.#inOrder(count);
  }

  /** Appends those of `ranks` that match to the first `count` matched; returns the new count. */
  #test(ranks: readonly number[], count: number): number {
    let next = count;
    for (const rank of ranks) {
      if (this.#predicates[rank]?.() === true) this.#matched[next++] = rank;
    }
    return next;
  }

  #inOrder(count: number): Rule[] {
    const ordered: Rule[] = [];
    for (const rank of this.#matched.subarray(0, count).sort()) {
      const rule = this.#rules[rank];
      if (rule === undefined) continue;
      ordered.push(rule);
      if (rule.stop === true) break;
    }
    return ordered;
  }
}

function addToIndex(indexes: Map<number, FieldIndex>, keys: Keys, rank: number): void {
  const index = indexes.get(keys.slot) ?? { slot: keys.slot, ranks: new Map<unknown, number[]>() };
  indexes.set(keys.slot, index);
  for (const value of keys.values) {
    const ranks = index.ranks.get(value);
    if (ranks === undefined) index.ranks.set(value, [rank]);
    else ranks.push(rank);
  }
}

/** The closure of a condition, without the leaf `known` to hold; undefined when nothing is left to test. */
function compileCondition(condition: Condition, fields: FieldCache, known?: Leaf): Predicate | undefined {
  if (condition === known) return undefined;
  if (!('combinator' in condition)) return compileLeaf(condition, fields);
  const { combinator, conditions } = condition;
  // Only through ANDs: a YAML alias may put the very leaf under a NOT as well, where it must be tested.
  const knownInside = combinator === 'AND' ? known : undefined;
  const parts = conditions.flatMap((part) => compileCondition(part, fields, knownInside) ?? []);
  const [first, second] = parts;
  if (first === undefined) return undefined;
  switch (combinator) {
    case 'NOT':
      return () => !first();
    case 'AND':
      if (second === undefined) return first;
      return parts.length === 2 ? () => first() && second() : () => parts.every((part) => part());
    case 'OR':
      return parts.length === 1 ? first : () => parts.some((part) => part());
  }
}
