/**
 * The Raft log, term and vote on disk.
 *
 * 1. `persist` resolves when the write is on disk, in the order of the calls; a restart finds everything resolved.
 * 2. Group commit: what is handed in while one group is being synced becomes the next group, one sync for all.
 * 3. Entries on disk are consecutive: appends are checked before, the whole log when it is opened.
 * 4. After the first error nothing is written any more, and every promise rejects: the process has to exit.
 * 5. The queue is bounded by bytes: a full one refuses, it never blocks the loop.
 */
import { randomUUID } from 'node:crypto';
import { assert } from '../../../base/assert.ts';
import { DistricError } from '../../../base/errors.ts';
import type { HardState, LogReader, LogWrite } from '../../core/raft/log-reader.ts';
import { Environment, readRecord, recordBytes } from './environment.ts';
import { HARD_STATE_KEY, LogDisk } from './log-disk.ts';
import { StorageError } from './storage-error.ts';

export const BOOT_KEY = 'boot';

/** One sync carries at most about this much, so that the first of a long queue does not wait for the last. */
const GROUP_BYTES_MAX = 16 * 1024 * 1024;

/** What a record costs beside its bytes, for the bound of the queue. */
const RECORD_BYTES = 64;

export interface LogStoreOptions {
  /** Largest size on disk. */
  mapBytesMax: number;
  /** Most bytes waiting to be synced, those being synced included. */
  queueBytesMax: number;
  /** A sync that takes longer counts as failed. Default 30 s. */
  flushDeadlineMs?: number;
  /** Told after each sync: its duration and how much it carried. */
  onFlush?: (seconds: number, bytes: number) => void;
}

/** What the log held when it was opened. */
export interface LogBoot {
  hardState: HardState;
  /** Index of the first entry on disk, 1 when there is none. After a crash amid a prefix cut it may be below the cut. */
  firstIndex: number;
  /** Index of the last entry on disk, 0 when there is none. */
  lastIndex: number;
  /** Names this data for life: a node with a new disk under an old id has another one. */
  dataUuid: string;
  /** How often this log has been opened, this time included. */
  bootCount: number;
}

interface Pending {
  write: LogWrite;
  bytes: number;
  resolve: () => void;
  reject: (error: Error) => void;
}

export interface BootRecord {
  dataUuid: string;
  bootCount: number;
  /** Milliseconds since the epoch. */
  time: number;
}

export class LogStore implements LogReader {
  readonly boot: LogBoot;
  readonly #environment: Environment;
  readonly #options: LogStoreOptions;
  #queue: Pending[] = [];
  #queuedBytes = 0;
  #pump: Promise<void> | undefined;
  /** Bounds with everything queued applied; last < first means empty. */
  #first: number;
  #last: number;
  readonly #disk: LogDisk;

  private constructor(environment: Environment, options: LogStoreOptions, boot: LogBoot) {
    this.#environment = environment;
    this.#options = options;
    this.boot = boot;
    this.#first = boot.firstIndex;
    this.#last = boot.lastIndex;
    this.#disk = new LogDisk(boot.firstIndex, boot.lastIndex);
  }

  /**
   * Opens or creates the log in `dir`, checks it, and writes the boot record: that is on disk when this resolves.
   * @throws StorageError: in use by another process, newer format, gap, disk error.
   */
  static async open(dir: string, options: LogStoreOptions): Promise<LogStore> {
    const environment = await Environment.open(dir, {
      kind: 'log',
      mapBytesMax: options.mapBytesMax,
      writeDeadlineMs: options.flushDeadlineMs ?? 30_000,
    });
    try {
      const { db } = environment;
      const hardState = readRecord(db, HARD_STATE_KEY) as HardState | undefined;
      const known = readRecord(db, BOOT_KEY) as BootRecord | undefined;
      const bounds = checkedBounds(
        environment,
        dir,
        [hardState, known].filter((record) => record !== undefined).length,
      );
      const boot: BootRecord = {
        dataUuid: known?.dataUuid ?? randomUUID(),
        bootCount: (known?.bootCount ?? 0) + 1,
        time: Date.now(),
      };
      await environment.write((target) => {
        void target.put(BOOT_KEY, recordBytes(boot));
      }, RECORD_BYTES);
      const { dataUuid, bootCount } = boot;
      return new LogStore(environment, options, {
        hardState: hardState ?? { term: 0, votedFor: null },
        ...bounds,
        dataUuid,
        bootCount,
      });
    } catch (error) {
      await environment.close();
      throw error;
    }
  }

