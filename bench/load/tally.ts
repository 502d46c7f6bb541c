import { performance } from 'node:perf_hooks';
import { Latencies } from '../latency.ts';
import { cpuSeconds, type LoadPlan, type LoadResult } from '../load-plan.ts';

const SAMPLES_MAX = 500;

/** What became of what a load generator sent; rates and latencies are of the counted time, which follows the warm-up. */
export class Tally {
  readonly #latencies = new Latencies();
  readonly #samples: string[] = [];
  readonly #startMs: number;
  readonly endMs: number;
  #acknowledgedInTime = 0;
  #acknowledged = 0;
  #firstFailure: string | undefined;
  refused = 0;
  errors = 0;

  constructor({ warmupMs, durationMs }: LoadPlan) {
    this.#startMs = performance.now() + warmupMs;
    this.endMs = durationMs === undefined ? Infinity : this.#startMs + durationMs;
  }

  /** A request was answered: so many of its messages are acknowledged, and `instance` is one that they started. */
  answered(acknowledged: number, instance: string | undefined, sentMs: number, answeredMs: number): void {
    this.#acknowledged += acknowledged;
    if (answeredMs < this.#startMs || answeredMs > this.endMs) return;
    this.#acknowledgedInTime += acknowledged;
    this.#latencies.record(answeredMs - sentMs);
    if (instance !== undefined && this.#samples.length < SAMPLES_MAX) this.#samples.push(instance);
  }

  /** The first one is told. */
  failed(why: string): void {
    this.#firstFailure ??= why;
  }

  result(): LoadResult {
    const countedMs = Math.min(performance.now(), this.endMs) - this.#startMs;
    return {
      acknowledged: this.#acknowledged,
      refused: this.refused,
      errors: this.errors,
      perSecond: (1_000 * this.#acknowledgedInTime) / countedMs,
      cpuSeconds: cpuSeconds(),
      p50Ms: this.#latencies.percentileMs(0.5),
      p99Ms: this.#latencies.percentileMs(0.99),
      instances: this.#samples,
      ...(this.#firstFailure === undefined ? {} : { firstFailure: this.#firstFailure }),
    };
  }
}
