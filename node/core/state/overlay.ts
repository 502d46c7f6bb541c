/**
 * Writes of applied entries, above the committed store, until the driver has committed them.
 *
 * Invariants
 * 1. Reads see every applied write: those not yet handed out, those being committed, then the store.
 * 2. The state hash covers every write in order, keys and values: equal hashes at equal index mean equal histories.
 */
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import { RunningHash } from './running-hash.ts';
import type { KeyValueReader, Writes } from './store.ts';

const EMPTY = new Uint8Array(0);
/** Bookkeeping per write, beside key and value, when the size of a pending commit is estimated. */
const WRITE_OVERHEAD_BYTES = 64;

export class Overlay implements KeyValueReader {
  readonly #store: KeyValueReader;
  #fresh: Writes = new Map();
  #committing: Writes = new Map();
  readonly #hash: RunningHash;
  /** Estimated bytes of writes not yet handed to a commit. */
  pendingBytes = 0;

  constructor(host: Host, store: KeyValueReader) {
    this.#store = store;
    this.#hash = new RunningHash(host);
  }

  get hash(): number {
    return this.#hash.value;
  }

  set hash(value: number) {
    this.#hash.restart(value);
  }

  get(key: string): Uint8Array | undefined {
    const pending = this.pending(key);
    return pending === undefined ? this.#store.get(key) : (pending ?? undefined);
  }

  /** What is not in the store yet: null for a key that is deleted, undefined where the store still has the last word. */
  pending(key: string): Uint8Array | null | undefined {
    const fresh = this.#fresh.get(key);
    return fresh === undefined ? this.#committing.get(key) : fresh;
  }

  put(key: string, value: Uint8Array): void {
    this.#hash.addText(key);
    this.#hash.addBytes(value);
    this.#fresh.set(key, value);
    this.pendingBytes += key.length + value.length + WRITE_OVERHEAD_BYTES;
  }

  delete(key: string): void {
    this.#hash.addText(key);
    this.#hash.addText('-');
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
