import { describe, expect, it } from '@jest/globals';
import { BucketTable, TokenBucket } from './token-bucket.ts';

describe('TokenBucket', () => {
  it('lets the burst through, then the rate, and says how long to wait', () => {
    const bucket = new TokenBucket(2, 0);
    expect(bucket.take(2, 2, 0)).toMatchObject({ allowed: true, remaining: 1, waitMs: 0, fullMs: 500 });
    expect(bucket.take(2, 2, 0)).toMatchObject({ allowed: true, remaining: 0, waitMs: 500 });
    expect(bucket.take(2, 2, 100)).toMatchObject({ allowed: false, remaining: 0, waitMs: 400 });
    expect(bucket.take(2, 2, 500).allowed).toBe(true);
    expect(bucket.take(2, 2, 500).allowed).toBe(false);
  });

  it('holds no more than the burst, however long it rested, and gives nothing for a clock that went back', () => {
    const bucket = new TokenBucket(1, 0);
    expect(bucket.take(10, 3, 1_000_000)).toMatchObject({ allowed: true, remaining: 2 });
    for (const nowMs of [1_000_000, 999_000]) expect(bucket.take(10, 3, nowMs).allowed).toBe(true);
    expect(bucket.take(10, 3, 0).allowed).toBe(false);
    expect(bucket.take(10, 3, 1_000_000).allowed).toBe(false);
  });

  it('over a minute allows the rate and the burst, not one more', () => {
    const bucket = new TokenBucket(5, 0);
    let allowed = 0;
    for (let nowMs = 0; nowMs <= 60_000; nowMs++) if (bucket.take(5, 5, nowMs).allowed) allowed++;
    expect(allowed).toBe(305);
  });
});

describe('BucketTable', () => {
  it('keeps a bucket per key and forgets the one that was used longest ago', () => {
    const table = new BucketTable(2);
    const take = (key: string) => table.take(key, 1, 1, 0).allowed;
    expect([take('a'), take('b'), take('a'), take('b')]).toEqual([true, true, false, false]);
    expect([take('c'), take('b'), take('a')]).toEqual([true, false, true]);
    expect(table.size).toBe(2);
  });
});
