import { describe, expect, it } from '@jest/globals';
import { occurrences } from './mutant-loader.ts';
import { runMutant } from './mutant-runs.ts';
import { MUTANTS } from './mutants.ts';
import { type Check, CHECKS, SWIM_CHECKS } from './violation.ts';

/** These are found within a seed or two. */
const QUICK = ['answers-before-flush', 'ignores-keys', 'repeated-result-counts', 'alive-wins-a-tie'];

describe('planted bugs', () => {
  it('each have exactly one place in the source', () => {
    const misplaced = MUTANTS.flatMap(({ name, edits }) =>
      edits.filter((edit) => occurrences(edit) !== 1).map(() => name),
    );
    expect(misplaced).toEqual([]);
  });

  it('have names of their own', () => {
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
  });

  it('cover every check', () => {
    const covered = new Set(MUTANTS.map(({ check }) => check));
    expect(Object.keys({ ...CHECKS, ...SWIM_CHECKS }).filter((check) => !covered.has(check as Check))).toEqual([]);
  });

  it.each(QUICK)('are found: %s', async (name) => {
    const mutant = MUTANTS.find((one) => one.name === name);
    expect(mutant).toBeDefined();
    if (mutant === undefined) return;
    const { seed, output } = await runMutant(mutant, 5);
    expect(output).toContain(`failed: ${mutant.check}`);
    expect(seed).toBeGreaterThanOrEqual(1);
  });
});
