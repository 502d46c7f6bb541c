import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ClusterClock } from './cluster-clock.ts';

function started(lastMs: number, wallMs = 0): ClusterClock {
  const clock = new ClusterClock();
  clock.start(lastMs, 0, wallMs);
  return clock;
}

describe('ClusterClock', () => {
  it('begins a cluster with the wall clock, and a term with the last time in the log', () => {
    expect(started(0, 5_000).now(0, [5_000])).toBe(5_000);
    expect(started(7_000, 5_000).now(0, [5_000])).toBe(7_000);
  });

  it('goes with the monotonic clock while the wall clocks agree', () => {
    const clock = started(1_000);
    expect(clock.now(500, [1_500])).toBe(1_500);
    // Noise of the network moves nothing.
    expect(clock.now(1_000, [2_200])).toBe(2_000);
    expect(clock.now(1_500, [2_300])).toBe(2_500);
  });

  it('catches up with the median at twice the speed at most, and waits for it at half', () => {
    const behind = started(1_000);
    expect(behind.now(1_000, [1_000_000])).toBe(3_000);
    const ahead = started(1_000_000);
    expect(ahead.now(1_000, [1_000])).toBe(1_000_500);
    const close = started(1_000);
    expect(close.now(1_000, [2_300])).toBe(2_300);
  });

  it('follows the median: one wrong clock moves nothing', () => {
    const clock = started(1_000);
    expect(clock.now(100, [1_100, 99_999_999, 1_090])).toBe(1_100);
    expect(clock.now(200, [1_200, 0, 1_210])).toBe(1_200);
  });

  it('runs on its own without any wall clock', () => {
    expect(started(1_000).now(250, [])).toBe(1_250);
  });

  it('never goes back and never jumps, whatever the clocks do', () => {
    const reading = fc.record({
      monotonic: fc.integer({ min: -50, max: 1_000 }),
      walls: fc.array(fc.integer({ min: 0, max: 10_000_000 }), { maxLength: 5 }),
    });
    fc.assert(
      fc.property(fc.array(reading), (readings) => {
        const clock = started(5_000);
        let monotonicMs = 0;
        let last = 5_000;
        for (const { monotonic, walls } of readings) {
          monotonicMs += monotonic;
          const next = clock.now(monotonicMs, walls);
          expect(Number.isInteger(next)).toBe(true);
          expect(next).toBeGreaterThanOrEqual(last);
          expect(next - last).toBeLessThanOrEqual(2 * Math.max(0, monotonic) + 1);
          last = next;
        }
      }),
    );
  });
});
