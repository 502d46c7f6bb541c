import type { Connection } from './connection.ts';

const SLICES_MAX = 10;
const SLICE_MS_MIN = 25;

/**
 * Sweeps each connection every `sweepMs`, some at a time: ten thousand at once, with a keep-alive each, would hold up
 * everything else.
 */
export class Sweeper {
  readonly #connections: ReadonlySet<Connection>;
  readonly #slices: number;
  readonly #timer: NodeJS.Timeout;
  #slice = 0;

  constructor(connections: ReadonlySet<Connection>, sweepMs: number, onSweep: () => void = () => undefined) {
    this.#connections = connections;
    this.#slices = Math.max(1, Math.min(SLICES_MAX, Math.floor(sweepMs / SLICE_MS_MIN)));
    this.#timer = setInterval(() => {
      this.#slice = (this.#slice + 1) % this.#slices;
      if (this.#slice === 0) onSweep();
      this.#sweep();
    }, sweepMs / this.#slices);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #sweep(): void {
    for (const connection of this.#connections) {
      if (connection.number % this.#slices === this.#slice) connection.sweep();
    }
  }
}
