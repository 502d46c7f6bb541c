/** Durations of one run, kept whole: a run has at most a few million, and percentiles from buckets would lie at p99. */
export class Latencies {
  readonly #samplesMs: number[] = [];
  #sorted = true;

  record(durationMs: number): void {
    this.#samplesMs.push(durationMs);
    this.#sorted = false;
  }

  get count(): number {
    return this.#samplesMs.length;
  }

  /** The nearest-rank percentile, `share` in (0, 1]; 0 when nothing was recorded. */
  percentileMs(share: number): number {
    if (!this.#sorted) {
      this.#samplesMs.sort((a, b) => a - b);
      this.#sorted = true;
    }
    const rank = Math.max(0, Math.ceil(share * this.#samplesMs.length) - 1);
    return this.#samplesMs[rank] ?? 0;
  }
}
