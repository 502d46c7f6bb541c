/**
 * Leader only: which ready task goes to which worker. Proposes assignments; an attempt exists once its entry is applied.
 *
 * Invariants
 * 1. A task has at most one assignment under way in the log.
 * 2. A worker never gets more attempts than its capacity: applied ones and those under way count.
 * 3. Everything in here is derived or under way: a new term starts it empty.
 */
import type { TaskRef } from './core/state/instance-table.ts';
import type { StateMachine } from './core/state/machine.ts';
import type { Worker } from './core/state/worker-table.ts';

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

export class Dispatcher {
  readonly #state: StateMachine;
  /** Assignments under way, by instance/position. */
  #pending = new Set<string>();
  /** How many of them each session has. */
  #reserved = new Map<string, number>();

  constructor(state: StateMachine) {
    this.#state = state;
  }

  reset(): void {
    this.#pending.clear();
    this.#reserved.clear();
  }

  /** Attempts applied or under way on a worker. */
  load(worker: Worker): number {
    return (this.#state.instances.running.get(worker.session)?.size ?? 0) + (this.#reserved.get(worker.session) ?? 0);
  }

  /** Picks workers for ready tasks, oldest first per type, the least loaded worker first; marks them as under way. */
  choose(usable: (worker: Worker) => boolean): Assigned[] {
    if (this.#state.instances.readyCount <= this.#pending.size) return [];
    const workers = [...this.#state.workers.workers.values()].filter((worker) => !worker.draining && usable(worker));
    const chosen: Assigned[] = [];
    for (const [type, queue] of this.#state.instances.ready) {
      const able = workers.filter(({ types }) => types.includes(type));
      if (able.length > 0) this.#chooseOfType(queue, able, chosen);
      if (chosen.length >= ASSIGNMENTS_MAX) break;
    }
    return chosen;
  }

  #chooseOfType(queue: ReadonlyMap<string, TaskRef>, able: readonly Worker[], chosen: Assigned[]): void {
    for (const [key, ref] of queue) {
      if (chosen.length >= ASSIGNMENTS_MAX) return;
      if (this.#pending.has(key)) continue;
      const worker = this.#leastLoaded(able);
      if (worker === undefined) return;
      this.#pending.add(key);
      this.#reserved.set(worker.session, (this.#reserved.get(worker.session) ?? 0) + 1);
      chosen.push({
        key,
        instanceId: ref.instanceId,
        taskId: ref.taskId,
        workerId: worker.id,
        session: worker.session,
      });
    }
  }

  /** The entry with these assignments is applied (or void): they are no longer under way. */
  settled(assigned: readonly Assigned[]): void {
    for (const { key, session } of assigned) {
      this.#pending.delete(key);
      const reserved = (this.#reserved.get(session) ?? 0) - 1;
      if (reserved > 0) this.#reserved.set(session, reserved);
      else this.#reserved.delete(session);
    }
  }

  #leastLoaded(workers: readonly Worker[]): Worker | undefined {
    let best: Worker | undefined;
    let bestLoad = 1;
    for (const worker of workers) {
      const load = this.load(worker) / worker.capacity;
      if (load < bestLoad) {
        best = worker;
        bestLoad = load;
      }
    }
    return best;
  }
}
