/**
 * One LMDB environment, opened the only way that is right for both stores.
 *
 * 1. `overlappingSync` is off: a commit is on disk before it is visible, and a commit whose sync fails
 *    never becomes visible. With it on, a promise means visible only, and after a process crash on the
 *    same boot a reopening takes the newest unsynced state as if it were synced. Measured, it costs nothing here.
 * 2. The first failed or overdue write poisons the environment: every later write is refused, nothing is retried.
 * 3. The map is reserved in full at the start, so it never moves under a reader; what is used is bounded here,
 *    because LMDB for Node would grow it without end.
 */
import { statfsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { checkDataFile } from './data-file.ts';
import { DirectoryLock, syncDirectory } from './directory-lock.ts';
import { isFull, StorageError, StorageFullError, reasonOf } from './storage-error.ts';

/** Text keys and number keys (0 to 2^53) live in two separate, ordered key spaces. */
export type StoreKey = string | number;
export type StoreDatabase = RootDatabase<Uint8Array, StoreKey>;

export interface EnvironmentOptions {
  kind: 'log' | 'state';
  /** Most bytes of live pages; a write that would go over it fails. */
  mapBytesMax: number;
  /** A write that is not on disk after this long counts as failed. */
  writeDeadlineMs: number;
}

/** LMDB's limit of a key is 1,978 bytes, one of which names the key space. */
export const KEY_BYTES_MAX = 1_977;

/** The format record of both stores; Raft indexes start at 1, so it is in nobody's way. */
const FORMAT_KEY = 0;
/**
 * What this release writes. A change that this release's readers would misread raises it, and brings either a step that
 * rewrites the version before, or the words to refuse it with (`formatFault`).
 */
export const FORMAT_VERSION = 1;

/** After a failure. */
const CLOSE_MS_MAX = 10_000;
/** What a commit takes beside its records: with less than that, the disk is full. */
const ROOM_BYTES = 1024 * 1024;

const NUMBER_SPACE = 1;
const TEXT_SPACE = 2;

const keyEncoder = {
  writeKey(key: StoreKey, target: Buffer, start: number): number {
    if (typeof key === 'string') {
      target[start] = TEXT_SPACE;
      return start + 1 + target.write(key, start + 1, 'latin1');
    }
    target[start] = NUMBER_SPACE;
    target.writeUInt32BE(Math.floor(key / 0x1_0000_0000), start + 1);
    target.writeUInt32BE(key % 0x1_0000_0000, start + 5);
    return start + 9;
  },
  readKey(target: Buffer, start: number, end: number): StoreKey {
    if (target[start] === TEXT_SPACE) return target.toString('latin1', start + 1, end);
    return target.readUInt32BE(start + 1) * 0x1_0000_0000 + target.readUInt32BE(start + 5);
  },
};

interface PageCounts {
  pageSize: number;
  treeBranchPageCount: number;
  treeLeafPageCount: number;
  overflowPages: number;
}

type Stats = PageCounts & { entryCount: number; lastPageNumber: number; free: PageCounts };

function pageBytes(counts: PageCounts): number {
  return (counts.treeBranchPageCount + counts.treeLeafPageCount + counts.overflowPages) * counts.pageSize;
}

export class Environment {
  readonly db: StoreDatabase;
  readonly #dir: string;
  readonly #lock: DirectoryLock;
  readonly #options: EnvironmentOptions;
  #failure: StorageError | undefined;

  private constructor(dir: string, lock: DirectoryLock, db: StoreDatabase, options: EnvironmentOptions) {
    this.#dir = dir;
    this.#lock = lock;
    this.db = db;
    this.#options = options;
  }

  /** @throws StorageError: in use, unreadable, or written by a newer release. */
  static open(dir: string, options: EnvironmentOptions): Promise<Environment> {
    return Environment.#open(dir, options, false);
  }

  /**
   * To look at what is there, while no node runs on it: nothing is written.
   * @throws StorageError: nothing there, in use, unreadable, or of another format.
   */
  static async openForReading(dir: string, kind: EnvironmentOptions['kind']): Promise<Environment> {
    const fileBytes = statSync(join(dir, 'data.mdb'), { throwIfNoEntry: false })?.size ?? 0;
    if (fileBytes === 0) {
      throw new StorageError(`there is no ${kind} in ${dir}: name the data directory of a coordinator`);
    }
    return Environment.#open(dir, { kind, mapBytesMax: fileBytes, writeDeadlineMs: 0 }, true);
  }

  static async #open(dir: string, options: EnvironmentOptions, readOnly: boolean): Promise<Environment> {
    const lock = DirectoryLock.acquire(dir);
    try {
      checkDataFile(join(dir, 'data.mdb'));
      const environment = new Environment(dir, lock, openDatabase(dir, options, readOnly), options);
      try {
        await environment.#checkFormat(readOnly);
      } catch (error) {
        await environment.db.close();
        throw error;
      }
      return environment;
    } catch (error) {
      lock.release();
      if (error instanceof StorageError) throw error;
      throw new StorageError(`cannot open the ${options.kind} in ${dir}: ${reasonOf(error)}`, { cause: error });
    }
  }

  async #checkFormat(readOnly: boolean): Promise<void> {
    const { kind } = this.#options;
    const record = readRecord(this.db, FORMAT_KEY);
    if (record === undefined && !readOnly) {
      await this.write((db) => {
        void db.put(FORMAT_KEY, recordBytes({ kind, version: FORMAT_VERSION }));
      }, 0);
      syncDirectory(this.#dir);
      syncDirectory(dirname(this.#dir));
      return;
    }
    const fault = this.#formatFault(record);
    if (fault !== undefined) throw fault;
  }

  #formatFault(record: unknown): StorageError | undefined {
    const { kind } = this.#options;
    const { kind: found, version } = (record ?? {}) as { kind?: unknown; version?: unknown };
    const where = `the ${kind} in ${this.#dir}`;
    if (typeof found !== 'string' || typeof version !== 'number') {
      return new StorageError(`${where} has no format record: replace this node by an empty one`);
    }
    if (found !== kind) {
      return new StorageError(`${this.#dir} holds a ${found}, not a ${kind}: correct the data directory`);
    }
    if (version === FORMAT_VERSION) return undefined;
    const isNewer = version > FORMAT_VERSION;
    const way = isNewer
      ? 'start a newer release'
      : 'start the release that wrote it, take a backup there, and restore it with this one';
    return new StorageError(
      `${where} has format ${String(version)}, this release knows ${String(FORMAT_VERSION)}: ${way}`,
    );
  }

  /**
   * Runs `fill`, whose puts and removes become one atomic transaction, and resolves when that is on disk.
   * `fill` is synchronous and must not throw; `bytes` is about what it adds.
   * @throws StorageError (as a rejection); from then on every write is refused with the same error.
   */
  async write(fill: (db: StoreDatabase) => void, bytes: number): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const { kind, mapBytesMax, writeDeadlineMs } = this.#options;
    if (this.usedBytes() + bytes > mapBytesMax) {
      throw this.#fail(
        new StorageFullError(
          `the ${kind} has reached its limit of ${String(mapBytesMax)} bytes: raise the limit or free space`,
        ),
      );
    }
    try {
      const { db } = this;
      const committed = db.batch(() => {
        fill(db);
      });
      if (!(await withDeadline(committed, writeDeadlineMs))) throw new Error('the transaction was not committed');
    } catch (error) {
      const reason = await commitReason(error);
      const text = `writing the ${kind} in ${this.#dir} failed, check the disk: ${reason}`;
      // A write that was cut short by the end of the disk is told of as EIO.
      const hasNoRoom = isFull(new Error(reason)) || freeBytes(this.#dir) < bytes + ROOM_BYTES;
      throw this.#fail(new (hasNoRoom ? StorageFullError : StorageError)(text, { cause: error }));
    }
  }

  /** Poisons the environment; the first failure stays the one that is reported. */
  fail(message: string, cause?: unknown): StorageError {
    return this.#fail(new StorageError(message, { cause }));
  }

  #fail(failure: StorageError): StorageError {
    this.#failure ??= failure;
    return this.#failure;
  }

  get failure(): StorageError | undefined {
    return this.#failure;
  }

  /** Bytes of pages in use: what `mapBytesMax` bounds. Free pages inside the file are used again and do not count. */
  usedBytes(): number {
    const stats = this.#stats();
    return pageBytes(stats) + pageBytes(stats.free);
  }

  /** Records of both key spaces, the format record included. */
  recordCount(): number {
    return this.#stats().entryCount;
  }

  /** Size of the file: the most that was ever in use, with what lives on in old snapshots. */
  fileBytes(): number {
    const { lastPageNumber, pageSize } = this.#stats();
    return (lastPageNumber + 1) * pageSize;
  }

  #stats(): Stats {
    return this.db.getStats() as Stats;
  }

  async close(): Promise<void> {
    // After a failure LMDB may wait for ever for a write that never ends; the lock ends with the process. One for want of
    // room has ended, and the process may go on.
    if (this.#failure === undefined) await this.db.close();
    else if (isFull(this.#failure)) await withDeadline(this.db.close(), CLOSE_MS_MAX);
    else return;
    this.#lock.release();
  }
}

/**
 * Missing in the package's types. A batch is handed to the writer when it is complete: by default the writer starts
 * after 1,000 operations and then waits for each further one, which makes handing over several times slower.
 */
const UNDOCUMENTED = { batchStartThreshold: 1_000_000 };

function openDatabase(dir: string, options: EnvironmentOptions, readOnly = false): StoreDatabase {
  return open<Uint8Array, StoreKey>({
    path: dir,
    noSubdir: false, // a dot in the name of the directory would make a file of it
    mapSize: options.mapBytesMax,
    overlappingSync: false,
    // Batches are explicit here; the implicit one of each turn has a promise that nobody can catch.
    eventTurnBatching: false,
    encoding: 'binary',
    keyEncoder,
    maxDbs: 1,
    readOnly,
    ...UNDOCUMENTED,
  });
}

/** Infinity where even that cannot be told: a disk that is gone is not full. */
function freeBytes(dir: string): number {
  try {
    const { bavail, bsize } = statfsSync(dir);
    return bavail * bsize;
  } catch {
    return Infinity;
  }
}

async function withDeadline<T>(promise: Promise<T>, deadlineMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`it took longer than ${String(deadlineMs)} ms`));
    }, deadlineMs);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/** A failed commit carries its true cause in a second promise, which is rejected with it a moment later. */
async function commitReason(error: unknown): Promise<string> {
  if (!(error instanceof Error) || !('commitError' in error)) return reasonOf(error);
  try {
    await withDeadline(Promise.resolve(error.commitError), 1_000);
    return reasonOf(error);
  } catch (cause) {
    return reasonOf(cause);
  }
}

/** Small records of our own (format, boot, term and vote) are JSON: rare, and readable with any LMDB tool. */
export function recordBytes(record: object): Uint8Array {
  return Buffer.from(JSON.stringify(record));
}

export function readRecord(db: StoreDatabase, key: StoreKey): unknown {
  const bytes = db.get(key);
  return bytes === undefined ? undefined : JSON.parse(Buffer.from(bytes).toString('utf8'));
}
