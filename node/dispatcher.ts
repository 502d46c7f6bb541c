/**
 * Leader only: which ready task goes to which worker. Proposes assignments; an attempt exists once its entry is applied.
 *
 * Invariants
 * 1. A task has at most one assignment under way in the log.
 * 2. A worker never gets more attempts than its capacity: applied ones and those under way count.
 * 3. Everything in here is derived or under way: a new term starts it empty.
 */
import { refKey, type TaskRef } from './core/state/instance-table.ts';
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

/** The ready tasks of one type that have no assignment under way, and who can run them. */
interface Queue {
  able: readonly Worker[];
  tasks: Iterator<TaskRef>;
  next: { ref: TaskRef; readyAt: number } | undefined;
}

/** By age across types: else a type with a queue that never ends would keep the workers from all others. */
function oldestOf(queues: readonly Queue[]): Queue {
  return queues.reduce((a, b) => ((b.next?.readyAt ?? 0) < (a.next?.readyAt ?? 0) ? b : a));
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

  /** Picks workers for ready tasks, the oldest first, the least loaded worker for each; marks them as under way. */
  choose(usable: (worker: Worker) => boolean): Assigned[] {
    if (this.#state.instances.readyCount <= this.#pending.size) return [];
    const workers = [...this.#state.workers.workers.values()].filter((worker) => !worker.draining && usable(worker));
    let queues: Queue[] = [];
    for (const [type, waiting] of this.#state.instances.ready) {
      const able = workers.filter(({ types }) => types.includes(type));
      if (able.length > 0) queues.push({ able, tasks: this.#notPending(waiting), next: undefined });
    }
    queues = queues.filter((queue) => this.#advance(queue));
    const chosen: Assigned[] = [];
    while (queues.length > 0 && chosen.length < ASSIGNMENTS_MAX) {
      const queue = oldestOf(queues);
      const worker = this.#leastLoaded(queue.able);
      if (worker !== undefined && queue.next !== undefined) chosen.push(this.#reserve(queue.next.ref, worker));
      if (worker === undefined || !this.#advance(queue)) queues = queues.filter((other) => other !== queue);
    }
    return chosen;
  }

  *#notPending(waiting: ReadonlyMap<string, TaskRef>): Iterator<TaskRef> {
    for (const [key, ref] of waiting) if (!this.#pending.has(key)) yield ref;
  }

  /** False at the end of the queue. */
  #advance(queue: Queue): boolean {
    const { value: ref } = queue.tasks.next() as { value: TaskRef | undefined };
    if (ref === undefined) return false;
    const task = this.#state.instances.active.get(ref.instanceId)?.tasks[ref.position];
    queue.next = { ref, readyAt: task?.readyAt ?? 0 };
    return true;
  }

  #reserve({ instanceId, position, taskId }: TaskRef, { id: workerId, session }: Worker): Assigned {
    const key = refKey(instanceId, position);
    this.#pending.add(key);
    this.#reserved.set(session, (this.#reserved.get(session) ?? 0) + 1);
    return { key, instanceId, taskId, workerId, session };
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
