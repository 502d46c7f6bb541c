import { describe, expect, it } from '@jest/globals';
import { parseCommits } from './commit-histogram.ts';

function exposition(...counts: readonly number[]): string {
  const bounds = ['0.01', '0.1', '1', '+Inf'];
  const lines = bounds.map((bound, i) => `distric_raft_commit_duration_seconds_bucket{le="${bound}"} ${counts[i]!}`);
  return ['# TYPE distric_raft_commit_duration_seconds histogram', ...lines, 'other_bucket{le="1"} 9', ''].join('\n');
}

describe('CommitHistogram', () => {
  it('has percentiles of what was added between two looks', () => {
    const before = parseCommits(exposition(0, 0, 50, 50));
    const after = parseCommits(exposition(90, 100, 150, 150));
    const added = after.since(before);
    expect(added.percentileMs(0.5)).toBeCloseTo(50 / 9);
    expect(added.percentileMs(0.9)).toBeCloseTo(10);
    expect(added.percentileMs(0.95)).toBeCloseTo(55);
    expect(added.percentileMs(1)).toBeCloseTo(100);
  });

  it('takes the last bound for what is above it, and 0 for nothing', () => {
    expect(parseCommits(exposition(0, 0, 0, 5)).percentileMs(0.99)).toBe(1_000);
    expect(parseCommits(exposition(0, 0, 0, 0)).percentileMs(0.99)).toBe(0);
    expect(() => parseCommits('up 1\n')).toThrow('no histogram of commits');
  });
});
