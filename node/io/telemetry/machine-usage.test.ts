import { describe, expect, it } from '@jest/globals';
import { MachineUsage } from './machine-usage.ts';

describe('the use of the machine', () => {
  it('is a share of processors and of memory, and rises when this process is busy', () => {
    const usage = new MachineUsage();
    // The counters of the system go in steps of a hundredth of a second.
    for (const untilMs = performance.now() + 200; performance.now() < untilMs;);
    const { cpu, memory } = usage.take();
    expect(cpu).toBeGreaterThan(0);
    expect(cpu).toBeLessThanOrEqual(1);
    expect(memory).toBeGreaterThan(0);
    expect(memory).toBeLessThan(1);
  });
});
