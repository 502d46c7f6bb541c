/** As many counters below the highest one may still come, so that packets which overtake each other are not lost. */
const WINDOW = 1_024;
const WORD_BITS = 32;

/** Which counters of one sender have been seen: a ring of bits over the last ones (RFC 6479). */
export class ReplayWindow {
  readonly #words = new Uint32Array(WINDOW / WORD_BITS);
  #highest = -1;

  /** False for a counter that was marked, or that is too old to tell. */
  isFresh(counter: number): boolean {
    if (counter > this.#highest) return true;
    if (counter <= this.#highest - WINDOW) return false;
    return ((this.#words[wordOf(counter)] ?? 0) & bitOf(counter)) === 0;
  }

  mark(counter: number): void {
    if (counter > this.#highest) {
      const from = Math.max(this.#highest + 1, counter - WINDOW + 1);
      for (let skipped = from; skipped < counter; skipped++) this.#set(skipped, false);
      this.#highest = counter;
    }
    this.#set(counter, true);
  }

  #set(counter: number, seen: boolean): void {
    const word = this.#words[wordOf(counter)] ?? 0;
    this.#words[wordOf(counter)] = seen ? word | bitOf(counter) : word & ~bitOf(counter);
  }
}

function wordOf(counter: number): number {
  return Math.floor((counter % WINDOW) / WORD_BITS);
}

function bitOf(counter: number): number {
  return 1 << (counter % WORD_BITS);
}
