import { describe, expect, it } from '@jest/globals';
import { parse as parseYaml } from 'yaml';
import { DistricError, type FieldError } from '../base/errors.ts';
import { RULE_CONDITIONS_MAX } from './condition.ts';
import { parseRule } from './rule.ts';

function faults(input: unknown): readonly FieldError[] {
  try {
    parseRule(input);
  } catch (error) {
    if (!(error instanceof DistricError)) throw error;
    expect(error.code).toBe('INVALID_DOCUMENT');
    return error.fields;
  }
  throw new Error('not refused');
}

const leaf = { field: 'amount', op: 'greater_than', value: 5 };
const rule = (conditions: unknown, more: Record<string, unknown> = {}) => ({
  id: 'r',
  conditions,
  actions: [{ workflow: 'w' }],
  ...more,
});

function nested(depth: number): unknown {
  let condition: unknown = leaf;
  for (let level = 1; level < depth; level++) condition = { combinator: 'AND', conditions: [condition] };
  return condition;
}

describe('parseRule', () => {
  it('takes a rule as people write it in YAML', () => {
    const parsed = parseRule(
      parseYaml(`
id: "high-value-payment"
version: 1
priority: 100
enabled: true
conditions:
  combinator: AND
  conditions:
    - field: "event_type"
      op: "equals"
      value: "payment_received"
    - field: "amount"
      op: "greater_than"
      value: "10000"
actions:
  - workflow: "fraud_check"
    params:
      risk_level: "high"
    timeout: 30
    retry: 3
`),
    );
    expect(parsed).toEqual({
      id: 'high-value-payment',
      version: 1,
      priority: 100,
      enabled: true,
      conditions: {
        combinator: 'AND',
        conditions: [
          { field: 'event_type', op: 'equals', value: 'payment_received' },
          { field: 'amount', op: 'greater_than', value: '10000' },
        ],
      },
      actions: [{ workflow: 'fraud_check', params: { risk_level: 'high' }, timeout: 30, retry: 3 }],
    });
  });

  it('fills in version 1, priority 0 and enabled, and keeps stop, dedupe and description', () => {
    expect(parseRule(rule(leaf))).toMatchObject({ version: 1, priority: 0, enabled: true });
    const more = { stop: true, dedupe: 'workflow', description: 'why', version: 'v2', enabled: false, priority: 7 };
    expect(parseRule(rule(leaf, more))).toMatchObject(more);
  });

  it.each([
    { op: 'equals', value: null },
    { op: 'not_equals', value: false },
    { op: 'less_than', value: '-1.5e3' },
    { op: 'in_range', value: [1, '1'] },
    { op: 'contains', value: 5 },
    { op: 'regex', value: '^(?i)ab+c$' },
    { op: 'in', value: ['a', 1, null] },
    { op: 'exists' },
    { op: 'not_exists', value: true },
    { op: 'is_null' },
  ])('takes the leaf %j', (test) => {
    expect(parseRule(rule({ field: '$headers.x-kind', ...test })).conditions).toEqual({
      field: '$headers.x-kind',
      ...test,
    });
  });

  it.each([
    [{ ...leaf, op: 'equal' }, 'conditions.op', 'unknown op "equal"; did you mean "equals"?'],
    [{ ...leaf, op: 'greater-than' }, 'conditions.op', 'did you mean "greater_than"?'],
    [{ ...leaf, op: 'xyzzy' }, 'conditions.op', 'known: equals, not_equals'],
    [{ ...leaf, op: 'constructor' }, 'conditions.op', 'unknown op "constructor"'],
    [{ ...leaf, op: 'before' }, 'conditions.op', 'op "before" is not supported by this version'],
    [{ ...leaf, op: 5 }, 'conditions.op', 'must be text, not 5'],
    [{ field: 'a', value: 1 }, 'conditions.op', 'is required'],
    [{ op: 'equals', value: 1 }, 'conditions.field', 'is required'],
    [{ ...leaf, field: 'a..b' }, 'conditions.field', '"a..b" is not a field path'],
    [{ ...leaf, field: '$secret' }, 'conditions.field', 'only $source and $headers.NAME'],
    [{ ...leaf, field: 'a'.repeat(513) }, 'conditions.field', 'must NOT have more than 512 characters'],
    [{ ...leaf, value: 'ten' }, 'conditions.value', '"ten" is not a number (quotes around it are allowed)'],
    [{ ...leaf, value: [1] }, 'conditions.value', 'a list of 1 is not a number'],
    [{ field: 'a', op: 'equals', value: {} }, 'conditions.value', 'an object is not text'],
    [{ field: 'a', op: 'equals' }, 'conditions.value', 'is required'],
    [{ field: 'a', op: 'equals', value_from: 'b', value: 1 }, 'conditions.value_from', 'not supported by this version'],
    [{ field: 'a', op: 'exists', value: 5 }, 'conditions.value', 'must be true, not 5'],
    [{ field: 'a', op: 'in', value: [] }, 'conditions.value', 'must have at least 1 items'],
    [{ field: 'a', op: 'in_range', value: [1] }, 'conditions.value', 'must have at least 2 items, not 1'],
    [{ field: 'a', op: 'in_range', value: [2, 1] }, 'conditions.value', '[2, 1]: the minimum is above the maximum'],
    [{ field: 'a', op: 'regex', value: '(a' }, 'conditions.value', '"(a": not a regular expression'],
    [{ field: 'a', op: 'regex', value: '(?=a)' }, 'conditions.value', 'not a regular expression'],
    [{ field: 'a', op: 'regex', value: '(a{1,100}){1,10}b{1,900}' }, 'conditions.value', 'the pattern is too complex'],
    [
      { field: 'a', op: 'regex', value: 'a'.repeat(1_001) },
      'conditions.value',
      'must NOT have more than 1000 characters',
    ],
    [{ combinator: 'XOR', conditions: [leaf] }, 'conditions.combinator', 'must be one of AND, OR, NOT, not "XOR"'],
    [{ combinator: 'AND', conditions: [] }, 'conditions.conditions', 'must have at least 1 items, not 0'],
    [{ combinator: 'AND' }, 'conditions.conditions', 'is required'],
    [{ conditions: [leaf] }, 'conditions.combinator', 'is required'],
    [
      { combinator: 'NOT', conditions: [leaf, leaf] },
      'conditions.conditions',
      'NOT takes exactly one condition, not 2',
    ],
    [{ combinator: 'AND', conditions: [leaf, 3] }, 'conditions.conditions[1]', 'must be a group'],
    [[leaf], 'conditions', 'not a list of 1'],
    [nested(33), `conditions${'.conditions[0]'.repeat(32)}`, 'nested deeper than 32 levels'],
  ])('refuses the condition %j at %s', (condition, field, reason) => {
    const [fault] = faults(rule(condition));
    expect(fault?.field).toBe(field);
    expect(fault?.reason).toContain(reason);
  });

  it.each([
    [{ mode: 'shadow' }, 'mode', '"mode" is not supported by this version'],
    [{ prioritty: 1 }, 'prioritty', 'unknown property "prioritty"; did you mean "priority"?'],
    [{ priority: '1' }, 'priority', 'must be a whole number, not "1"'],
    [{ priority: -1 }, 'priority', 'must be >= 0, not -1'],
    [{ enabled: 'yes' }, 'enabled', 'must be true or false, not "yes"'],
    [{ dedupe: 'message' }, 'dedupe', 'must be "workflow", not "message"'],
    [{ id: 'a b' }, 'id', '"a b" is not an id'],
    [{ actions: [] }, 'actions', 'must have at least 1 items'],
    [{ actions: [{}] }, 'actions[0].workflow', 'is required'],
    [{ actions: [{ workflow: 'w', timeout: '9999999d' }] }, 'actions[0].timeout', '"9999999d" is not a duration'],
    [{ actions: [{ workflow: 'w', retry: -1 }] }, 'actions[0].retry', '-1 is not a number of retries'],
    [{ actions: [{ workflow: 'w', params: [] }] }, 'actions[0].params', 'must be an object'],
  ])('refuses %j at %s', (more, field, reason) => {
    const [fault] = faults(rule(leaf, more));
    expect(fault?.field).toBe(field);
    expect(fault?.reason).toContain(reason);
  });

  it('takes 32 levels of conditions, and as many conditions as the limit says', () => {
    expect(parseRule(rule(nested(32))).id).toBe('r');
    const wide = (count: number) => ({ combinator: 'OR', conditions: Array.from({ length: count - 1 }, () => leaf) });
    expect(parseRule(rule(wide(RULE_CONDITIONS_MAX))).id).toBe('r');
    const groups = { combinator: 'OR', conditions: [wide(600), wide(600)] };
    expect(faults(rule(groups))[0]?.reason).toBe('more than 1000 conditions');
  });

  it('refuses conditions nested 10,000 deep without exhausting the stack', () => {
    expect(faults(rule(nested(10_000)))[0]?.reason).toBe('nested deeper than 72 levels');
  });

  it('tells all faults of the conditions in the order of the document, and the first in its message', () => {
    const bad = { combinator: 'AND', conditions: [{ ...leaf, op: 'x1' }, { combinator: 'OR', conditions: [7] }, 8] };
    expect(faults(rule(bad)).map(({ field }) => field)).toEqual([
      'conditions.conditions[0].op',
      'conditions.conditions[1].conditions[0]',
      'conditions.conditions[2]',
    ]);
    expect(() => parseRule(rule(bad))).toThrow('rule "r" is not valid: conditions.conditions[0].op: unknown op "x1"');
    expect(() => parseRule(rule(bad))).toThrow('(and 2 more)');
  });
});
