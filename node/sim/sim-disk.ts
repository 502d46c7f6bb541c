/**
 * A simulated disk under one coordinator: its log environment and its state environment.
 *
 * A write is pending until its flush is over. A crash of the process keeps everything flushed and, of what was pending,
 * some of the oldest writes, in order: those are in the page cache, and a loss of power takes them away again unless
 * something was flushed since. Flushes take a random time; a stall holds all of them up, and one that lasts is an error.
 */
import type { Random } from '../../base/random.ts';
import { decodeEntry } from '../core/raft/entry.ts';
import { decodeMembership, type Membership, MEMBERSHIP_KIND } from '../core/raft/membership.ts';
import type { HardState, LogReader, LogWrite } from '../core/raft/log-reader.ts';
import { MemorySnapshots } from '../core/state/memory-snapshots.ts';
import { MemoryStore } from '../core/state/memory-store.ts';
import type { Writes } from '../core/state/store.ts';
import { nodeHost } from '../io/host.ts';
import type { Counters } from './counters.ts';
import type { EventQueue } from './event-queue.ts';

export interface DiskPlan {
  flushUsMin: number;
  flushUsMax: number;
}

/** As log-store.ts has it: a flush that takes longer counts as failed. */
const FLUSH_US_MAX = 30_000_000;

interface PendingWrite {
  apply: () => void;
  done: () => void;
}

interface LogContent {
  hardState: HardState;
  /** By index; what is below `firstIndex` is cut away. */
  entries: (Uint8Array | undefined)[];
  firstIndex: number;
}

/** One environment: writes become durable in order. */
class Flusher {
  readonly #queue: EventQueue;
  readonly #random: Random;
  plan: DiskPlan;
  #pending: (PendingWrite & { sinceUs: number })[] = [];
  #onFailure: (() => void) | undefined;
  #lastDoneUs = 0;
  #stalledUntilUs = 0;
  #generation = 0;

  constructor(queue: EventQueue, random: Random, plan: DiskPlan) {
    this.#queue = queue;
    this.#random = random;
    this.plan = plan;
  }

  write(write: PendingWrite): void {
    this.#pending.push({ ...write, sinceUs: this.#queue.nowUs });
    const { flushUsMin, flushUsMax } = this.plan;
    const readyUs = this.#queue.nowUs + this.#random.integer(flushUsMin, flushUsMax);
    this.#lastDoneUs = Math.max(readyUs, this.#lastDoneUs, this.#stalledUntilUs);
    this.#await(this.#lastDoneUs, this.#generation);
  }

  #await(timeUs: number, generation: number): void {
    this.#queue.at(timeUs, () => {
      if (generation !== this.#generation) return;
      // Stalled since it was begun: it goes on when the stall is over.
      if (this.#queue.nowUs < this.#stalledUntilUs) {
        this.#await(this.#stalledUntilUs, generation);
        return;
      }
      const failed = this.#onFailure;
      if (failed !== undefined) {
        this.#onFailure = undefined;
        failed();
        return;
      }
      const write = this.#pending.shift();
      write?.apply();
      write?.done();
    });
  }

  get stalled(): boolean {
    return this.#queue.nowUs < this.#stalledUntilUs;
  }

  /** `overdue` is called if that makes a flush fail. */
  stall(durationUs: number, overdue: () => void = () => undefined): void {
    this.#stalledUntilUs = Math.max(this.#stalledUntilUs, this.#queue.nowUs + durationUs);
    this.#lastDoneUs = Math.max(this.#lastDoneUs, this.#stalledUntilUs);
    if (durationUs > FLUSH_US_MAX) this.#watch(overdue);
  }

  #watch(overdue: () => void): void {
    const sinceUs = this.#pending[0]?.sinceUs ?? this.#queue.nowUs;
    this.#queue.at(sinceUs + FLUSH_US_MAX, () => {
      if (!this.stalled) return;
      const oldest = this.#pending[0];
      if (oldest !== undefined && oldest.sinceUs + FLUSH_US_MAX <= this.#queue.nowUs) overdue();
      else this.#watch(overdue);
    });
  }

  /** The next flush fails, and `failed` is told instead of whoever waits for it. */
  failNext(failed: () => void): void {
    this.#onFailure = failed;
  }

  /** Nothing stalls or fails any more, and what was held up is done now. */
  heal(): void {
    this.#onFailure = undefined;
    if (!this.stalled) return;
    this.#stalledUntilUs = 0;
    this.#lastDoneUs = this.#queue.nowUs;
    this.#generation++;
    for (let i = 0; i < this.#pending.length; i++) this.#await(this.#lastDoneUs, this.#generation);
  }

  /** Returns how many pending writes were lost and how many survived. */
  crash(): { lost: number; kept: number } {
    const pending = this.#pending;
    this.#pending = [];
    this.#generation++;
    this.#lastDoneUs = 0;
    this.#onFailure = undefined;
    const kept = this.#random.chance(0.5) ? 0 : this.#random.integer(0, pending.length);
    for (const write of pending.slice(0, kept)) write.apply();
    return { lost: pending.length - kept, kept };
  }
}

