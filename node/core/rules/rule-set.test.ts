import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseRule, type Condition, type Rule } from '../../../api/rule.ts';
import type { Envelope } from './field-cache.ts';
import { compileRules } from './rule-set.ts';

const ruleOf = (conditions: unknown, more: Record<string, unknown> = {}): Rule =>
  parseRule({ id: 'r', conditions, actions: [{ workflow: 'w' }], ...more });

function matches(condition: unknown, message: Record<string, unknown>, envelope: Envelope = {}): boolean {
  return compileRules([ruleOf(condition)]).match(message, envelope).length === 1;
}

/** JSON.parse, because a literal would not make `__proto__` a property. */
const messageOf = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;

describe('a leaf', () => {
  const message = messageOf(`{
    "text": "Paid in full", "number": 10000, "quoted": "10000", "yes": true, "nothing": null, "zero": 0, "empty": "",
    "tags": ["new", 5, null, ["deep"]], "none": [], "user": {"city": "Bern", "a b": {"c-d": 1}},
    "items": [{"sku": "A", "qty": 1, "codes": ["x", "y"]}, {"sku": "B", "qty": 20}, 7]
  }`);

  it.each<[string, string, unknown, boolean]>([
    ['text', 'equals', 'Paid in full', true],
    ['text', 'equals', 'paid in full', false],
    ['number', 'equals', 10000, true],
    ['number', 'equals', '10000', true],
    ['number', 'equals', '1e4', true],
    ['number', 'equals', ' 10000', false],
    ['quoted', 'equals', '10000', true],
    ['quoted', 'equals', 10000, false],
    ['quoted', 'equals', '1e4', false],
    ['zero', 'equals', '-0', true],
    ['zero', 'equals', false, false],
    ['zero', 'equals', '', false],
    ['yes', 'equals', true, true],
    ['yes', 'equals', 'true', false],
    ['nothing', 'equals', null, true],
    ['missing', 'equals', null, false],
    ['user', 'equals', '[object Object]', false],
    ['text', 'not_equals', 'other', true],
    ['number', 'not_equals', '10000', false],
    ['missing', 'not_equals', 'x', true],
    ['nothing', 'not_equals', null, false],
    ['tags[*]', 'not_equals', 'new', false],
    ['tags[*]', 'not_equals', 'old', true],
    ['none[*]', 'not_equals', 'new', true],
    ['number', 'greater_than', '9999.5', true],
    ['number', 'greater_than', 10000, false],
    ['number', 'greater_or_equal', 10000, true],
    ['number', 'less_than', 10000, false],
    ['number', 'less_or_equal', '10000', true],
    ['zero', 'less_than', 1, true],
    ['quoted', 'greater_than', 1, false],
    ['nothing', 'less_than', 1, false],
    ['missing', 'less_than', 1, false],
    ['yes', 'greater_than', 0, false],
    ['number', 'in_range', [10000, 20000], true],
    ['number', 'in_range', [0, '10000'], true],
    ['number', 'in_range', [0, 9999], false],
    ['quoted', 'in_range', [0, 20000], false],
    ['text', 'contains', 'in', true],
    ['text', 'contains', 'IN', false],
    ['text', 'contains', 5, false],
    ['tags', 'contains', 'new', true],
    ['tags', 'contains', '5', true],
    ['tags', 'contains', null, true],
    ['tags', 'contains', 'deep', false],
    ['number', 'contains', '1', false],
    ['missing', 'contains', 'x', false],
    ['text', 'not_contains', 'out', true],
    ['tags', 'not_contains', 'new', false],
    ['missing', 'not_contains', 'x', false],
    ['text', 'starts_with', 'Paid', true],
    ['text', 'starts_with', 'full', false],
    ['text', 'ends_with', 'full', true],
    ['number', 'starts_with', '1', false],
    ['text', 'regex', '^Paid.*l$', true],
    ['text', 'regex', '(?i)IN', true],
    ['text', 'regex', '^in', false],
    ['number', 'regex', '1', false],
    ['text', 'in', ['x', 'Paid in full'], true],
    ['number', 'in', ['10000'], true],
    ['quoted', 'in', [10000], false],
    ['nothing', 'in', [null], true],
    ['text', 'not_in', ['x'], true],
    ['number', 'not_in', [1, '10000'], false],
    ['missing', 'not_in', ['x'], false],
    ['nothing', 'exists', true, true],
    ['missing', 'exists', true, false],
    ['missing', 'not_exists', true, true],
    ['nothing', 'not_exists', true, false],
    ['nothing', 'is_null', true, true],
    ['missing', 'is_null', true, false],
    ['zero', 'is_null', true, false],
    ['user.city', 'equals', 'Bern', true],
    ['user.a b.c-d', 'equals', 1, true],
    ['user.city.name', 'exists', true, false],
    ['nothing.name', 'exists', true, false],
    ['items[1].sku', 'equals', 'B', true],
    ['items[3].sku', 'exists', true, false],
    ['items[*].sku', 'equals', 'B', true],
    ['items[*].sku', 'equals', 'C', false],
    ['items[*].qty', 'greater_than', 10, true],
    ['items[*].codes[*]', 'equals', 'y', true],
    ['items[*].codes[1]', 'equals', 'y', true],
    ['items[*].codes[*]', 'not_in', ['y'], false],
    ['items[*].none', 'not_exists', true, true],
    ['items[*].codes', 'contains', 'x', true],
    ['items.sku', 'exists', true, false],
    ['items.0.sku', 'exists', true, false],
    ['items.length', 'exists', true, false],
    ['text.length', 'exists', true, false],
    ['text[0]', 'exists', true, false],
    ['user[0]', 'exists', true, false],
    ['user[*]', 'exists', true, false],
    ['constructor', 'exists', true, false],
    ['toString', 'exists', true, false],
    ['__proto__', 'exists', true, false],
    ['user.hasOwnProperty', 'exists', true, false],
  ])('%s %s %j is %s', (field, op, value, expected) => {
    const bare = ['exists', 'not_exists', 'is_null'].includes(op);
    expect(matches({ field, op, ...(!bare && { value }) }, message)).toBe(expected);
  });

  it('sees properties that only look like those of the prototype', () => {
    expect(matches({ field: 'constructor', op: 'equals', value: 'Ltd' }, { constructor: 'Ltd' })).toBe(true);
    expect(matches({ field: 'a.__proto__', op: 'equals', value: 1 }, messageOf('{"a":{"__proto__":1}}'))).toBe(true);
  });

  it('reads the source and the headers of the envelope, never those of the message', () => {
    const envelope = { source: 'shop', headers: { 'x-kind': 'test' } };
    expect(matches({ field: '$source', op: 'equals', value: 'shop' }, {}, envelope)).toBe(true);
    expect(matches({ field: '$headers.X-Kind', op: 'equals', value: 'test' }, {}, envelope)).toBe(true);
    expect(matches({ field: '$headers.constructor', op: 'exists' }, {}, envelope)).toBe(false);
    expect(matches({ field: '$source', op: 'exists' }, { $source: 'fake', source: 'fake' })).toBe(false);
    expect(matches({ field: '$headers.x', op: 'exists' }, { $headers: { x: 'fake' } })).toBe(false);
  });

  it('is true for a regex whose match is beyond what is read only when it does not need it', () => {
    const text = `${'x'.repeat(65_536)}needle`;
    expect(matches({ field: 'text', op: 'regex', value: 'needle' }, { text })).toBe(false);
    expect(matches({ field: 'text', op: 'regex', value: 'x' }, { text })).toBe(true);
  });

  it('takes linear time for the regex that hangs a backtracking engine', () => {
    const text = 'a'.repeat(50_000);
    expect(matches({ field: 'text', op: 'regex', value: '^(a+)+$' }, { text: `${text}!` })).toBe(false);
    expect(matches({ field: 'text', op: 'regex', value: '^(a|a)*b' }, { text })).toBe(false);
  });
});

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
