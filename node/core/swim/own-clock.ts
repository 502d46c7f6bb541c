/**
 * Time as this process lives it: while the process stands still (stopped, starved, in a long collection) so does the
 * clock. Answers that came meanwhile wait to be read, so no deadline may pass before they are.
 */
export class OwnClock {
  readonly #toleranceMs: number;
  #seenMs: number;
  #stillMs = 0;

  /** `toleranceMs`: being that late is no standstill. */
  constructor(nowMs: number, toleranceMs: number) {
    this.#seenMs = nowMs;
    this.#toleranceMs = toleranceMs;
  }

  /** The driver's time of a time of this clock. */
  driverMs(ownMs: number): number {
    return ownMs + this.#stillMs;
  }

  /** `wakeAtMs`: own time at which the process was to run at the latest. Tells how long it stood still before. */
  read(nowMs: number, wakeAtMs: number): { ownMs: number; stillMs: number } {
    const lateMs = nowMs - Math.max(this.#seenMs, wakeAtMs + this.#stillMs);
    const stillMs = Math.max(0, lateMs - this.#toleranceMs);
    this.#stillMs += stillMs;
    this.#seenMs = Math.max(this.#seenMs, nowMs);
    return { ownMs: this.#seenMs - this.#stillMs, stillMs };
  }
}
