import { describe, expect, it } from '@jest/globals';
import { CLUSTER, runSeeds } from './run-seeds.ts';
import { runSeedsInParallel } from './seeds-in-parallel.ts';

describe('runSeedsInParallel()', () => {
  it('runs every seed once, some twice, and sums up what one process would', async () => {
    const options = { from: 98, count: 2, twice: 1, minutes: undefined, stopAt: undefined };
    const parallel = await runSeedsInParallel('cluster', options, 2, () => undefined);
    const alone = runSeeds(CLUSTER, options, () => undefined);
    expect(parallel).toMatchObject({ seeds: 2, twice: 1, failures: [] });
    expect(parallel.counts).toEqual(alone.counts);
    expect(parallel.nodeSeconds).toBeCloseTo(alone.nodeSeconds, 3);
  }, 120_000);
});
