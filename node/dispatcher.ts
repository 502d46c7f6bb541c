/**
 * Leader only: which ready task goes to which worker. Proposes assignments; an attempt exists once its entry is applied.
 *
 * Invariants
 * 1. A task has at most one assignment under way in the log.
 * 2. A worker never gets more attempts than its capacity: applied ones and those under way count.
 * 3. Everything in here is derived or under way: a new term starts it empty.
 */
import { type PoolWorker, reservationFor } from './core/dispatch/pool-worker.ts';
import { RankHeap } from './core/dispatch/rank-heap.ts';
import type { Strategy } from './core/dispatch/strategy.ts';
import { WorkerPool } from './core/dispatch/worker-pool.ts';
import { type ReadyQueue, refKey, type TaskRef } from './core/state/instance-table.ts';
import type { StateMachine } from './core/state/machine.ts';
import type { Worker } from './core/state/worker-table.ts';
import type { Demand } from './core/workflow/plan.ts';

/** Assignments in one entry. */
export const ASSIGNMENTS_MAX = 1_000;

export interface Assigned {
  /** Of the task, in the ready queue. */
  key: string;
  instanceId: string;
  taskId: string;
  workerId: string;
  session: string;
}

/** `doubted`: it may have failed, and is given only what nobody else has room for. */
export type Use = 'usable' | 'doubted' | 'unusable';

/** The ready tasks that ask the same and have no assignment under way. */
interface Queue {
  demand: Demand;
  tasks: Iterator<TaskRef>;
  next: TaskRef;
}

export class Dispatcher {
  readonly #state: StateMachine;
  readonly #useOf: (worker: Worker) => Use;
  readonly #pool: WorkerPool;
  /** As they are filed: a worker that registers again is another one. */
  readonly #filed = new Map<string, { worker: Worker; like: PoolWorker }>();
  /** Workers to look at again before the next choice. */
  readonly #changed = new Set<string>();
  /** Assignments under way: what each task asks, by instance/position, by session. */
  readonly #underWay = new Map<string, Map<string, Demand>>();
  readonly #pending = new Set<string>();

  constructor(state: StateMachine, strategy: Strategy, useOf: (worker: Worker) => Use) {
    this.#state = state;
    this.#useOf = useOf;
    this.#pool = new WorkerPool(strategy);
  }

