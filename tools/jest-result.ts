/** What counts in the JSON that jest writes with `--json`. */
export interface JestSummary {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  numRuntimeErrorTestSuites: number;
}

export interface Counts {
  passed: number;
  failed: number;
}

/** A suite that could not run and a test that was left out are failures: neither has shown anything. */
export function countJest(summary: JestSummary | undefined, ended: boolean): Counts {
  if (summary === undefined) return { passed: 0, failed: 1 };
  const failed =
    summary.numFailedTests + summary.numRuntimeErrorTestSuites + summary.numPendingTests + summary.numTodoTests;
  return { passed: summary.numPassedTests, failed: failed === 0 && !ended ? 1 : failed };
}
