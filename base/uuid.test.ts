import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Random } from './random.ts';
import { UuidSource } from './uuid.ts';

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('UuidSource', () => {
  it('gives version 7 with the time in front (RFC 9562, appendix A.6)', () => {
    const id = new UuidSource(new Random(1)).next(0x017f22e279b0);
    expect(id).toMatch(UUID_V7);
    expect(id.slice(0, 13)).toBe('017f22e2-79b0');
  });

  it('rises within a millisecond, over its end, and while the wall clock stands still or goes back', () => {
    const times = fc.array(fc.integer({ min: 1_000_000, max: 1_000_020 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(times, fc.nat(), (walls, seed) => {
        const source = new UuidSource(new Random(seed));
        let last = '';
        for (const wallMs of walls) {
          const id = source.next(wallMs);
          expect(id).toMatch(UUID_V7);
          expect(id > last).toBe(true);
          last = id;
        }
      }),
    );
    const source = new UuidSource(new Random(3));
    const ids = Array.from({ length: 20_000 }, () => source.next(1_000));
    expect(new Set(ids).size).toBe(ids.length);
    expect([...ids].sort()).toEqual(ids);
  });

  it('of two sources do not meet in the same millisecond', () => {
    const sources = [new UuidSource(new Random(1)), new UuidSource(new Random(2))];
    const ids = sources.flatMap((source) => Array.from({ length: 1_000 }, () => source.next(1_000)));
    expect(new Set(ids).size).toBe(2_000);
  });
});
