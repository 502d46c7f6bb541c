import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ReplayWindow } from './replay-window.ts';

describe('ReplayWindow', () => {
  it('takes each counter once, in any order within the window, and none below it', () => {
    const window = new ReplayWindow();
    for (const counter of [0, 1, 5, 3, 1_000, 4]) {
      expect(window.isFresh(counter)).toBe(true);
      window.mark(counter);
      expect(window.isFresh(counter)).toBe(false);
    }
    expect(window.isFresh(2)).toBe(true);
    window.mark(1_026);
    expect([2, 3, 4, 5, 6].map((counter) => window.isFresh(counter))).toEqual([false, false, false, false, true]);
    window.mark(2 ** 32 - 1);
    expect(window.isFresh(2 ** 32 - 2)).toBe(true);
    expect(window.isFresh(1_027)).toBe(false);
  });

  it('agrees with a set that forgets nothing', () => {
    const steps = fc.array(fc.integer({ min: -1_100, max: 1_500 }), { maxLength: 200 });
    fc.assert(
      fc.property(steps, (moves) => {
        const window = new ReplayWindow();
        const seen = new Set<number>();
        let highest = 0;
        for (const move of moves) {
          const counter = Math.max(0, highest + move);
          const fresh = !seen.has(counter) && (seen.size === 0 || counter > highest - 1_024);
          if (window.isFresh(counter) !== fresh) return false;
          if (!fresh) continue;
          window.mark(counter);
          seen.add(counter);
          highest = Math.max(highest, counter);
        }
        return true;
      }),
    );
  });
});
