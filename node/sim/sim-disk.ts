/**
 * A simulated disk under one coordinator: its log environment and its state environment.
 *
 * A write is pending until its flush is over; a crash keeps everything flushed and, of what was pending, some of the
 * oldest writes, in order. Flushes take a random time; a stall holds all of them up.
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

interface PendingWrite {
  apply: () => void;
  done: () => void;
}

/** One environment: writes become durable in order. */
class Flusher {
  readonly #queue: EventQueue;
  readonly #random: Random;
  plan: DiskPlan;
  #pending: PendingWrite[] = [];
  #lastDoneUs = 0;
  #stalledUntilUs = 0;
  #generation = 0;

  constructor(queue: EventQueue, random: Random, plan: DiskPlan) {
    this.#queue = queue;
    this.#random = random;
    this.plan = plan;
  }

  write(write: PendingWrite): void {
    this.#pending.push(write);
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
      const write = this.#pending.shift();
      write?.apply();
      write?.done();
    });
  }

  stall(durationUs: number): void {
    this.#stalledUntilUs = Math.max(this.#stalledUntilUs, this.#queue.nowUs + durationUs);
    this.#lastDoneUs = Math.max(this.#lastDoneUs, this.#stalledUntilUs);
  }

  heal(): void {
    this.#stalledUntilUs = 0;
  }

  /** Returns how many pending writes were lost and how many survived. */
  crash(): { lost: number; kept: number } {
    const pending = this.#pending;
    this.#pending = [];
    this.#generation++;
    this.#lastDoneUs = 0;
    const kept = this.#random.chance(0.5) ? 0 : this.#random.integer(0, pending.length);
    for (const write of pending.slice(0, kept)) write.apply();
    return { lost: pending.length - kept, kept };
  }
}

export class SimLogDisk implements LogReader {
  readonly flusher: Flusher;
  readonly #counters: Counters;
  #hardState: HardState = { term: 0, votedFor: null };
  /** By index; what is below `#firstIndex` is cut away. */
  #entries: (Uint8Array | undefined)[] = [];
  #firstIndex = 0;

  constructor(queue: EventQueue, random: Random, plan: DiskPlan, counters: Counters) {
    this.flusher = new Flusher(queue, random, plan);
    this.#counters = counters;
  }

  get boot(): { hardState: HardState; firstIndex: number; lastIndex: number } {
    return { hardState: this.#hardState, firstIndex: this.#firstIndex, lastIndex: this.lastIndex };
  }

  get lastIndex(): number {
    return Math.max(0, this.#entries.length - 1);
  }

  /** The flushed entry at `index`. */
  flushed(index: number): Uint8Array | undefined {
    return this.#entries[index];
  }

  read(from: number, to: number, bytesMax: number): Uint8Array[] {
    const read: Uint8Array[] = [];
    let bytes = 0;
    for (let index = from; index < to; index++) {
      const entry = this.#entries[index];
      if (entry === undefined) break;
      if (read.length > 0 && bytes + entry.length > bytesMax) break;
      read.push(entry);
      bytes += entry.length;
    }
    return read;
  }

  get bytes(): number {
    return this.#entries.reduce((sum, entry) => sum + (entry?.length ?? 0), 0);
  }

  /** Every membership in the flushed log. */
  get memberships(): Membership[] {
    return this.#entries.flatMap((bytes) => {
      const entry = bytes === undefined ? undefined : decodeEntry(nodeHost, bytes);
      return entry?.kind === MEMBERSHIP_KIND ? [decodeMembership(nodeHost, entry.payload)] : [];
    });
  }

  persist(write: LogWrite, done: () => void): void {
    this.flusher.write({ apply: () => this.#apply(write), done });
  }

  crash(): void {
    const { lost, kept } = this.flusher.crash();
    if (lost > 0) this.#counters.add('crash lost log writes');
    if (kept > 0) this.#counters.add('crash kept unflushed log writes');
  }

  #apply({ hardState, restart, truncateFrom, entries, cutBefore }: LogWrite): void {
    if (restart === true) {
      this.#entries = [];
      this.#firstIndex = 0;
    }
    if (hardState !== undefined) this.#hardState = hardState;
    if (truncateFrom !== undefined) this.#entries.length = Math.min(this.#entries.length, truncateFrom);
    for (const { index, bytes } of entries) {
      if (this.#firstIndex === 0) this.#firstIndex = index;
      this.#entries[index] = bytes;
    }
    if (cutBefore === undefined) return;
    for (let index = this.#firstIndex; index < cutBefore; index++) this.#entries[index] = undefined;
    this.#firstIndex = Math.max(this.#firstIndex, cutBefore);
  }
}

export class SimStateDisk {
  readonly flusher: Flusher;
  readonly store = new MemoryStore();
  /** Taken and coming in: not on the disk yet, so they die with the process. */
  snapshots = new MemorySnapshots(nodeHost, this.store);
  readonly #counters: Counters;

  constructor(queue: EventQueue, random: Random, plan: DiskPlan, counters: Counters) {
    this.flusher = new Flusher(queue, random, plan);
    this.#counters = counters;
  }

  commit(writes: Writes, done: () => void): void {
    this.flusher.write({ apply: () => this.store.commit(writes), done });
  }

  install(snapshotId: string, anchor: Uint8Array, done: () => void): void {
    const { snapshots } = this;
    this.flusher.write({ apply: () => snapshots.install(snapshotId, anchor), done });
  }

  crash(): void {
    const { lost, kept } = this.flusher.crash();
    this.snapshots = new MemorySnapshots(nodeHost, this.store);
    if (lost > 0) this.#counters.add('crash lost a state commit');
    if (kept > 0) this.#counters.add('crash kept an unflushed state commit');
  }
}
