/** How often somebody may ask this node, over REST and the binary protocol together. */
import { type Actor, FAILED_SOURCES_MAX, FAILURES_BURST, FAILURES_PER_SECOND } from '../api/access.ts';
import { sourceOf } from '../base/address.ts';
import { type BucketState, BucketTable } from '../base/token-bucket.ts';

const LIMITED_KEYS_MAX = 10_000;

export interface AccessLimitOptions {
  /** Of keys that have no limit of their own; 0 for none. */
  requestsPerSecondPerKey: number;
  /** Failed tries a source address may make. */
  failuresPerSecond?: number;
  failuresBurst?: number;
}

export class AccessLimits {
  readonly #options: AccessLimitOptions;
  readonly #requests = new BucketTable(LIMITED_KEYS_MAX);
  readonly #failures = new BucketTable(FAILED_SOURCES_MAX);

  constructor(options: AccessLimitOptions) {
    this.#options = options;
  }

  /** One request of `actor`, whose own limit is `own`; undefined when it has none at all. Times in ms, monotonic. */
  take(actor: Actor, own: number | null, nowMs: number): { rate: number; state: BucketState } | undefined {
    const rate = own ?? this.#options.requestsPerSecondPerKey;
    if (rate === 0) return undefined;
    return { rate, state: this.#requests.take(`${actor.kind}:${actor.id}`, rate, rate, nowMs) };
  }

  /**
   * One more failed try from an IP address; past the limit it is told no more than that. Only failures are counted by
   * address: whoever has a key is not kept out by a neighbour behind the same one.
   */
  failed(address: string, nowMs: number): BucketState {
    const { failuresPerSecond = FAILURES_PER_SECOND, failuresBurst = FAILURES_BURST } = this.#options;
    return this.#failures.take(sourceOf(address), failuresPerSecond, failuresBurst, nowMs);
  }
}
