import { describe, expect, it } from '@jest/globals';
import { compileRules } from '../node/core/rules/rule-set.ts';
import { parseRule } from '../api/rule.ts';
import { parseWorkflow } from '../api/workflow.ts';
import { benchMessages, benchRules, RULES, VALUE_BYTES, WORKFLOW, WORKFLOW_ID } from './workload.ts';

describe('the workload of the benchmarks', () => {
  it('is valid: its rules, and the workflow they start', () => {
    expect(parseWorkflow(WORKFLOW).id).toBe(WORKFLOW_ID);
    expect(benchRules().map((rule) => parseRule(rule).id)).toHaveLength(RULES);
  });

  it('has messages of the size that is claimed', () => {
    for (const message of benchMessages(99_990, 20, 10)) expect(Buffer.byteLength(message)).toBe(VALUE_BYTES);
  });

  it('starts an instance for one message in ten, and for none when asked', () => {
    const rules = compileRules(benchRules().map((rule) => parseRule(rule)));
    const started = (matchEvery: number): number =>
      benchMessages(0, 1_000, matchEvery)
        .map((text) => rules.match(JSON.parse(text) as Record<string, unknown>, {}).length)
        .reduce((sum, count) => sum + count, 0);
    expect(started(10)).toBe(100);
    expect(started(1)).toBe(1_000);
    expect(started(0)).toBe(0);
  });
});
