/**
 * The replicated state on disk: an ordered key-value store, read synchronously, written in atomic commits.
 *
 * 1. A commit is on disk before it is visible, as a whole: whatever a reader or a restart sees is a state that
 *    was committed, so `appliedIndex` written with the changes never runs ahead of them.
 * 2. Commits take effect in the order of the calls.
 * 3. No reader outlives the turn of the loop that began it, but a pinned one: that keeps every page it may read, and the
 *    file grows meanwhile.
 * 4. After the first error nothing is written any more: the process has to exit.
 */
import type { RangeOptions } from 'lmdb';
import { assert } from '../../../base/assert.ts';
import type { KeyValueReader, Writes } from '../../core/state/store.ts';
import { Environment, KEY_BYTES_MAX, type StoreDatabase } from './environment.ts';

/** What a key and its place in the tree cost beside the value, for the limit of the store. */
const RECORD_BYTES = 64;

/** Sorts behind every ASCII key. */
const LAST_KEY = '\u00ff';

const PRINTABLE_OR_CONTROL_ASCII = /^[\0-\x7f]+$/;

export interface StateStoreOptions {
  /** Largest size on disk. */
  mapBytesMax: number;
  /** A commit that takes longer counts as failed. Default 60 s. */
  commitDeadlineMs?: number;
  /** Told after each commit: its duration and the number of keys written or deleted. */
  onCommit?: (seconds: number, keys: number) => void;
}

/** The state as of one commit, whatever is committed meanwhile; to be released soon. */
export interface PinnedState {
  rows: Iterable<{ key: string; value: Uint8Array }>;
  release: () => void;
}

export class StateStore implements KeyValueReader {
  readonly #environment: Environment;
  readonly #options: StateStoreOptions;
  #lastCommit: Promise<void> = Promise.resolve();
  readonly #pins = new Set<Promise<void>>();

  private constructor(environment: Environment, options: StateStoreOptions) {
    this.#environment = environment;
    this.#options = options;
  }

  /** @throws StorageError: in use by another process, newer format, disk error. */
  static async open(dir: string, options: StateStoreOptions): Promise<StateStore> {
    const { mapBytesMax, commitDeadlineMs } = options;
    const limits = { mapBytesMax, writeDeadlineMs: commitDeadlineMs ?? 60_000 };
    return new StateStore(await Environment.open(dir, { kind: 'state', ...limits }), options);
  }

  /** While no node runs on it; nothing can be committed. @throws StorageError */
  static async openForReading(dir: string): Promise<StateStore> {
    const environment = await Environment.openForReading(dir, 'state');
    return new StateStore(environment, { mapBytesMax: 0 });
  }

  get(key: string): Uint8Array | undefined {
    return this.#environment.db.get(key);
  }

  /** The reader is released at the end, or when a `for … of` is left; an iterator taken by hand must be returned. */
  *range(from: string, to: string, reverse = false): Generator<{ key: string; value: Uint8Array }> {
    const end = to > LAST_KEY ? LAST_KEY : to;
    if (from >= end) return;
    const bounds = reverse
      ? { start: end, exclusiveStart: true, end: from, inclusiveEnd: true, reverse }
      : { start: from, end };
    yield* textRows(this.#environment.db, bounds);
  }

  pin(): PinnedState {
    const { db } = this.#environment;
    const transaction = db.useReadTransaction();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const pin = promise.then(() => {
      this.#pins.delete(pin);
    });
    this.#pins.add(pin);
    let released = false;
    return {
      rows: textRows(db, { start: '', end: LAST_KEY, transaction }),
      release: () => {
        if (released) return;
        released = true;
        transaction.done();
        resolve(undefined);
      },
    };
  }

  /**
   * Applies `writes` atomically; resolves when they are on disk and visible. The caller must not change the values afterwards.
   * Handing over costs the loop about 0.4 µs a key (4 ms for 10,000): keep commits small enough for that.
   * @throws StorageError (as a rejection): the disk failed, the process has to exit.
   */
  commit(writes: Writes): Promise<void> {
    // The batch is filled in one go and must not fail half-way, so keys are checked first.
    let bytes = 0;
    for (const [key, value] of writes) {
      const fits = key.length <= KEY_BYTES_MAX && PRINTABLE_OR_CONTROL_ASCII.test(key);
      // The text is made only for a key that does not: there are thousands.
      if (!fits) assert(false, `the key ${JSON.stringify(key)} is ASCII, 1 to 1977 long`);
      bytes += RECORD_BYTES + key.length + (value?.length ?? 0);
    }
    const earlier = this.#lastCommit;
    const commit = writes.size === 0 ? earlier : this.#write(writes, bytes, earlier);
    this.#lastCommit = commit;
    // Every caller sees its own rejection; the chain itself is nobody's promise.
    commit.catch(() => undefined);
    return commit;
  }

  async #write(writes: Writes, bytes: number, earlier: Promise<void>): Promise<void> {
    await earlier;
    const startedAt = performance.now();
    await this.#environment.write((db) => {
      fill(db, writes);
    }, bytes);
    this.#options.onCommit?.((performance.now() - startedAt) / 1_000, writes.size);
  }

  /** Bytes in use on disk, of `mapBytesMax`. */
  usedBytes(): number {
    return this.#environment.usedBytes();
  }

  /** Size of the file: it grows when old snapshots are still being read. */
  fileBytes(): number {
    return this.#environment.fileBytes();
  }

  /** Waits for the commits under way and for pinned readers, and releases the directory. */
  async close(): Promise<void> {
    await this.#lastCommit.catch(() => undefined);
    await Promise.all(this.#pins);
    await this.#environment.close();
  }
}

function* textRows(db: StoreDatabase, bounds: RangeOptions): Generator<{ key: string; value: Uint8Array }> {
  for (const { key, value } of db.getRange(bounds)) yield { key: String(key), value };
}

function fill(db: StoreDatabase, writes: Writes): void {
  for (const [key, value] of writes) {
    if (value === null) void db.remove(key);
    else void db.put(key, value);
  }
}
