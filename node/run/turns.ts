/**
 * Runs a pure loop on Node's event loop: inputs gather while a tick of the event loop lasts, then all of them are taken
 * in and one turn follows. That is what batches entries, appends and assignments under load, at no cost without it.
 */
import type { Now } from '../ports.ts';

export function readClocks(): Now {
  return { monotonicMs: performance.now(), wallMs: Date.now() };
}

export class Turns {
  readonly #turn: () => boolean;
  readonly #onBug: (error: unknown) => void;
  readonly #timer: NodeJS.Timeout;
  #scheduled = false;
  #stopped = false;

  /** `turn` returns true when it wants another one soon; `tick` is called every `tickMs`, before a turn. */
  constructor(options: { turn: () => boolean; tick: () => void; tickMs: number; onBug: (error: unknown) => void }) {
    this.#turn = options.turn;
    this.#onBug = options.onBug;
    this.#timer = setInterval(() => {
      options.tick();
      this.schedule();
    }, options.tickMs);
  }

  schedule(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#stopped) return;
      try {
        if (this.#turn()) this.schedule();
      } catch (error) {
        this.stop();
        this.#onBug(error);
      }
    });
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }
}
