import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseRule, type Condition, type Rule } from '../../../api/rule.ts';
import { compileRules } from './rule-set.ts';

const ruleOf = (conditions: unknown, more: Record<string, unknown> = {}): Rule =>
  parseRule({ id: 'r', conditions, actions: [{ workflow: 'w' }], ...more });

function matches(condition: unknown, message: Record<string, unknown>): boolean {
  return compileRules([ruleOf(condition)]).match(message, {}).length === 1;
}

describe('compileRules', () => {
  const yes = { field: 'a', op: 'exists' };
  const idsOf = (rules: readonly Rule[], message: Record<string, unknown>): string[] =>
    compileRules(rules)
      .match(message, {})
      .map(({ id }) => id);

  it('gives the matching rules by priority, highest first, then by id', () => {
    const rules = [
      ruleOf(yes, { id: 'b', priority: 1 }),
      ruleOf({ field: 'a', op: 'equals', value: 1 }, { id: 'Z', priority: 1 }),
      ruleOf({ field: 'a', op: 'in', value: [1, 2] }, { id: 'top', priority: 9 }),
      ruleOf({ field: 'b', op: 'equals', value: 1 }, { id: 'a', priority: 1 }),
      ruleOf(yes, { id: 'last' }),
      ruleOf({ field: 'b', op: 'equals', value: 2 }, { id: 'no', priority: 10 }),
    ];
    expect(idsOf(rules, { a: 1, b: 1 })).toEqual(['top', 'Z', 'a', 'b', 'last']);
    expect(idsOf(rules, {})).toEqual([]);
  });

  it('ends after a matching rule with stop, not after one that does not match', () => {
    const rules = [
      ruleOf({ field: 'a', op: 'equals', value: 1 }, { id: 'one', priority: 3, stop: true }),
      ruleOf(yes, { id: 'two', priority: 2, stop: true }),
      ruleOf({ field: 'b', op: 'equals', value: 1 }, { id: 'three', priority: 1 }),
    ];
    expect(idsOf(rules, { a: 1, b: 1 })).toEqual(['one']);
    expect(idsOf(rules, { a: 2, b: 1 })).toEqual(['two']);
    expect(idsOf(rules, { b: 1 })).toEqual(['three']);
  });

  it('leaves disabled rules out', () => {
    const set = compileRules([ruleOf(yes, { id: 'on' }), ruleOf(yes, { id: 'off', enabled: false })]);
    expect(set.size).toBe(1);
    expect(set.match({ a: 1 }, {}).map(({ id }) => id)).toEqual(['on']);
  });

  it('takes AND, OR and NOT at their word', () => {
    const a = { field: 'a', op: 'equals', value: 1 };
    const b = { field: 'b', op: 'equals', value: 1 };
    const group = (combinator: string, ...conditions: unknown[]) => ({ combinator, conditions });
    expect(matches(group('AND', a, b), { a: 1 })).toBe(false);
    expect(matches(group('OR', a, b), { b: 1 })).toBe(true);
    expect(matches(group('NOT', a), {})).toBe(true);
    expect(matches(group('AND', group('NOT', group('OR', a, b)), yes), { a: 2 })).toBe(true);
  });

  it('tests a leaf that a YAML alias has put under AND and under NOT as well', () => {
    const shared = { field: 'a', op: 'equals', value: 1 };
    const conditions = { combinator: 'AND', conditions: [shared, { combinator: 'NOT', conditions: [shared] }] };
    expect(matches(conditions, { a: 1 })).toBe(false);
  });

  it('keeps nothing of one message for the next', () => {
    const set = compileRules([ruleOf({ combinator: 'AND', conditions: [yes, { field: 'b', op: 'not_exists' }] })]);
    expect(set.match({ a: 1 }, {})).toHaveLength(1);
    expect(set.match({ a: 1, b: 1 }, {})).toHaveLength(0);
    expect(set.match({}, {})).toHaveLength(0);
    expect(set.match({ a: null }, {})).toHaveLength(1);
  });
});

/* The meaning of rules written down plainly: no slots, no index, no closures. */

type Json = unknown;
const isObject = (value: Json): value is Record<string, Json> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function select(value: Json, path: string): Json[] {
  const [, step = '', rest = ''] = /^(\[[^\]]*\]|\.?[^.[]+)(.*)$/.exec(path) ?? [];
  if (step === '') return [value];
  if (step === '[*]') return Array.isArray(value) ? value.flatMap((item: Json) => select(item, rest)) : [];
  if (step.startsWith('[')) {
    const index = Number(step.slice(1, -1));
    return Array.isArray(value) && index < value.length ? select(value[index], rest) : [];
  }
  const name = step.replace(/^\./, '');
  return isObject(value) && Object.keys(value).includes(name) ? select(value[name], rest) : [];
}

function same(field: Json, wanted: Json): boolean {
  if (typeof field === 'number' && typeof wanted === 'string')
    return /^-?\d+$/.test(wanted) && field === Number(wanted);
  return field === wanted;
}

const PATTERNS = new Map<Json, RegExp>([
  ['^a', /^a/],
  ['b$', /b$/],
  ['[0-9]', /[0-9]/],
]);

