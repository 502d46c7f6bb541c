import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Random } from './random.ts';

function draw(random: Random, count = 100): number[] {
  return Array.from({ length: count }, () => random.uint32());
}

describe('Random', () => {
  it('gives the same numbers for the same seed, and others for another', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (seed, other) => {
        expect(draw(new Random(seed))).toEqual(draw(new Random(seed)));
        if (seed !== other) expect(draw(new Random(seed))).not.toEqual(draw(new Random(other)));
      }),
    );
  });

  it('has streams of their own by name: a draw in one moves no other', () => {
    const network = Random.stream(7, 'network');
    const disk = Random.stream(7, 'disk');
    const first = draw(disk);
    draw(network);
    expect(draw(Random.stream(7, 'disk'))).toEqual(first);
    expect(draw(Random.stream(7, 'network'))).not.toEqual(first);
    expect(draw(Random.stream(8, 'disk'))).not.toEqual(first);
  });

  it('keeps to its ranges and fills them', () => {
    const random = new Random(5);
    const counts = new Map<number, number>();
    for (let i = 0; i < 6_000; i++) {
      const value = random.integer(-2, 3);
      counts.set(value, (counts.get(value) ?? 0) + 1);
      const fraction = random.fraction();
      expect(fraction >= 0 && fraction < 1).toBe(true);
    }
    expect([...counts.keys()].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2, 3]);
    for (const count of counts.values()) expect(Math.abs(count - 1_000)).toBeLessThan(200);
  });

  it('chooses with the chance that it is given', () => {
    const random = new Random(6);
    const hits = Array.from({ length: 10_000 }, () => random.chance(0.3)).filter((hit) => hit).length;
    expect(Math.abs(hits - 3_000)).toBeLessThan(250);
    expect(random.chance(0)).toBe(false);
    expect(random.chance(1)).toBe(true);
  });

  it('picks among items, and not among none', () => {
    const random = new Random(7);
    expect(new Set(Array.from({ length: 100 }, () => random.pick(['a', 'b', 'c'])))).toEqual(new Set(['a', 'b', 'c']));
    expect(() => random.pick([])).toThrow(RangeError);
  });
});