  read(from: number, to: number, bytesMax: number): Uint8Array[] {
    assert(from >= this.#first && to <= this.#last + 1, `[${String(from)}, ${String(to)}) is in the log`);
    const entries: Uint8Array[] = [];
    let bytes = 0;
    for (let index = from; index < to; index++) {
      const entry = this.#environment.db.get(index);
      assert(entry !== undefined, `entry ${String(index)} is on disk`);
      bytes += entry.length;
      if (bytes > bytesMax && entries.length > 0) break;
      entries.push(entry);
    }
    return entries;
  }

  /**
   * Resolves when `write` is on disk. The caller must not change its bytes afterwards.
   * @throws (as a rejection) DistricError QUEUE_FULL: nothing of this write is kept; whoever goes on with later writes
   *   must have looked at `queuedBytes` before. StorageError: the disk failed, the process has to exit.
   */
  persist(write: LogWrite): Promise<void> {
    const { failure } = this.#environment;
    if (failure !== undefined) return Promise.reject(failure);
    const bytes = write.entries.reduce((sum, entry) => sum + entry.bytes.length + RECORD_BYTES, RECORD_BYTES);
    const { queueBytesMax } = this.#options;
    // A write that alone is larger than the queue still gets through an empty one.
    if (this.#queuedBytes > 0 && this.#queuedBytes + bytes > queueBytesMax) {
      return Promise.reject(
        new DistricError(
          'QUEUE_FULL',
          `the log disk is ${String(this.#queuedBytes)} bytes behind, limit ${String(queueBytesMax)}`,
        ),
      );
    }
    this.#advance(write);
    this.#queuedBytes += bytes;
    return new Promise((resolve, reject) => {
      this.#queue.push({ write, bytes, resolve, reject });
      this.#pump ??= this.#flushQueue();
    });
  }

  /** Bytes handed to `persist` and not yet on disk. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Bytes in use on disk, of `mapBytesMax`. */
  usedBytes(): number {
    return this.#environment.usedBytes();
  }

  /** Size of the file: it grows with what is in use, and never shrinks. */
  fileBytes(): number {
    return this.#environment.fileBytes();
  }

  /** True from the order to cut until no entry below the cut is left on disk. */
  get cutting(): boolean {
    return this.#disk.first < this.#first;
  }

  /** Syncs what is queued and releases the directory. */
  async close(): Promise<void> {
    while (this.#pump !== undefined) await this.#pump;
    await this.#environment.close();
  }

  /** Checks that `write` keeps the log consecutive, and moves the bounds. */
  #advance({ restart, truncateFrom, entries, cutBefore }: LogWrite): void {
    let last = restart === true ? this.#first - 1 : this.#last;
    let first = this.#first;
    if (truncateFrom !== undefined) {
      assert(
        truncateFrom >= first,
        `truncation from ${String(truncateFrom)} leaves entries below ${String(first)} alone`,
      );
      last = Math.min(last, truncateFrom - 1);
    }
    for (const { index } of entries) {
      const empty = last < first;
      assert(empty ? index >= 1 : index === last + 1, `entry ${String(index)} follows entry ${String(last)}`);
      if (empty) first = index;
      last = index;
    }
    if (cutBefore !== undefined) first = Math.max(first, cutBefore);
    this.#first = first;
    this.#last = last;
  }

  async #flushQueue(): Promise<void> {
    await Promise.resolve(); // everything handed in by this turn of the loop goes into the first group
    while (this.#queue.length > 0 || this.#disk.cutPending) {
      const group = this.#nextGroup();
      const bytes = group.reduce((sum, pending) => sum + pending.bytes, 0);
      const startedAt = performance.now();
      try {
        await this.#environment.write((db) => {
          for (const { write } of group) this.#disk.apply(db, write);
          this.#disk.carryOutCut(db);
        }, bytes);
      } catch (error) {
        this.#rejectAll(group, error);
        break;
      }
      this.#queuedBytes -= bytes;
      this.#options.onFlush?.((performance.now() - startedAt) / 1_000, bytes);
      for (const { resolve } of group) resolve();
    }
    this.#pump = undefined;
  }

  #nextGroup(): Pending[] {
    let count = 0;
    let bytes = 0;
    for (const pending of this.#queue) {
      bytes += pending.bytes;
      if (count > 0 && bytes > GROUP_BYTES_MAX) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  #rejectAll(group: readonly Pending[], error: unknown): void {
    const failure = error instanceof Error ? error : new StorageError('the log failed', { cause: error });
    const waiting = this.#queue;
    this.#queue = [];
    for (const { reject } of [...group, ...waiting]) reject(failure);
  }
}

/** The bounds of the entries on disk; `records` is how many other text records there are. */
function checkedBounds(
  environment: Environment,
  dir: string,
  records: number,
): { firstIndex: number; lastIndex: number } {
  const { db } = environment;
  const [first] = db.getKeys({ start: 1, end: Number.MAX_SAFE_INTEGER, limit: 1 });
  const [last] = db.getKeys({ start: Number.MAX_SAFE_INTEGER, end: 0, reverse: true, limit: 1 });
  if (typeof first !== 'number' || typeof last !== 'number') return { firstIndex: 1, lastIndex: 0 };
  const count = environment.recordCount() - 1 - records; // less the format record
  if (count !== last - first + 1) {
    const missing = firstGap(environment, first);
    throw new StorageError(
      `the log in ${dir} misses entry ${String(missing)} of [${String(first)}, ${String(last)}]: ` +
        'replace this node by an empty one, the others hold the entries',
    );
  }
  return { firstIndex: first, lastIndex: last };
}

function firstGap(environment: Environment, first: number): number {
  let expected = first;
  for (const index of environment.db.getKeys({ start: first, end: Number.MAX_SAFE_INTEGER })) {
    if (index !== expected) break;
    expected++;
  }
  return expected;
}
