import { describe, expect, it } from '@jest/globals';
import { parseRule, type Rule } from '../../../api/rule.ts';
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
