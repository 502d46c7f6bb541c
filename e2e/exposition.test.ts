import { describe, expect, it } from '@jest/globals';
import { metricValue, parseExposition } from './exposition.ts';

const GOOD = `# HELP calls_total Calls.
# TYPE calls_total counter
calls_total{peer="a\\"b",kind="x"} 3
calls_total{peer="c",kind="x"} 4

# HELP wait_seconds Wait.
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.1"} 1
wait_seconds_bucket{le="+Inf"} 2
wait_seconds_sum 1.5e-1
wait_seconds_count 2
`;

describe('parseExposition', () => {
  it('reads families, labels and numbers', () => {
    const families = parseExposition(GOOD);
    expect([...families.keys()]).toEqual(['calls_total', 'wait_seconds']);
    expect(families.get('calls_total')?.samples[0]?.labels).toEqual({ peer: 'a"b', kind: 'x' });
    expect(metricValue(families, 'calls_total', { kind: 'x' })).toBe(7);
    expect(metricValue(families, 'wait_seconds_sum')).toBe(0.15);
    expect(metricValue(families, 'nothing')).toBe(0);
  });

  it.each([
    ['the end of the last line', GOOD.trimEnd()],
    ['the type', GOOD.replace(' counter', ' count')],
    ['a broken label', GOOD.replace('peer="c"', 'peer=c')],
    ['a number', GOOD.replace('} 4', '} four')],
    ['a series twice', GOOD.replace('peer="c"', 'peer="a\\"b"')],
    ['a sample of another family', GOOD.replace('calls_total{peer="c",kind="x"} 4', 'other_total 4')],
    ['a bucket that falls', GOOD.replace('{le="0.1"} 1', '{le="0.1"} 3')],
    ['a count that differs from the last bucket', GOOD.replace('_count 2', '_count 3')],
    ['a family told twice', GOOD + GOOD],
    ['a counter below zero', GOOD.replace('} 4', '} -4')],
  ])('refuses a fault in: %s', (_, text) => {
    expect(() => parseExposition(text)).toThrow();
  });
});