  reset(): void {
    this.#pending.clear();
    this.#underWay.clear();
    this.#filed.clear();
    this.#pool.clear();
    this.#state.instances.changedSessions.clear();
    for (const id of this.#state.workers.workers.keys()) this.#changed.add(id);
  }

  /** Whether, or how well, it can be used may be another now. */
  workerChanged(workerId: string): void {
    this.#changed.add(workerId);
  }

  /** Attempts applied or under way on a worker. */
  load({ session }: Worker): number {
    return (this.#state.instances.running.get(session)?.size ?? 0) + (this.#underWay.get(session)?.size ?? 0);
  }

  /** Picks workers for ready tasks, the oldest first; marks them as under way. */
  choose(): Assigned[] {
    this.#fileChanged();
    if (this.#state.instances.readyCount <= this.#pending.size || !this.#pool.hasRoom) return [];
    // By age across queues: else one that never ends would keep the workers from all others.
    const queues = new RankHeap<Queue>();
    for (const ready of this.#state.instances.ready.values()) this.#open(ready, queues);
    const chosen: Assigned[] = [];
    while (chosen.length < ASSIGNMENTS_MAX) {
      const queue = queues.first?.item;
      if (queue === undefined) break;
      const like = this.#pool.choose(queue.demand);
      const worker = like === undefined ? undefined : this.#filed.get(like.id)?.worker;
      if (worker === undefined) {
        queues.delete(queue);
        continue;
      }
      chosen.push(this.#reserve(queue, worker));
      this.#advance(queue, queues);
    }
    return chosen;
  }

  /** The entry with these assignments is applied (or void): they are no longer under way. */
  settled(assigned: readonly Assigned[]): void {
    for (const { key, session, workerId } of assigned) {
      this.#pending.delete(key);
      const underWay = this.#underWay.get(session);
      underWay?.delete(key);
      if (underWay?.size === 0) this.#underWay.delete(session);
      this.#changed.add(workerId);
    }
  }

  // ---- tasks -------------------------------------------------------------------------------------------------------

  #open({ demand, tasks }: ReadyQueue, queues: RankHeap<Queue>): void {
    const waiting = this.#notPending(tasks);
    const { value: next } = waiting.next() as { value: TaskRef | undefined };
    if (next !== undefined) queues.set({ demand, tasks: waiting, next }, this.#readyAt(next));
  }

  #advance(queue: Queue, queues: RankHeap<Queue>): void {
    const { value: next } = queue.tasks.next() as { value: TaskRef | undefined };
    if (next === undefined) {
      queues.delete(queue);
      return;
    }
    queue.next = next;
    queues.set(queue, this.#readyAt(next));
  }

  *#notPending(waiting: ReadonlyMap<string, TaskRef>): Iterator<TaskRef> {
    for (const [key, ref] of waiting) if (!this.#pending.has(key)) yield ref;
  }

  #readyAt({ instanceId, position }: TaskRef): number {
    return this.#state.instances.active.get(instanceId)?.tasks[position]?.readyAt ?? 0;
  }

  #reserve({ next, demand }: Queue, worker: Worker): Assigned {
    const { instanceId, position, taskId } = next;
    const { id: workerId, session } = worker;
    const key = refKey(instanceId, position);
    this.#pending.add(key);
    const underWay = this.#underWay.get(session) ?? new Map<string, Demand>();
    this.#underWay.set(session, underWay.set(key, demand));
    this.#file(worker);
    return { key, instanceId, taskId, workerId, session };
  }

  // ---- workers -----------------------------------------------------------------------------------------------------

  #fileChanged(): void {
    const { workers, instances } = this.#state;
    for (const session of instances.changedSessions) {
      const id = workers.bySession.get(session)?.id;
      if (id !== undefined) this.#changed.add(id);
    }
    instances.changedSessions.clear();
    for (const id of this.#changed) {
      const worker = workers.workers.get(id);
      if (worker !== undefined && this.#useOf(worker) !== 'unusable') this.#file(worker);
      else {
        this.#filed.delete(id);
        this.#pool.delete(id);
      }
    }
    this.#changed.clear();
  }

  #file(worker: Worker): void {
    let filed = this.#filed.get(worker.id);
    if (filed?.worker !== worker) {
      filed = { worker, like: likeOf(worker) };
      this.#filed.set(worker.id, filed);
    }
    const load = { used: this.load(worker), usedReserved: this.#usedReserved(worker, filed.like) };
    this.#pool.put(filed.like, load, this.#useOf(worker) === 'doubted');
  }

  /** Attempts of a worker by its reservations, which few workers have. */
  #usedReserved({ session }: Worker, { reserved }: PoolWorker): number[] {
    const used = reserved.map(() => 0);
    if (used.length === 0) return used;
    const count = (demand: Demand | undefined): void => {
      const place = demand === undefined ? -1 : reservationFor(reserved, demand);
      if (place >= 0) used[place] = (used[place] ?? 0) + 1;
    };
    const { instances } = this.#state;
    for (const ref of instances.running.get(session)?.values() ?? []) count(instances.demandOf(ref));
    for (const demand of this.#underWay.get(session)?.values() ?? []) count(demand);
    return used;
  }
}

function likeOf({ id, capacity, types, labels = [], zone, reserved = [] }: Worker): PoolWorker {
  return { id, capacity, types, labels: zone === undefined ? labels : [...labels, `zone=${zone}`], zone, reserved };
}
