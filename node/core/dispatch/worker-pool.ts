/**
 * The workers that may be given tasks, filed so that the next one for a task is at hand: however many there are, it
 * takes a look at each group of alike workers, and a step through a heap.
 *
 * Invariants
 * 1. Workers of a group can do the same: their types, the labels that anybody asks for, their reservations.
 * 2. A worker is on a shelf of its group exactly while it has room for the tasks of that shelf.
 */
import { freeSlots, type Demand, type Load, type PoolWorker, reservationFor } from './pool-worker.ts';
import { RankHeap } from './rank-heap.ts';
import type { Strategy } from './strategy.ts';

/** Demands whose groups are remembered; past that they are looked for again. */
const DEMANDS_MAX = 10_000;

interface Group {
  readonly key: string;
  /** Whoever may have failed is given only what nobody else has room for. */
  readonly doubted: boolean;
  readonly like: PoolWorker;
  /** The first for tasks that nothing is reserved for, then one for each reservation. */
  readonly shelves: readonly RankHeap<Filed>[];
  size: number;
}

interface Filed {
  worker: PoolWorker;
  load: Load;
  doubted: boolean;
  group: Group;
}

export class WorkerPool {
  readonly #strategy: Strategy;
  readonly #filed = new Map<string, Filed>();
  readonly #withRoom = new Set<Filed>();
  readonly #groups = new Map<string, Group>();
  /** Names of labels that some demand has asked for. */
  readonly #namesAsked = new Set<string>();
  /** Shelves that may serve a demand, by its key: first of those that nobody doubts. */
  readonly #shelves = new Map<string, { sure: RankHeap<Filed>[]; doubted: RankHeap<Filed>[] }>();

  constructor(strategy: Strategy) {
    this.#strategy = strategy;
  }

  get size(): number {
    return this.#filed.size;
  }

  /** Somebody could be given some task: else there is no use in asking, however many kinds of tasks wait. */
  get hasRoom(): boolean {
    return this.#withRoom.size > 0;
  }

  /** Files a worker, or files it anew. */
  put(worker: PoolWorker, load: Load, doubted = false): void {
    const before = this.#filed.get(worker.id);
    if (before?.worker === worker && before.doubted === doubted) {
      before.load = load;
      this.#shelve(before);
      return;
    }
    if (before !== undefined) this.#unfile(before);
    const group = this.#groupOf(worker, doubted);
    const filed = { worker, load, doubted, group };
    group.size++;
    this.#filed.set(worker.id, filed);
    this.#shelve(filed);
  }

  delete(workerId: string): void {
    const filed = this.#filed.get(workerId);
    if (filed === undefined) return;
    this.#unfile(filed);
    this.#filed.delete(workerId);
    this.#strategy.forget?.(workerId);
  }

  clear(): void {
    for (const id of [...this.#filed.keys()]) this.delete(id);
    this.#namesAsked.clear();
    this.#shelves.clear();
  }

  /** The worker that such a task goes to; undefined while nobody who could has room. It has to be filed anew after. */
  choose(demand: Demand): PoolWorker | undefined {
    const { sure, doubted } = this.#shelvesFor(demand);
    const shelves = sure.some(({ size }) => size > 0) ? sure : doubted;
    const first = firstOf(shelves);
    const chosen = first === undefined ? undefined : (this.#strategy.pick?.(shelves) ?? first).worker;
    if (chosen !== undefined) this.#strategy.given?.(chosen);
    return chosen;
  }

  #shelvesFor(demand: Demand): { sure: RankHeap<Filed>[]; doubted: RankHeap<Filed>[] } {
    this.#askFor(demand);
    let found = this.#shelves.get(demand.key);
    if (found !== undefined) return found;
    found = { sure: [], doubted: [] };
    for (const { like, shelves, doubted } of this.#groups.values()) {
      const shelf = suits(like, demand) ? shelves[reservationFor(like.reserved, demand) + 1] : undefined;
      if (shelf !== undefined) (doubted ? found.doubted : found.sure).push(shelf);
    }
    if (this.#shelves.size >= DEMANDS_MAX) this.#shelves.clear();
    this.#shelves.set(demand.key, found);
    return found;
  }

  /** A label that nobody has asked for before tells workers apart from now on. */
  #askFor({ selector }: Demand): void {
    let isNew = false;
    for (const labels of selector) {
      const name = nameOf(labels[0] ?? '');
      if (this.#namesAsked.has(name)) continue;
      this.#namesAsked.add(name);
      isNew = true;
    }
    if (!isNew) return;
    for (const filed of this.#filed.values()) {
      this.#unfile(filed);
      filed.group = this.#groupOf(filed.worker, filed.doubted);
      filed.group.size++;
      this.#shelve(filed);
    }
  }

  #groupOf(worker: PoolWorker, doubted: boolean): Group {
    const { types, labels, reserved } = worker;
    const told = labels.filter((label) => this.#namesAsked.has(nameOf(label))).sort();
    const key = JSON.stringify([doubted, [...types].sort(), told, reserved.map(({ of, name }) => [of, name])]);
    let group = this.#groups.get(key);
    if (group === undefined) {
      const shelves = [undefined, ...reserved].map(() => new RankHeap<Filed>());
      group = { key, doubted, like: worker, shelves, size: 0 };
      this.#groups.set(key, group);
      this.#shelves.clear();
    }
    return group;
  }

  #shelve(filed: Filed): void {
    const { worker, load, group } = filed;
    let rank: number | undefined;
    group.shelves.forEach((shelf, i) => {
      if (freeSlots(worker, load, i - 1) <= 0) shelf.delete(filed);
      else shelf.set(filed, (rank ??= this.#strategy.rank(worker, load.used)));
    });
    if (rank === undefined) this.#withRoom.delete(filed);
    else this.#withRoom.add(filed);
  }

  #unfile(filed: Filed): void {
    const { group } = filed;
    for (const shelf of group.shelves) shelf.delete(filed);
    this.#withRoom.delete(filed);
    group.size--;
    if (group.size > 0) return;
    this.#groups.delete(group.key);
    this.#shelves.clear();
  }
}

function firstOf(shelves: readonly RankHeap<Filed>[]): Filed | undefined {
  let best: { item: Filed; rank: number } | undefined;
  for (const { first } of shelves)
    if (first !== undefined && (best === undefined || first.rank < best.rank)) best = first;
  return best?.item;
}

function suits({ types, labels }: PoolWorker, { type, selector }: Demand): boolean {
  return types.includes(type) && selector.every((some) => some.some((label) => labels.includes(label)));
}

function nameOf(label: string): string {
  const end = label.indexOf('=');
  return end < 0 ? label : label.slice(0, end);
}
