import { describe, expect, it } from '@jest/globals';
import { agreedVersion, agreementOf, offeredFeatures } from './features.ts';
import { helloOf, helloRefusal, type HelloBody } from './hello.ts';

const self = { nodeId: 'a', role: 'coordinator', clusterName: 'test' } as const;

function helloWith(more: Partial<HelloBody>): HelloBody {
  return { ...helloOf({ ...self, nodeId: 'b' }, 'control', []), ...more };
}

describe('HELLO', () => {
  it('agrees on the same whichever end looks', () => {
    const offers = [[], ['ping'], ['zstd'], ['deflate-raw'], ['zstd', 'deflate-raw', 'ping'], ['of a later version']];
    for (const ours of offers) {
      for (const theirs of offers) {
        expect(agreementOf(ours, helloWith({ features: theirs }))).toEqual(
          agreementOf(theirs, helloWith({ features: ours })),
        );
      }
    }
    expect(agreementOf(offeredFeatures('on'), helloWith({ features: ['deflate-raw'] })).compression).toBe(
      'deflate-raw',
    );
    expect(agreementOf(offeredFeatures('on'), helloWith({ features: offeredFeatures('on') }))).toEqual({
      version: 1,
      ping: true,
      compression: 'zstd',
    });
    expect(agreementOf(offeredFeatures('off'), helloWith({ features: ['zstd'] })).compression).toBeUndefined();
  });

  it('finds the highest common version, taking a HELLO without one as version 1', () => {
    const { nodeId, role, clusterName, lane, features } = helloWith({});
    const first = { nodeId, role, clusterName, lane, features };
    expect(agreedVersion(first)).toBe(1);
    expect(agreedVersion(helloWith({ versionMin: 1, versionMax: 7 }))).toBe(1);
    expect(agreedVersion(helloWith({ versionMin: 2, versionMax: 7 }))).toBeUndefined();
    expect(helloRefusal(self, helloWith({ versionMin: 2, versionMax: 7 }))).toBe('unsupported_version');
    expect(helloRefusal(self, first)).toBeUndefined();
  });
});
