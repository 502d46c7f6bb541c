/** Which equality of each rule leads to it: one that must hold for the rule to match. */
import type { Condition, Leaf, Rule } from '../../../api/rule.ts';
import type { FieldCache } from './field-cache.ts';
import { equalValues } from './leaf.ts';

/** A rule under more values than this would cost more memory than its evaluation costs time. */
const VALUES_MAX = 64;

/** A leaf that holds exactly when the field in `slot` has one of `values`. */
export interface Keys {
  leaf: Leaf;
  slot: number;
  values: ReadonlySet<unknown>;
}

interface SlotUse {
  rules: number;
  values: Set<unknown>;
}

/**
 * The equality to index each rule by, undefined for a rule that has none.
 * A field costs one look-up a message, shared by the rules it indexes, and then lets through the share of messages
 * that its number of distinct values suggests: the field with the smallest sum is taken.
 */
export function chooseKeys(rules: readonly Rule[], fields: FieldCache): (Keys | undefined)[] {
  const candidates = rules.map((rule) => necessaryKeys(rule.conditions, fields));
  const uses = new Map<number, SlotUse>();
  for (const keysOfRule of candidates) {
    for (const keys of keysOfRule) {
      const use = uses.get(keys.slot) ?? { rules: 0, values: new Set() };
      uses.set(keys.slot, use);
      use.rules++;
      for (const value of keys.values) use.values.add(value);
    }
  }
  return candidates.map((keysOfRule) => {
    let best: Keys | undefined;
    let bestCost = Number.POSITIVE_INFINITY;
    for (const keys of keysOfRule) {
      const use = uses.get(keys.slot);
      const cost = use === undefined ? bestCost : keys.values.size / (use.values.size + 1) + 1 / use.rules;
      if (cost < bestCost) {
        best = keys;
        bestCost = cost;
      }
    }
    return best;
  });
}

/** Equalities that are true whenever the condition is: the leaf itself, and those under nothing but ANDs. */
function necessaryKeys(condition: Condition, fields: FieldCache): Keys[] {
  if ('combinator' in condition) {
    return condition.combinator === 'AND' ? condition.conditions.flatMap((part) => necessaryKeys(part, fields)) : [];
  }
  if (condition.op !== 'equals' && condition.op !== 'in') return [];
  const slot = fields.slotOf(condition.field);
  const scalars = condition.op === 'in' ? condition.value : [condition.value];
  const values = new Set<unknown>(scalars.flatMap(equalValues));
  return fields.isMany(slot) || values.size > VALUES_MAX ? [] : [{ leaf: condition, slot, values }];
}
