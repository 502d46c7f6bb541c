/**
 * Cluster time of a leader: the last time in the log, carried on by its monotonic clock, and slewed towards the median
 * of the voters' wall clocks. It never goes back, and no jump of a wall clock makes it jump.
 */

/** While behind the median it runs at most this much faster, while ahead this much slower. */
const FAST_RATE = 2;
const SLOW_RATE = 0.5;
/** Differences below this are noise of the network. */
const TOLERANCE_MS = 250;

export class ClusterClock {
  #timeMs = 0;
  #monotonicMs = 0;

  /** A term begins: `lastMs` is the cluster time of the last entry, 0 in a cluster's first term. */
  start(lastMs: number, monotonicMs: number, wallMs: number): void {
    this.#timeMs = lastMs === 0 ? wallMs : lastMs;
    this.#monotonicMs = monotonicMs;
  }

  /** Whole ms; `wallClocks` are those of the voters that answered lately, this node's among them. */
  now(monotonicMs: number, wallClocks: readonly number[]): number {
    const elapsedMs = Math.max(0, monotonicMs - this.#monotonicMs);
    this.#monotonicMs = Math.max(this.#monotonicMs, monotonicMs);
    const sorted = [...wallClocks].sort((a, b) => a - b);
    const medianMs = sorted[Math.floor(sorted.length / 2)] ?? this.#timeMs + elapsedMs;
    const differenceMs = medianMs - (this.#timeMs + elapsedMs);
    let stepMs = elapsedMs;
    if (differenceMs > TOLERANCE_MS) stepMs = Math.min(elapsedMs * FAST_RATE, elapsedMs + differenceMs);
    if (differenceMs < -TOLERANCE_MS) stepMs = Math.max(elapsedMs * SLOW_RATE, elapsedMs + differenceMs);
    this.#timeMs += stepMs;
    return Math.floor(this.#timeMs);
  }
}
