import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { nodeHost } from '../../io/host.ts';
import { RunningHash } from './running-hash.ts';

const piece = fc.oneof(
  fc.string({ unit: 'grapheme-ascii', maxLength: 60 }),
  fc.uint8Array({ maxLength: 600 }),
  fc.integer({ min: 1_900, max: 9_000 }).map((length) => 'k'.repeat(length)),
  fc.integer({ min: 1_900, max: 20_000 }).map((length) => new Uint8Array(length).fill(length)),
);

describe('RunningHash', () => {
  it('is the checksum of the pieces one after the other, whenever it is asked for', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(piece, fc.boolean()), { maxLength: 60 }), fc.nat(), (pieces, seed) => {
        const hash = new RunningHash(nodeHost);
        hash.restart(seed);
        let expected = seed;
        for (const [one, look] of pieces) {
          if (typeof one === 'string') hash.addText(one);
          else hash.addBytes(one);
          expected = nodeHost.crc32(one, expected);
          if (look) expect(hash.value).toBe(expected);
        }
        expect(hash.value).toBe(expected);
      }),
    );
  });
});
