import type { Random } from './random.ts';

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

/**
 * A UUIDv7 (RFC 9562 §5.7) for `wallMs` (ms since the epoch). Within one ms, and while the wall clock stands still or
 * goes back, ids of one source keep rising: the 12 bits after the time count, and carry into it (§6.2, method 1).
 */
export class UuidSource {
  readonly #random: Random;
  #lastMs = 0;
  #counter = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  next(wallMs: number): string {
    if (wallMs > this.#lastMs) {
      this.#lastMs = wallMs;
      this.#counter = this.#random.uint32() & 0x7ff;
    } else if (++this.#counter > 0xfff) {
      this.#lastMs++;
      this.#counter = 0;
    }
    const time = hex(this.#lastMs, 12);
    const variant = hex(0x8000 | (this.#random.uint32() & 0x3fff), 4);
    const tail = hex(this.#random.uint32(), 8) + hex(this.#random.uint32() & 0xffff, 4);
    return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(this.#counter, 3)}-${variant}-${tail}`;
  }
}

const UUID_V7 = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** The time in a UUIDv7, ms since the epoch; undefined for any other text, and for upper case. */
export function uuidTimeMs(text: string): number | undefined {
  const [, high, low] = UUID_V7.exec(text) ?? [];
  return high === undefined || low === undefined ? undefined : Number.parseInt(high + low, 16);
}
