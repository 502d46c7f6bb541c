import { describe, expect, it } from '@jest/globals';
import type { Host } from '../../../base/host.ts';
import { nodeHost } from '../../io/host.ts';
import { fuzzFrames } from './frame-fuzz.ts';

describe('fuzzFrames()', () => {
  it('finds typed errors only in 20,000 broken frames, and reaches every part of the decoder', () => {
    const report = fuzzFrames(nodeHost, { seed: 1, runs: 20_000 });
    const reached = [
      'message',
      'malformed',
      'incomplete',
      'bad_magic',
      'bad_version',
      'bad_flags',
      'bad_crc',
      'too_large',
    ];
    expect(reached.filter((outcome) => (report.get(outcome) ?? 0) < 20)).toEqual([]);
  });

  it('names seed and run of what must not happen', () => {
    const broken: Host = {
      ...nodeHost,
      readText: () => {
        throw new RangeError('our bug');
      },
    };
    expect(() => fuzzFrames(broken, { seed: 3, runs: 100 })).toThrow(/^seed 3, run \d+: our bug/);
    expect(fuzzFrames(nodeHost, { seed: 3, runs: 1, firstRun: 50 }).size).toBe(1);
  });
});
