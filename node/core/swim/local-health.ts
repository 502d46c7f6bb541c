/**
 * How far this member trusts itself: 0 is good, every sign that it is slow adds to it (Lifeguard §IV.A). What it expects
 * of others takes `factor` times as long, so that a slow member does not accuse those that answered in time.
 */
export class LocalHealth {
  readonly #scoreMax: number;
  #score = 0;

  constructor(scoreMax: number) {
    this.#scoreMax = scoreMax;
  }

  get score(): number {
    return this.#score;
  }

  get factor(): number {
    return 1 + this.#score;
  }

  change(by: number): void {
    this.#score = Math.min(this.#scoreMax, Math.max(0, this.#score + by));
  }
}
