import { describe, expect, it } from '@jest/globals';
import { redialDelayMs } from './dialer.ts';
import { NET_LIMITS } from './net-limits.ts';

describe('redialDelayMs', () => {
  it('doubles to its cap, for ever', () => {
    expect([0, 1, 2, 5, 6, 1_000_000].map((attempt) => redialDelayMs(NET_LIMITS, attempt, 0))).toEqual([
      100, 200, 400, 3_200, 5_000, 5_000,
    ]);
  });

  it('spreads over the upper half', () => {
    expect(redialDelayMs(NET_LIMITS, 0, 0.5)).toBe(75);
    expect(redialDelayMs(NET_LIMITS, 0, 0.999)).toBeGreaterThan(50);
  });
});
