import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { EventLoopDelay } from './event-loop-delay.ts';

describe('EventLoopDelay', () => {
  it('tells how long the loop was held, and no more than that', async () => {
    const delay = new EventLoopDelay();
    expect(delay.seconds(99.9)).toBe(0);
    // The first tick starts the measuring; a held loop shows at the tick after it.
    while (delay.sampleCount < 2) await nextTurn();
    const until = performance.now() + 120;
    while (performance.now() < until);
    const before = delay.sampleCount;
    while (delay.sampleCount === before) await nextTurn();
    expect(delay.seconds(99.9)).toBeGreaterThan(0.1);
    expect(delay.seconds(50)).toBeLessThan(delay.seconds(99.9));
    delay.close();
  });
});
