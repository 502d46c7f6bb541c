import { describe, expect, it } from '@jest/globals';
import { CLUSTER, runSeeds } from './run-seeds.ts';
import { runSeed } from './simulation.ts';

describe('runSeed()', () => {
  it('holds every promise over a few seeds, and does the same twice', () => {
    const options = { from: 1, count: 4, twice: 2, minutes: undefined, stopAt: undefined };
    const summary = runSeeds(CLUSTER, options, () => undefined);
    expect(summary.failures).toEqual([]);
    expect(summary.seeds).toBe(4);
    expect(summary.virtualSeconds).toBeGreaterThan(4 * 120);
  });

  it('gives each seed a course of its own', () => {
    expect(runSeed(2).traceHash).not.toBe(runSeed(11).traceHash);
  });

  it('has faults, and clients that notice them', () => {
    const { counts } = runSeed(3);
    expect([...counts.keys()].filter((name) => name.startsWith('fault: '))).not.toHaveLength(0);
    expect(counts.get('instance COMPLETED')).toBeGreaterThan(0);
    expect(counts.get('client tries again')).toBeGreaterThan(0);
  });

  it('writes down what happens when asked, without changing it', () => {
    const lines: string[] = [];
    const { traceHash } = runSeed(3, (line) => lines.push(line));
    expect(traceHash).toBe(runSeed(3).traceHash);
    expect(lines.some((line) => line.includes('leader elected'))).toBe(true);
    expect(lines.some((line) => line.includes('APPEND_ENTRIES'))).toBe(true);
  });
});
