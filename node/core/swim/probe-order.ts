/**
 * Whom to probe next: everybody once in a random order, then in another one, so that the time until a member is probed
 * is bounded (SWIM §4.3). Who comes is put in at a random place.
 */
import type { Random } from '../../../base/random.ts';
import { shuffle } from './shuffle.ts';

export class ProbeOrder {
  readonly #random: Random;
  readonly #known = new Set<string>();
  #order: string[] = [];
  #at = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  add(id: string): void {
    if (this.#known.has(id)) return;
    this.#known.add(id);
    const place = this.#random.integer(0, this.#order.length);
    this.#order.splice(place, 0, id);
    if (place < this.#at) this.#at++;
  }

  /** Undefined when there is nobody; those for whom `isThere` is false are dropped on the way. */
  next(isThere: (id: string) => boolean): string | undefined {
    for (;;) {
      if (this.#at >= this.#order.length) {
        this.#order = [...this.#known];
        if (this.#order.length === 0) return undefined;
        shuffle(this.#order, this.#random);
        this.#at = 0;
      }
      const id = this.#order[this.#at++];
      if (id === undefined || !this.#known.has(id)) continue;
      if (isThere(id)) return id;
      this.#known.delete(id);
    }
  }
}
