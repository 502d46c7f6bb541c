/**
 * The running instances, hot in memory over their records in the store, with what the leader schedules by:
 * ready tasks by type, running attempts by session, and what is due when.
 *
 * Invariants
 * 1. An instance is in `active` exactly while its status is RUNNING; its record in the store is always the current one.
 * 2. `ready`, `running` and `due` are derived from `active` alone, so they are the same after a restart.
 */
import { assert } from '../../../base/assert.ts';
import { decodeText, encodeText, type Host } from '../../../base/host.ts';
import type { Instance } from '../workflow/instance.ts';
import type { Demand, Plan } from '../workflow/plan.ts';
import {
  assignTask,
  type AttemptEnd,
  type Changes,
  createInstance,
  endAttempt,
  endInstance,
  fireTimers,
  type NewInstance,
  nextDueMs,
  type Now,
} from '../workflow/schedule.ts';
import type { Catalog } from './catalog.ts';
import { DueQueue } from './due-queue.ts';
import type { Emit } from './events.ts';
import { activeKey, afterPrefix, instanceKey, outputKey } from './keys.ts';
import { MARKER, type Overlay } from './overlay.ts';

export interface TaskRef {
  instanceId: string;
  position: number;
  taskId: string;
}

export interface ReadyQueue {
  demand: Demand;
  tasks: Map<string, TaskRef>;
}

/** Of a task, in `ready` and `running`. */
export function refKey(instanceId: string, position: number): string {
  return `${instanceId}/${String(position)}`;
}

export class InstanceTable {
  readonly #host: Host;
  readonly #overlay: Overlay;
  readonly #catalog: Catalog;
  readonly #emit: Emit;
  readonly active = new Map<string, Instance>();
  /** Ready tasks by what they ask of a worker (the key of a Demand), oldest first. */
  readonly ready = new Map<string, ReadyQueue>();
  readyCount = 0;
  /** Running attempts per worker session. */
  readonly running = new Map<string, Map<string, TaskRef>>();
  runningCount = 0;
  /** Sessions whose running attempts are others than when somebody last emptied this. */
  readonly changedSessions = new Set<string>();
  readonly due = new DueQueue();
  /** All that are kept, whether they run or have ended. */
  count = 0;

  constructor(host: Host, overlay: Overlay, catalog: Catalog, emit: Emit) {
    this.#host = host;
    this.#overlay = overlay;
    this.#catalog = catalog;
    this.#emit = emit;
    for (const { key } of overlay.range('a/', afterPrefix('a/'))) {
      const instance = this.stored(key.slice(2));
      assert(instance?.status === 'RUNNING', 'a running instance has its record');
      this.#admit(instance, this.planOf(instance));
    }
  }

  planOf(instance: Instance): Plan {
    return this.#catalog.plan(instance.workflow, instance.revision);
  }

  /** What a task of a running instance asks of a worker. */
  demandOf({ instanceId, position }: TaskRef): Demand | undefined {
    const instance = this.active.get(instanceId);
    return instance === undefined ? undefined : this.planOf(instance).tasks[position]?.demand;
  }

  /** From memory while it runs, from the store afterwards. */
  get(id: string): Instance | undefined {
    return this.active.get(id) ?? this.stored(id);
  }

