/**
 * Token buckets: `ratePerSecond` tokens flow in, up to `burst`; what is taken must be there (Turner 1986, "leaky bucket
 * as a meter"). Time is the caller's, in ms of a clock that does not go back.
 */
export interface BucketState {
  allowed: boolean;
  /** Whole tokens left. */
  remaining: number;
  /** Until one token is there: 0 when it is. */
  waitMs: number;
  /** Until the bucket is full again. */
  fullMs: number;
}

export class TokenBucket {
  #tokens: number;
  #atMs: number;

  constructor(burst: number, nowMs: number) {
    this.#tokens = burst;
    this.#atMs = nowMs;
  }

  /** Takes one token if it is there. Rate and burst may differ from call to call: a limit can be changed. */
  take(ratePerSecond: number, burst: number, nowMs: number): BucketState {
    const elapsedMs = Math.max(0, nowMs - this.#atMs);
    this.#atMs = Math.max(this.#atMs, nowMs);
    this.#tokens = Math.min(burst, this.#tokens + (elapsedMs * ratePerSecond) / 1_000);
    const allowed = this.#tokens >= 1;
    if (allowed) this.#tokens -= 1;
    return {
      allowed,
      remaining: Math.floor(this.#tokens),
      waitMs: Math.max(0, (1 - this.#tokens) / ratePerSecond) * 1_000,
      fullMs: ((burst - this.#tokens) / ratePerSecond) * 1_000,
    };
  }
}

/** One bucket per key, for at most `keysMax` keys: the one that was used longest ago is forgotten, and starts full again. */
export class BucketTable {
  readonly #keysMax: number;
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(keysMax: number) {
    this.#keysMax = keysMax;
  }

  get size(): number {
    return this.#buckets.size;
  }

  take(key: string, ratePerSecond: number, burst: number, nowMs: number): BucketState {
    const bucket = this.#buckets.get(key) ?? new TokenBucket(burst, nowMs);
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > this.#keysMax) {
      for (const oldest of this.#buckets.keys()) {
        this.#buckets.delete(oldest);
        break;
      }
    }
    return bucket.take(ratePerSecond, burst, nowMs);
  }
}
