import { LOG_LINES_PER_SECOND_MAX } from './plugin-protocol.ts';

const WINDOW_MS = 1_000;

/** How many lines a plugin process may still log in this second: a loop that prints must not drown the worker. */
export class LogBudget {
  #windowStartMs = -WINDOW_MS;
  #taken = 0;
  #dropped = 0;

  /** Returns false when the line is to be dropped; otherwise how many were dropped since the last line that passed. */
  take(nowMs: number): false | { dropped: number } {
    if (nowMs - this.#windowStartMs >= WINDOW_MS) {
      this.#windowStartMs = nowMs;
      this.#taken = 0;
    }
    if (this.#taken >= LOG_LINES_PER_SECOND_MAX) {
      this.#dropped += 1;
      return false;
    }
    this.#taken += 1;
    const dropped = this.#dropped;
    this.#dropped = 0;
    return { dropped };
  }
}