  stored(id: string): Instance | undefined {
    const bytes = this.#overlay.get(instanceKey(id));
    return bytes === undefined ? undefined : (JSON.parse(decodeText(this.#host, bytes)) as Instance);
  }

  start(plan: Plan, start: NewInstance, now: Now): void {
    const instance = createInstance(plan, start, now);
    this.#overlay.put(activeKey(instance.id), MARKER);
    this.#admit(instance, plan);
    this.#save(instance);
    this.count++;
    this.#emit({ kind: 'instanceStarted', workflow: plan.workflow });
  }

  /** By message, oldest message first. */
  *idsFrom(from: string, to: string): Iterable<string> {
    for (const { key } of this.#overlay.range(instanceKey(from), instanceKey(to)))
      yield key.slice(instanceKey('').length);
  }

  /** Forgets one that has ended, with its outputs; the number of keys that were deleted. */
  delete(id: string): number {
    const instance = this.stored(id);
    assert(instance !== undefined && instance.status !== 'RUNNING', 'only what has ended is deleted');
    const { tasks } = this.planOf(instance);
    const keys = tasks.map((task) => outputKey(id, task.id)).filter((key) => this.#overlay.get(key) !== undefined);
    for (const key of [instanceKey(id), ...keys]) this.#overlay.delete(key);
    this.count--;
    return 1 + keys.length;
  }

  /** For a state of a release that kept no count. */
  counted(): number {
    let count = 0;
    for (const id of this.idsFrom('', afterPrefix('~'))) count += id === '' ? 0 : 1;
    return count;
  }

  assign(
    instanceId: string,
    taskId: string,
    attempt: { token: number; worker: string; session: string },
    now: Now,
  ): void {
    const instance = this.active.get(instanceId);
    if (instance === undefined) return;
    const plan = this.planOf(instance);
    const position = plan.tasks.findIndex(({ id }) => id === taskId);
    if (position < 0 || !assignTask(plan, instance, position, attempt, now)) return;
    this.#unready(instance, plan, position);
    const key = refKey(instanceId, position);
    let running = this.running.get(attempt.session);
    if (running === undefined) {
      running = new Map();
      this.running.set(attempt.session, running);
    }
    running.set(key, { instanceId, position, taskId });
    this.runningCount++;
    this.changedSessions.add(attempt.session);
    this.#save(instance);
    this.due.set(instance.id, nextDueMs(instance));
    this.#emit({ kind: 'attemptStarted', workerId: attempt.worker, instanceId, position });
  }

  /** False: STALE_ATTEMPT, nothing changed. */
  report(
    instanceId: string,
    taskId: string,
    token: number,
    end: AttemptEnd,
    output: Uint8Array | undefined,
    now: Now,
  ): boolean {
    const instance = this.active.get(instanceId);
    if (instance === undefined) return false;
    const plan = this.planOf(instance);
    const position = plan.tasks.findIndex(({ id }) => id === taskId);
    const session = instance.tasks[position]?.session;
    if (position < 0) return false;
    const changes = endAttempt(plan, instance, position, token, end, now);
    if (changes === undefined) return false;
    this.#stopRunning(session, instanceId, position);
    if (end.status === 'ok' && output !== undefined) this.#overlay.put(outputKey(instanceId, taskId), output);
    if (end.status === 'lost') this.#emit({ kind: 'taskRedispatched', type: plan.tasks[position]?.type ?? '' });
    this.#settle(instance, plan, changes, now, position);
    return true;
  }

  cancel(instance: Instance, now: Now): void {
    const plan = this.planOf(instance);
    this.#settle(instance, plan, endInstance(instance, 'CANCELLED', 'cancelled by request', now), now, -1);
  }

  /** Every attempt of a session that is over. */
  loseSession(session: string, reason: string, now: Now): void {
    for (const { instanceId, position, taskId } of this.#refsOf(session)) {
      const token = this.active.get(instanceId)?.tasks[position]?.token ?? 0;
      this.report(instanceId, taskId, token, { status: 'lost', error: reason }, undefined, now);
    }
    this.running.delete(session);
  }

  /** `running` is in order of assignment here, in order of keys after a restart: replicas need one order. */
  #refsOf(session: string): TaskRef[] {
    return [...(this.running.get(session) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, ref]) => ref);
  }

  /** As a session that is over, but its worker lives and is called off. */
  handBack(session: string, reason: string, now: Now): void {
    const attempts = this.#refsOf(session).map(({ instanceId, position, taskId }) => {
      return { instanceId, taskId, token: this.active.get(instanceId)?.tasks[position]?.token ?? 0 };
    });
    this.loseSession(session, reason, now);
    for (const attempt of attempts) this.#emit({ kind: 'attemptCancelled', session, ...attempt });
  }

  /** Handles at most `count` instances that are due; the order is the same on every replica. */
  fireDue(count: number, now: Now): void {
    for (let i = 0; i < count; i++) {
      const first = this.due.peek();
      if (first === undefined || first.dueMs > now.timeMs) return;
      const instance = this.active.get(first.id);
      assert(instance !== undefined, 'only a running instance is due');
      const plan = this.planOf(instance);
      this.#settle(instance, plan, fireTimers(plan, instance, now), now, -1);
    }
  }

  #admit(instance: Instance, plan: Plan): void {
    this.active.set(instance.id, instance);
    this.due.set(instance.id, nextDueMs(instance));
    instance.tasks.forEach((task, position) => {
      const taskId = plan.tasks[position]?.id ?? '';
      if (task.status === 'READY') this.#addReady(instance.id, plan, position);
      if (task.status !== 'RUNNING' || task.session === null) return;
      const running = this.running.get(task.session) ?? new Map<string, TaskRef>();
      running.set(refKey(instance.id, position), { instanceId: instance.id, position, taskId });
      this.running.set(task.session, running);
      this.runningCount++;
    });
  }