export class SimLogDisk implements LogReader {
  readonly flusher: Flusher;
  readonly #counters: Counters;
  #content: LogContent = { hardState: { term: 0, votedFor: null }, entries: [], firstIndex: 0 };
  /** What a loss of power leaves, while that is not all there is to see. */
  #synced: LogContent | undefined;
  #damaged: { index: number; intact: Uint8Array; flipped: Uint8Array }[] = [];

  constructor(queue: EventQueue, random: Random, plan: DiskPlan, counters: Counters) {
    this.flusher = new Flusher(queue, random, plan);
    this.#counters = counters;
  }

  get boot(): { hardState: HardState; firstIndex: number; lastIndex: number } {
    const { hardState, firstIndex } = this.#content;
    return { hardState, firstIndex, lastIndex: this.lastIndex };
  }

  get lastIndex(): number {
    return Math.max(0, this.#content.entries.length - 1);
  }

  /** The entry at `index` as it was flushed, whatever has become of it on the disk. */
  flushed(index: number): Uint8Array | undefined {
    let bytes = (this.#synced ?? this.#content).entries[index];
    for (const { flipped, intact } of this.#damaged.toReversed()) if (bytes === flipped) bytes = intact;
    return bytes;
  }

  read(from: number, to: number, bytesMax: number): Uint8Array[] {
    const read: Uint8Array[] = [];
    let bytes = 0;
    for (let index = from; index < to; index++) {
      const entry = this.#content.entries[index];
      if (entry === undefined) break;
      if (read.length > 0 && bytes + entry.length > bytesMax) break;
      read.push(entry);
      bytes += entry.length;
    }
    return read;
  }

  get bytes(): number {
    return this.#content.entries.reduce((sum, entry) => sum + (entry?.length ?? 0), 0);
  }

  /** Every membership in the flushed log. */
  get memberships(): Membership[] {
    return this.#content.entries.flatMap((bytes) => {
      const entry = bytes === undefined ? undefined : decodeEntry(nodeHost, bytes);
      return entry?.kind === MEMBERSHIP_KIND ? [decodeMembership(nodeHost, entry.payload)] : [];
    });
  }

  persist(write: LogWrite, done: () => void): void {
    const flushed = (): void => {
      this.sync();
      done();
    };
    this.flusher.write({ apply: () => this.#apply(write), done: flushed });
  }

  /** What is there to see is on the disk, too. */
  sync(): void {
    this.#synced = undefined;
  }

  /** The process is gone, and what it had begun to write is in the page cache. */
  crash(): void {
    const before = { ...this.#content, entries: [...this.#content.entries] };
    const { lost, kept } = this.flusher.crash();
    if (kept > 0) this.#synced ??= before;
    if (lost > 0) this.#counters.add('crash lost log writes');
    if (kept > 0) this.#counters.add('crash kept unflushed log writes');
  }

  /** So is the machine. What the disk did on its own of the last writes is there. */
  losePower(): void {
    this.crash();
    if (this.#synced === undefined) return;
    this.#content = this.#synced;
    this.#synced = undefined;
    this.#counters.add('power loss took log writes from the page cache');
  }

  /** Damages one entry on the disk; false when there is none. */
  flipBit(random: Random): boolean {
    const { entries, firstIndex } = this.#content;
    if (entries.length - 1 < Math.max(firstIndex, 1)) return false;
    // The newest are read at the next start.
    const first = Math.max(firstIndex, 1, random.chance(0.7) ? entries.length - 20 : 0);
    const index = random.integer(first, entries.length - 1);
    const intact = entries[index];
    if (intact === undefined) return false;
    const flipped = Uint8Array.from(intact);
    const place = random.integer(0, flipped.length - 1);
    flipped[place] = (flipped[place] ?? 0) ^ (1 << random.integer(0, 7));
    entries[index] = flipped;
    this.#damaged.push({ index, intact, flipped });
    return true;
  }

  get damaged(): boolean {
    return this.#damaged.some(({ index, flipped }) => this.#content.entries[index] === flipped);
  }

  repair(): void {
    for (const { entries } of [this.#content, this.#synced ?? this.#content]) {
      // The latest first: an entry may have been damaged twice.
      for (const { index, intact, flipped } of this.#damaged.toReversed()) {
        if (entries[index] === flipped) entries[index] = intact;
      }
    }
    this.#damaged = [];
  }

  #apply({ hardState, restart, truncateFrom, entries, cutBefore }: LogWrite): void {
    const content = this.#content;
    if (restart === true) {
      content.entries = [];
      content.firstIndex = 0;
    }
    if (hardState !== undefined) content.hardState = hardState;
    if (truncateFrom !== undefined) content.entries.length = Math.min(content.entries.length, truncateFrom);
    for (const { index, bytes } of entries) {
      if (content.firstIndex === 0) content.firstIndex = index;
      content.entries[index] = bytes;
    }
    if (cutBefore === undefined) return;
    for (let index = content.firstIndex; index < cutBefore; index++) content.entries[index] = undefined;
    content.firstIndex = Math.max(content.firstIndex, cutBefore);
  }
}

export class SimStateDisk {
  readonly flusher: Flusher;
  store = new MemoryStore();
  /**
   * For snapshots: none also tells the leader, and what is already under way to log and state still fits; or the disk is
   * found to be full by an installation.
   */
  room: 'enough' | 'none' | 'none to install' = 'enough';
  /** Taken and coming in: not on the disk yet, so they die with the process. */
  snapshots = new MemorySnapshots(nodeHost, this.store);
  readonly #counters: Counters;
  /** What a loss of power leaves, while that is not all there is to see. */
  #synced: MemoryStore | undefined;
  /** A snapshot has come to be seen in a crash. */
  #seenInstall = false;

  constructor(queue: EventQueue, random: Random, plan: DiskPlan, counters: Counters) {
    this.flusher = new Flusher(queue, random, plan);
    this.#counters = counters;
  }

  commit(writes: Writes, done: () => void): void {
    this.flusher.write({ apply: () => this.store.commit(writes), done: this.#flushed(done) });
  }

  install(snapshotId: string, anchor: Uint8Array, done: () => void): void {
    const { snapshots } = this;
    const apply = (): void => {
      snapshots.install(snapshotId, anchor);
      this.#seenInstall = true;
    };
    this.flusher.write({ apply, done: this.#flushed(done) });
  }

  /** The process starts. As state-disk.ts has it: a snapshot whose rename is seen, is synced first of all. */
  open(): void {
    if (this.#seenInstall) this.#synced = undefined;
    this.#seenInstall = false;
  }

  #flushed(done: () => void): () => void {
    return () => {
      this.#synced = undefined;
      this.#seenInstall = false;
      done();
    };
  }

  crash(): void {
    const before = this.store.copy();
    const { lost, kept } = this.flusher.crash();
    this.snapshots = new MemorySnapshots(nodeHost, this.store);
    if (kept > 0) this.#synced ??= before;
    if (lost > 0) this.#counters.add('crash lost a state commit');
    if (kept > 0) this.#counters.add('crash kept an unflushed state commit');
  }

  losePower(): void {
    this.crash();
    if (this.#synced === undefined) return;
    this.store = this.#synced;
    this.#seenInstall = false;
    this.snapshots = new MemorySnapshots(nodeHost, this.store);
    this.#synced = undefined;
    this.#counters.add('power loss took a state commit from the page cache');
  }
}
