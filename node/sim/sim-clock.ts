import type { Now } from '../ports.ts';
import type { EventQueue } from './event-queue.ts';

const EPOCH_MS = 1_750_000_000_000;

/** A machine's clocks: the monotonic one runs at its own rate, the wall clock is off and can be set. */
export class SimClock {
  readonly #queue: EventQueue;
  readonly #rate: number;
  #skewMs: number;
  /** Time that it has not counted. */
  #lostUs = 0;
  #frozen: { atUs: number; untilUs: number } | undefined;
  /** Counts the freezes. */
  freezes = 0;

  /** `rate`: 1 is true time, 1.2 runs 20 % fast. */
  constructor(queue: EventQueue, rate: number, skewMs: number) {
    this.#queue = queue;
    this.#rate = rate;
    this.#skewMs = skewMs;
  }

  now(): Now {
    if (!this.frozen) this.#thaw();
    const atUs = this.#frozen?.atUs ?? this.#queue.nowUs;
    const monotonicMs = ((atUs - this.#lostUs) * this.#rate) / 1_000;
    return { monotonicMs, wallMs: Math.floor(EPOCH_MS + monotonicMs + this.#skewMs) };
  }

  /** Stands still for so long, and goes on from there, as in a virtual machine that the host has put aside. */
  freeze(durationUs: number): void {
    const { nowUs } = this.#queue;
    if (this.frozen) return;
    this.#thaw();
    this.#frozen = { atUs: nowUs, untilUs: nowUs + durationUs };
    this.freezes++;
  }

  get frozen(): boolean {
    return this.#frozen !== undefined && this.#queue.nowUs < this.#frozen.untilUs;
  }

  /** Goes on now, if it stands still. */
  heal(): void {
    if (this.frozen && this.#frozen !== undefined) this.#frozen.untilUs = this.#queue.nowUs;
  }

  #thaw(): void {
    if (this.#frozen === undefined) return;
    this.#lostUs += this.#frozen.untilUs - this.#frozen.atUs;
    this.#frozen = undefined;
  }

  jump(ms: number): void {
    this.#skewMs += ms;
  }
}