  #addReady(instanceId: string, plan: Plan, position: number): void {
    const task = plan.tasks[position];
    assert(task !== undefined, 'a ready task is a task of the plan');
    const { demand } = task;
    let queue = this.ready.get(demand.key);
    if (queue === undefined) {
      queue = { demand, tasks: new Map() };
      this.ready.set(demand.key, queue);
    }
    queue.tasks.set(refKey(instanceId, position), { instanceId, position, taskId: task.id });
    this.readyCount++;
  }

  #unready(instance: Instance, plan: Plan, position: number): void {
    const key = plan.tasks[position]?.demand.key ?? '';
    const queue = this.ready.get(key);
    if (queue?.tasks.delete(refKey(instance.id, position)) !== true) return;
    this.readyCount--;
    if (queue.tasks.size === 0) this.ready.delete(key);
  }

  #stopRunning(session: string | null | undefined, instanceId: string, position: number): void {
    if (session === null || session === undefined) return;
    const running = this.running.get(session);
    if (running?.delete(refKey(instanceId, position)) !== true) return;
    this.runningCount--;
    this.changedSessions.add(session);
    if (running.size === 0) this.running.delete(session);
  }

  /** Brings indexes, record and watchers up to date after a transition; `reported` is the task that caused it, or -1. */
  #settle(instance: Instance, plan: Plan, changes: Changes, now: Now, reported: number): void {
    for (const { position, token, session } of changes.cancelled) {
      this.#stopRunning(session, instance.id, position);
      const taskId = plan.tasks[position]?.id ?? '';
      this.#emit({ kind: 'attemptCancelled', session, instanceId: instance.id, taskId, token });
    }
    for (const position of changes.ended) {
      if (position !== reported) this.#unready(instance, plan, position);
      const status = instance.tasks[position]?.status ?? '';
      this.#emit({ kind: 'taskEnded', type: plan.tasks[position]?.type ?? '', status });
    }
    for (const position of changes.retried) this.#emit({ kind: 'taskRetried', type: plan.tasks[position]?.type ?? '' });
    for (const position of changes.ready) this.#addReady(instance.id, plan, position);
    this.#save(instance);
    if (instance.status === 'RUNNING') {
      this.due.set(instance.id, nextDueMs(instance));
      return;
    }
    this.active.delete(instance.id);
    this.due.delete(instance.id);
    this.#overlay.delete(activeKey(instance.id));
    this.#emit({ kind: 'instanceEnded', instance, timeMs: now.timeMs });
  }

  #save(instance: Instance): void {
    this.#overlay.put(instanceKey(instance.id), encodeText(this.#host, JSON.stringify(instance)));
  }
}
