import { describe, expect, it } from '@jest/globals';
import { Latencies } from './latency.ts';

describe('Latencies', () => {
  it('gives nearest-rank percentiles, also after more was recorded', () => {
    const latencies = new Latencies();
    for (let ms = 100; ms >= 1; ms -= 1) latencies.record(ms);
    expect([0.5, 0.99, 1].map((share) => latencies.percentileMs(share))).toEqual([50, 99, 100]);
    latencies.record(0.5);
    expect(latencies.count).toBe(101);
    expect(latencies.percentileMs(0.001)).toBe(0.5);
  });

  it('has nothing to say about nothing', () => {
    expect(new Latencies().percentileMs(0.99)).toBe(0);
  });
});
