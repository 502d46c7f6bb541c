import { describe, expect, it } from '@jest/globals';
import { ProbeTimes } from './probe-times.ts';

describe('ProbeTimes', () => {
  it('tells once how long an answer took', () => {
    const times = new ProbeTimes();
    times.sent(7, 100);
    expect(times.answered(7, 103)).toBe(3);
    expect(times.answered(7, 104)).toBeUndefined();
    expect(times.answered(8, 104)).toBeUndefined();
  });

  it('does not guess which of two probes was answered', () => {
    const times = new ProbeTimes();
    times.sent(7, 100);
    times.sent(7, 300);
    expect(times.answered(7, 301)).toBeUndefined();
  });

  it('forgets the oldest of very many', () => {
    const times = new ProbeTimes();
    for (let sequence = 0; sequence <= 1_024; sequence++) times.sent(sequence, sequence);
    expect(times.answered(0, 2_000)).toBeUndefined();
    expect(times.answered(1, 2_000)).toBe(1_999);
  });
});