function passes(op: string, wanted: Json, field: Json): boolean {
  const list = (value: Json): Json[] => (Array.isArray(value) ? value : []);
  switch (op) {
    case 'equals':
      return same(field, wanted);
    case 'greater_than':
      return typeof field === 'number' && field > Number(wanted);
    case 'less_or_equal':
      return typeof field === 'number' && field <= Number(wanted);
    case 'in_range':
      return typeof field === 'number' && field >= Number(list(wanted)[0]) && field <= Number(list(wanted)[1]);
    case 'in':
      return list(wanted).some((one) => same(field, one));
    case 'contains':
      if (typeof field === 'string') return typeof wanted === 'string' && field.split(wanted).length > 1;
      return list(field).some((item) => same(item, wanted));
    case 'regex':
      return typeof field === 'string' && PATTERNS.get(wanted)?.test(field) === true;
    case 'is_null':
      return field === null;
    default:
      throw new Error(`no such op here: ${op}`);
  }
}

function holds(condition: Condition, message: Record<string, Json>): boolean {
  if ('combinator' in condition) {
    const inner = condition.conditions.map((part) => holds(part, message));
    if (condition.combinator === 'NOT') return inner[0] === false;
    return condition.combinator === 'AND' ? !inner.includes(false) : inner.includes(true);
  }
  const { field, op, value } = condition;
  const found = select(message, field);
  if (op === 'exists') return found.length > 0;
  if (op === 'not_exists') return found.length === 0;
  if (!op.startsWith('not_')) return found.some((one) => passes(op, value, one));
  if (found.length === 0) return op === 'not_equals';
  return !found.some((one) => passes(op.replace('not_', ''), value, one));
}

function expected(rules: readonly Rule[], message: Record<string, Json>): string[] {
  const ids: string[] = [];
  const ordered = rules
    .filter(({ enabled }) => enabled)
    .sort((a, b) => b.priority - a.priority || (a.id < b.id ? -1 : 1));
  for (const rule of ordered) {
    if (!holds(rule.conditions, message)) continue;
    ids.push(rule.id);
    if (rule.stop === true) break;
  }
  return ids;
}

describe('compiled and indexed rules', () => {
  const scalar = fc.constantFrom<unknown>('a', 'b', '1', '2', 1, 2, true, false, null, 'ab');
  const number = fc.constantFrom<unknown>(0, 1, 2, '1', '2');
  const field = fc.constantFrom('t', 'u', 'v.w', 'l', 'l[0]', 'l[*]', 'o[*].t', 'o[*].l[*]', 'toString');
  const leaf = fc.oneof(
    { weight: 4, arbitrary: fc.record({ field, op: fc.constantFrom('equals', 'not_equals'), value: scalar }) },
    fc.record({ field, op: fc.constantFrom('contains', 'not_contains'), value: scalar }),
    fc.record({ field, op: fc.constantFrom('in', 'not_in'), value: fc.array(scalar, { minLength: 1, maxLength: 3 }) }),
    fc.record({ field, op: fc.constantFrom('greater_than', 'less_or_equal'), value: number }),
    fc.record({ field, op: fc.constant('in_range'), value: fc.constantFrom([0, 1], ['1', 2], [2, 2]) }),
    fc.record({ field, op: fc.constant('regex'), value: fc.constantFrom(...PATTERNS.keys()) }),
    fc.record({ field, op: fc.constantFrom('exists', 'not_exists', 'is_null') }),
  );
  const { condition } = fc.letrec<{ condition: unknown }>((tie) => ({
    condition: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      leaf,
      fc.record({
        combinator: fc.constantFrom('AND', 'AND', 'OR'),
        conditions: fc.array(tie('condition'), { minLength: 1, maxLength: 4 }),
      }),
      fc.record({ combinator: fc.constant('NOT'), conditions: fc.tuple(tie('condition')) }),
    ),
  }));
  const flags = { priority: fc.nat({ max: 2 }), stop: fc.boolean(), enabled: fc.constantFrom(true, true, true, false) };
  const ruleSet = fc
    .array(fc.record({ conditions: condition, ...flags }), { minLength: 1, maxLength: 12 })
    .map((rules) => rules.map(({ conditions, ...more }, i) => ruleOf(conditions, { id: `r${i}`, ...more })));
  const list = fc.array(scalar, { maxLength: 3 });
  const message = fc.record(
    {
      t: scalar,
      u: fc.oneof(scalar, list),
      v: fc.oneof(scalar, fc.record({ w: scalar })),
      l: fc.oneof(scalar, list),
      o: fc.array(fc.record({ t: scalar, l: list }, { requiredKeys: [] }), { maxLength: 3 }),
    },
    { requiredKeys: [] },
  );

  it('give what the plain meaning gives, message after message', () => {
    fc.assert(
      fc.property(ruleSet, fc.array(message, { minLength: 1, maxLength: 6 }), (rules, messages) => {
        const set = compileRules(rules);
        for (const one of messages) {
          expect(set.match(one, {}).map(({ id }) => id)).toEqual(expected(rules, one));
        }
      }),
      { numRuns: 1_500 },
    );
  });
});
