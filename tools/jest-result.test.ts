import { describe, expect, it } from '@jest/globals';
import { countJest } from './jest-result.ts';

const summary = {
  numPassedTests: 5,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  numRuntimeErrorTestSuites: 0,
};

describe('countJest()', () => {
  it('counts tests', () => {
    expect(countJest({ ...summary, numFailedTests: 2 }, false)).toEqual({ passed: 5, failed: 2 });
    expect(countJest(summary, true)).toEqual({ passed: 5, failed: 0 });
  });

  it('counts what has shown nothing as failed', () => {
    expect(countJest({ ...summary, numRuntimeErrorTestSuites: 1 }, false).failed).toBe(1);
    expect(countJest({ ...summary, numPendingTests: 1 }, true).failed).toBe(1);
    expect(countJest({ ...summary, numTodoTests: 1 }, true).failed).toBe(1);
  });

  it('counts a run without a result, or one that failed otherwise, as one failure', () => {
    expect(countJest(undefined, true)).toEqual({ passed: 0, failed: 1 });
    expect(countJest(summary, false)).toEqual({ passed: 5, failed: 1 });
  });
});
