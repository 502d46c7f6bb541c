import type { Random } from './random.ts';

/** Of each byte: ids are made for every message, and a number's own conversion with padding costs several times more. */
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

function hex16(value: number): string {
  return (HEX[(value >>> 8) & 0xff] ?? '') + (HEX[value & 0xff] ?? '');
}

function hex32(value: number): string {
  return hex16(value >>> 16) + hex16(value);
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
    const time = `${hex32(Math.floor(this.#lastMs / 0x1_0000))}-${hex16(this.#lastMs % 0x1_0000)}`;
    const variant = hex16(0x8000 | (this.#random.uint32() & 0x3fff));
    const tail = hex32(this.#random.uint32()) + hex16(this.#random.uint32());
    return `${time}-${hex16(0x7000 | this.#counter)}-${variant}-${tail}`;
  }
}

const UUID_V7 = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** The time in a UUIDv7, ms since the epoch; undefined for any other text, and for upper case. */
export function uuidTimeMs(text: string): number | undefined {
  const [, high, low] = UUID_V7.exec(text) ?? [];
  return high === undefined || low === undefined ? undefined : Number.parseInt(high + low, 16);
}
