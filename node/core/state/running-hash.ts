import type { Host } from '../../../base/host.ts';

const GATHERED_BYTES = 16 * 1024;
/** What is longer is hashed where it lies. */
const COPY_BYTES_MAX = 2 * 1024;

/**
 * CRC-32 (IEEE) of all that was added, in order. Short pieces gather and are hashed together when the value is asked
 * for, or when there is no room: a call out to the host costs more than the piece.
 */
export class RunningHash {
  readonly #host: Host;
  readonly #gathered: Uint8Array;
  #length = 0;
  #value = 0;

  constructor(host: Host) {
    this.#host = host;
    this.#gathered = host.alloc(GATHERED_BYTES);
  }

  get value(): number {
    this.#settle();
    return this.#value;
  }

  /** Goes on from `value`. */
  restart(value: number): void {
    this.#length = 0;
    this.#value = value;
  }

  /** `text` is ASCII. */
  addText(text: string): void {
    if (text.length > COPY_BYTES_MAX) {
      this.#settle();
      this.#value = this.#host.crc32(text, this.#value);
      return;
    }
    this.#makeRoom(text.length);
    this.#length += this.#host.writeText(text, this.#gathered, this.#length);
  }

  addBytes(bytes: Uint8Array): void {
    if (bytes.length > COPY_BYTES_MAX) {
      this.#settle();
      this.#value = this.#host.crc32(bytes, this.#value);
      return;
    }
    this.#makeRoom(bytes.length);
    this.#gathered.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #makeRoom(byteCount: number): void {
    if (this.#length + byteCount > GATHERED_BYTES) this.#settle();
  }

  #settle(): void {
    if (this.#length === 0) return;
    this.#value = this.#host.crc32(this.#gathered.subarray(0, this.#length), this.#value);
    this.#length = 0;
  }
}
