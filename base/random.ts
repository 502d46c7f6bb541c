/**
 * Seeded 32-bit generator (sfc32, PractRand-tested by its author C. Doty-Humphrey).
 * Integer arithmetic only, so a seed gives the same stream on every machine.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#a = 0;
    this.#b = seed >>> 0;
    this.#c = Math.floor(seed / 0x1_0000_0000) >>> 0;
    for (let i = 0; i < 12; i++) this.uint32();
  }

  /** An independent generator named by purpose, so that a new draw in one stream moves no other. */
  static stream(seed: number, name: string): Random {
    let hash = 0x811c9dc5; // FNV-1a
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
    return new Random((hash >>> 0) * 0x20_0000 + (seed % 0x20_0000));
  }

  /** An integer in [0, 2^32). */
  uint32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum >>> 0;
  }

  /** An integer in [min, max], both included. */
  integer(min: number, max: number): number {
    return min + (this.uint32() % (max - min + 1));
  }

  /** A double in [0, 1). */
  fraction(): number {
    return this.uint32() / 0x1_0000_0000;
  }

  /** True with probability `probability`. */
  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.uint32() % items.length];
    if (item === undefined) throw new RangeError('pick from an empty list');
    return item;
  }
}
