import type { NetMetrics } from './net-metrics.ts';

/** Share of a new sample: RFC 6298 §2 smooths the round trip of TCP with the same. */
const GAIN = 1 / 8;

/** How long a message and its answer take to each peer, smoothed; from PINGs on the control lanes. */
export class RoundTrips {
  readonly #metrics: NetMetrics;
  readonly #smoothedMs = new Map<string, number>();

  constructor(metrics: NetMetrics) {
    this.#metrics = metrics;
  }

  observe(nodeId: string, sampleMs: number): void {
    const before = this.#smoothedMs.get(nodeId);
    const smoothedMs = before === undefined ? sampleMs : before + GAIN * (sampleMs - before);
    this.#smoothedMs.set(nodeId, smoothedMs);
    this.#metrics.roundTrip(nodeId, smoothedMs / 1_000);
  }

  ms(nodeId: string): number | undefined {
    return this.#smoothedMs.get(nodeId);
  }

  /** When the last link to that node is gone: what was measured says nothing about the next one. */
  forget(nodeId: string): void {
    if (this.#smoothedMs.delete(nodeId)) this.#metrics.roundTripForgotten(nodeId);
  }
}
