/**
 * Writes of applied entries, above the committed store, until the driver has committed them.
 *
 * Invariants
 * 1. Reads see every applied write: those not yet handed out, those being committed, then the store.
 * 2. The state hash covers every write in order, keys and values: equal hashes at equal index mean equal histories.
 */
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import type { KeyValueReader, Writes } from './store.ts';

const EMPTY = new Uint8Array(0);
/** Bookkeeping per write, beside key and value, when the size of a pending commit is estimated. */
const WRITE_OVERHEAD_BYTES = 64;

export class Overlay implements KeyValueReader {
  readonly #host: Host;
  readonly #store: KeyValueReader;
  #fresh: Writes = new Map();
  #committing: Writes = new Map();
  hash = 0;
  /** Estimated bytes of writes not yet handed to a commit. */
  pendingBytes = 0;

  constructor(host: Host, store: KeyValueReader) {
    this.#host = host;
    this.#store = store;
  }

  get(key: string): Uint8Array | undefined {
    const fresh = this.#fresh.get(key);
    if (fresh !== undefined) return fresh ?? undefined;
    const committing = this.#committing.get(key);
    if (committing !== undefined) return committing ?? undefined;
    return this.#store.get(key);
  }

  put(key: string, value: Uint8Array): void {
    this.hash = this.#host.crc32(value, this.#host.crc32(key, this.hash));
    this.#fresh.set(key, value);
    this.pendingBytes += key.length + value.length + WRITE_OVERHEAD_BYTES;
  }

  delete(key: string): void {
    this.hash = this.#host.crc32('-', this.#host.crc32(key, this.hash));
    this.#fresh.set(key, null);
    this.pendingBytes += key.length + WRITE_OVERHEAD_BYTES;
  }

  /** A write that is not part of the replicated history (it holds the hash itself). */
  putUnhashed(key: string, value: Uint8Array): void {
    this.#fresh.set(key, value);
  }

  *range(from: string, to: string, reverse = false): Iterable<{ key: string; value: Uint8Array }> {
    const overlaid = new Map<string, Uint8Array | null>();
    for (const writes of [this.#committing, this.#fresh]) {
      for (const [key, value] of writes) if (key >= from && key < to) overlaid.set(key, value);
    }
    const keys = [...overlaid.keys()].sort();
    if (reverse) keys.reverse();
    const before = reverse ? (a: string, b: string) => a > b : (a: string, b: string) => a < b;
    let next = 0;
    for (const row of this.#store.range(from, to, reverse)) {
      for (let key = keys[next]; key !== undefined && before(key, row.key); key = keys[++next]) {
        const value = overlaid.get(key) ?? null;
        if (value !== null) yield { key, value };
      }
      if (overlaid.has(row.key)) continue;
      yield row;
    }
    for (let key = keys[next]; key !== undefined; key = keys[++next]) {
      const value = overlaid.get(key) ?? null;
      if (value !== null) yield { key, value };
    }
  }

  get committing(): boolean {
    return this.#committing.size > 0;
  }

  /** Hands out everything written since the last take; `committed()` must follow before the next. */
  take(): Writes {
    assert(!this.committing, 'one commit at a time');
    this.#committing = this.#fresh;
    this.#fresh = new Map();
    this.pendingBytes = 0;
    return this.#committing;
  }

  committed(): void {
    this.#committing = new Map();
  }
}

/** The value of a key that only marks its presence. */
export const MARKER = EMPTY;
