/**
 * Where the state of a node lives, and how the whole of it is replaced.
 *
 * The state is one environment in a directory named by its generation: `state` at first, then `state.1`, `state.2`, …
 * A new generation is filled beside the one in use, in bounded commits, and becomes the state by one rename. One big
 * transaction over the old environment would do without the second directory, but would hold all of the new state in
 * memory, and every page of the old one until its end.
 *
 * Invariants
 * 1. A directory has a generation's name only when it is complete and on disk; the highest one is the state.
 * 2. An older one is removed only after the rename that made it old is on disk. So a crash between any two steps leaves
 *    the old state or the new one, whole; opening removes the rest.
 * 3. Until `retire`, the replaced store can still be read: the loop has no turn without a state.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { assert } from '../../../base/assert.ts';
import { syncDirectory } from './directory-lock.ts';
import { StateStore, type StateStoreOptions } from './state-store.ts';

/** Being filled; worth nothing to anybody but the process that fills it. */
const UNFINISHED = 'state.new';
const GENERATION = /^state(?:\.([1-9]\d{0,14}))?$/;

export class StateDisk {
  readonly #dataDir: string;
  readonly #options: StateStoreOptions;
  #generation: number;
  #current: StateStore;
  #replaced: { store: StateStore; dir: string } | undefined;
  #retiring: Promise<void> = Promise.resolve();

  private constructor(dataDir: string, options: StateStoreOptions, generation: number, current: StateStore) {
    this.#dataDir = dataDir;
    this.#options = options;
    this.#generation = generation;
    this.#current = current;
  }

  /**
   * The caller has `dataDir` to itself: what an earlier process left unfinished is removed.
   * @throws StorageError: in use by another process, newer format, disk error.
   */
  static async open(dataDir: string, options: StateStoreOptions): Promise<StateDisk> {
    mkdirSync(dataDir, { recursive: true });
    const generations = generationsIn(dataDir);
    const newest = Math.max(0, ...generations);
    const store = await StateStore.open(join(dataDir, directoryOf(newest)), options);
    // The rename may have been seen and not synced, if the process was killed in between.
    syncDirectory(dataDir);
    for (const old of generations) if (old !== newest) remove(join(dataDir, directoryOf(old)));
    remove(join(dataDir, UNFINISHED));
    return new StateDisk(dataDir, options, newest, store);
  }

  /** Of one state. */
  get bytesMax(): number {
    return this.#options.mapBytesMax;
  }

  /** What is read and written now. */
  get current(): StateStore {
    return this.#current;
  }

  /**
   * Makes what `fill` writes into an empty store the state; durable when it resolves. Nothing is committed meanwhile,
   * and `retire` follows. If `fill` fails the state stays as it was.
   * @throws StorageError, or what `fill` throws.
   */
  async replace(fill: (store: StateStore) => Promise<void>): Promise<StateStore> {
    assert(this.#replaced === undefined, 'one replacement at a time');
    const unfinished = join(this.#dataDir, UNFINISHED);
    remove(unfinished);
    // Its commits are none of the loop's: nobody is told of them.
    const { mapBytesMax, commitDeadlineMs } = this.#options;
    const deadline = commitDeadlineMs === undefined ? {} : { commitDeadlineMs };
    const next = await StateStore.open(unfinished, { mapBytesMax, ...deadline });
    try {
      await fill(next);
      await next.close();
    } catch (error) {
      await next.close();
      remove(unfinished);
      throw error;
    }
    const generation = this.#generation + 1;
    const dir = join(this.#dataDir, directoryOf(generation));
    renameSync(unfinished, dir);
    syncDirectory(this.#dataDir);
    const store = await StateStore.open(dir, this.#options);
    this.#replaced = { store: this.#current, dir: join(this.#dataDir, directoryOf(this.#generation)) };
    this.#generation = generation;
    this.#current = store;
    return store;
  }

  /** Nobody reads the replaced store any more. Failures come out of `close`: what is left is removed at the next start. */
  retire(): void {
    const replaced = this.#replaced;
    if (replaced === undefined) return;
    this.#replaced = undefined;
    this.#retiring = this.#retiring.then(async () => {
      await replaced.store.close();
      await rm(replaced.dir, { recursive: true, force: true });
    });
    this.#retiring.catch(() => undefined);
  }

  async close(): Promise<void> {
    this.retire();
    await this.#current.close();
    await this.#retiring;
  }
}

/** Where the state of a data directory is. */
export function newestStateDirectory(dataDir: string): string {
  return join(dataDir, directoryOf(Math.max(0, ...generationsIn(dataDir))));
}

function directoryOf(generation: number): string {
  return generation === 0 ? 'state' : `state.${String(generation)}`;
}

function generationsIn(dataDir: string): number[] {
  return readdirSync(dataDir).flatMap((name) => {
    const match = GENERATION.exec(name);
    return match === null ? [] : [Number(match[1] ?? 0)];
  });
}

function remove(path: string): void {
  if (existsSync(path)) rmSync(path, { recursive: true, force: true });
}
