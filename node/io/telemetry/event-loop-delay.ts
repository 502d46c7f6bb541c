import { monitorEventLoopDelay } from 'node:perf_hooks';

type IntervalHistogram = ReturnType<typeof monitorEventLoopDelay>;

const RESOLUTION_MS = 5;

/** The delay is told over the present window and the one before it. */
const WINDOW_MS = 30_000;

/**
 * How late this thread's timers run, over the last 30 to 60 seconds: what an election time-out must be well above.
 * The time it takes is small and fixed: one timer every 5 ms.
 */
export class EventLoopDelay {
  #current = start();
  #previous: IntervalHistogram | undefined;
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#timer = setInterval(() => {
      this.#current.disable();
      this.#previous = this.#current;
      this.#current = start();
    }, WINDOW_MS).unref();
  }

  /** The delay in seconds that `percentile` (0 to 100) of the samples stay below; 0 before the first sample. */
  seconds(percentile: number): number {
    return Math.max(delayOf(this.#current, percentile), delayOf(this.#previous, percentile));
  }

  /** Samples in the present window: a percentile of few says little. */
  get sampleCount(): number {
    return this.#current.count;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#current.disable();
  }
}

function start(): IntervalHistogram {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  return histogram;
}

/** A sample is the time between two timer ticks: the interval itself is no delay. */
function delayOf(histogram: IntervalHistogram | undefined, percentile: number): number {
  if (histogram === undefined || histogram.count === 0) return 0;
  return Math.max(0, histogram.percentile(percentile) / 1e9 - RESOLUTION_MS / 1e3);
}
