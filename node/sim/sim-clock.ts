import type { Now } from '../ports.ts';
import type { EventQueue } from './event-queue.ts';

const EPOCH_MS = 1_750_000_000_000;

/** A machine's clocks: the monotonic one runs at its own rate, the wall clock is off and can be set. */
export class SimClock {
  readonly #queue: EventQueue;
  readonly #rate: number;
  #skewMs: number;

  /** `rate`: 1 is true time, 1.2 runs 20 % fast. */
  constructor(queue: EventQueue, rate: number, skewMs: number) {
    this.#queue = queue;
    this.#rate = rate;
    this.#skewMs = skewMs;
  }

  now(): Now {
    const monotonicMs = (this.#queue.nowUs * this.#rate) / 1_000;
    return { monotonicMs, wallMs: Math.floor(EPOCH_MS + monotonicMs + this.#skewMs) };
  }

  jump(ms: number): void {
    this.#skewMs += ms;
  }
}
