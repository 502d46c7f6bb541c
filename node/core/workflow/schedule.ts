/**
 * The life of an instance, as pure transitions over its record.
 *
 * Invariants
 * 1. A task becomes READY only when all its dependencies are COMPLETED.
 * 2. A COMPLETED, FAILED, TIMED_OUT or CANCELLED task never changes again: one committed result per task.
 * 3. A result counts only with the token of the attempt that is RUNNING.
 * 4. When the instance ends, no task is left READY, RUNNING or RETRYING.
 */
import { assert } from '../../../base/assert.ts';
import type { Instance, InstanceStatus, TaskState, TaskStatus } from './instance.ts';
import type { Plan } from './plan.ts';

/** An attempt lost this often with its worker is a failure: it may be what kills the workers. */
export const REDISPATCHES_MAX = 20;
export const RETRY_FIRST_MS = 1_000;
export const RETRY_CAP_MS = 5 * 60_000;
export const ERROR_CHARS_MAX = 2_000;

export interface Now {
  /** Cluster time, ms. */
  timeMs: number;
  /** Wall clock of the leader that wrote the entry, ms since the epoch. */
  wallMs: number;
}

/** What a transition set in motion; positions are those of the plan's tasks. */
export interface Changes {
  ready: number[];
  /** Attempts to call back from their workers. */
  cancelled: { position: number; token: number; session: string }[];
  /** Tasks that reached their final status. */
  ended: number[];
  /** Tasks whose failed attempt will be followed by another. */
  retried: number[];
}

function noChanges(): Changes {
  return { ready: [], cancelled: [], ended: [], retried: [] };
}

export interface NewInstance {
  id: string;
  messageId: string;
  rule: string;
  params: unknown;
  retryDefault: number;
  timeoutMs: number;
}

export function createInstance(plan: Plan, start: NewInstance, now: Now): Instance {
  return {
    id: start.id,
    workflow: plan.workflow,
    revision: plan.revision,
    messageId: start.messageId,
    rule: start.rule,
    params: start.params,
    retryDefault: start.retryDefault,
    status: 'RUNNING',
    createdMs: now.timeMs,
    createdAt: now.wallMs,
    endedAt: 0,
    deadlineMs: now.timeMs + start.timeoutMs,
    error: null,
    tasks: plan.tasks.map((task) => newTask(task.dependsOn.length === 0, now)),
  };
}

function newTask(ready: boolean, now: Now): TaskState {
  return {
    status: ready ? 'READY' : 'PENDING',
    attempts: 0,
    failures: 0,
    redispatches: 0,
    token: 0,
    worker: null,
    session: null,
    readyAt: ready ? now.wallMs : 0,
    startedAt: 0,
    endedAt: 0,
    dueMs: 0,
    error: null,
  };
}

function taskAt(instance: Instance, position: number): TaskState {
  const task = instance.tasks[position];
  assert(task !== undefined, 'a task of the plan is a task of the instance');
  return task;
}

/** False when the assignment is void: the task is not waiting for one (any more). */
export function assignTask(
  plan: Plan,
  instance: Instance,
  position: number,
  attempt: { token: number; worker: string; session: string },
  now: Now,
): boolean {
  const task = taskAt(instance, position);
  if (instance.status !== 'RUNNING' || task.status !== 'READY') return false;
  assert(attempt.token > task.token, 'fencing tokens rise with each attempt');
  task.status = 'RUNNING';
  task.attempts++;
  task.token = attempt.token;
  task.worker = attempt.worker;
  task.session = attempt.session;
  task.startedAt = now.wallMs;
  task.dueMs = now.timeMs + (plan.tasks[position]?.timeoutMs ?? 0);
  return true;
}

export type AttemptEnd =
  | { status: 'ok' }
  | { status: 'retryable' | 'terminal'; error: string }
  | { status: 'lost'; error: string }
  | { status: 'timeout' };

/** Undefined when `token` is not that of the running attempt: STALE_ATTEMPT, nothing changed. */
export function endAttempt(
  plan: Plan,
  instance: Instance,
  position: number,
  token: number,
  end: AttemptEnd,
  now: Now,
): Changes | undefined {
  const task = taskAt(instance, position);
  if (instance.status !== 'RUNNING' || task.status !== 'RUNNING' || task.token !== token) return undefined;
  const changes = noChanges();
  task.dueMs = 0;
  task.session = null;
  switch (end.status) {
    case 'ok':
      completeTask(plan, instance, position, now, changes);
      break;
    case 'lost':
      task.redispatches++;
      if (task.redispatches > REDISPATCHES_MAX) {
        failTask(instance, position, 'FAILED', `lost with its worker ${String(task.redispatches)} times`, now, changes);
      } else {
        makeReady(task, position, now, changes);
      }
      break;
    case 'retryable':
      retryOrFail(plan, instance, position, 'FAILED', end.error, now, changes);
      break;
    case 'timeout':
      retryOrFail(plan, instance, position, 'TIMED_OUT', 'the attempt ran over its time-out', now, changes);
      break;
    case 'terminal':
      task.failures++;
      failTask(instance, position, 'FAILED', end.error, now, changes);
      break;
  }
  return changes;
}

function makeReady(task: TaskState, position: number, now: Now, changes: Changes): void {
  task.status = 'READY';
  task.readyAt = now.wallMs;
  changes.ready.push(position);
}

function completeTask(plan: Plan, instance: Instance, position: number, now: Now, changes: Changes): void {
  const task = taskAt(instance, position);
  task.status = 'COMPLETED';
  task.endedAt = now.wallMs;
  task.error = null;
  changes.ended.push(position);
  for (const dependent of plan.tasks[position]?.dependents ?? []) {
    const waiting = taskAt(instance, dependent);
    const dependencies = plan.tasks[dependent]?.dependsOn ?? [];
    if (waiting.status === 'PENDING' && dependencies.every((d) => instance.tasks[d]?.status === 'COMPLETED')) {
      makeReady(waiting, dependent, now, changes);
    }
  }
  if (instance.tasks.every(({ status }) => status === 'COMPLETED')) {
    instance.status = 'COMPLETED';
    instance.endedAt = now.wallMs;
  }
}

function retryOrFail(
  plan: Plan,
  instance: Instance,
  position: number,
  finalStatus: 'FAILED' | 'TIMED_OUT',
  error: string,
  now: Now,
  changes: Changes,
): void {
  const task = taskAt(instance, position);
  const planned = plan.tasks[position];
  task.failures++;
  if (task.failures > (planned?.retryMax ?? instance.retryDefault)) {
    failTask(instance, position, finalStatus, error, now, changes);
    return;
  }
  task.status = 'RETRYING';
  task.error = error.slice(0, ERROR_CHARS_MAX);
  task.dueMs = now.timeMs + retryDelayMs(`${instance.id}/${planned?.id ?? ''}`, task.failures);
  changes.retried.push(position);
}

/** 1, 2, 4 … s, at most 5 min, ±10 % by a hash of task and attempt: the same on every replica. */
export function retryDelayMs(taskKey: string, failures: number): number {
  const delay = Math.min(RETRY_FIRST_MS * 2 ** (failures - 1), RETRY_CAP_MS);
  let hash = 0x811c9dc5; // FNV-1a
  const text = `${taskKey}#${String(failures)}`;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  const perMille = 900 + ((hash >>> 0) % 201);
  return Math.floor((delay * perMille) / 1000);
}

function failTask(
  instance: Instance,
  position: number,
  status: 'FAILED' | 'TIMED_OUT',
  error: string,
  now: Now,
  changes: Changes,
): void {
  const task = taskAt(instance, position);
  task.status = status;
  task.endedAt = now.wallMs;
  task.error = error.slice(0, ERROR_CHARS_MAX);
  changes.ended.push(position);
  stopInstance(instance, 'FAILED', `task failed: ${task.error}`, now, changes);
}

function stopInstance(instance: Instance, status: InstanceStatus, error: string, now: Now, changes: Changes): void {
  instance.status = status;
  instance.endedAt = now.wallMs;
  instance.error = error.slice(0, ERROR_CHARS_MAX);
  instance.tasks.forEach((task, position) => {
    if (task.status === 'RUNNING' && task.session !== null) {
      changes.cancelled.push({ position, token: task.token, session: task.session });
    }
    if (
      task.status === 'PENDING' ||
      task.status === 'READY' ||
      task.status === 'RUNNING' ||
      task.status === 'RETRYING'
    ) {
      task.status = 'CANCELLED';
      task.endedAt = now.wallMs;
      task.dueMs = 0;
      task.session = null;
      changes.ended.push(position);
    }
  });
}

/** Ends a running instance from outside (cancel) or for its deadline. */
export function endInstance(instance: Instance, status: 'CANCELLED' | 'TIMED_OUT', error: string, now: Now): Changes {
  assert(instance.status === 'RUNNING', 'only a running instance is ended');
  const changes = noChanges();
  stopInstance(instance, status, error, now, changes);
  return changes;
}

/** Cluster time at which this instance next needs attention. */
export function nextDueMs(instance: Instance): number {
  let due = instance.deadlineMs;
  for (const task of instance.tasks) if (task.dueMs > 0 && task.dueMs < due) due = task.dueMs;
  return due;
}

/** Everything that is due at `now`: the deadline, attempts over their time-out, retries. */
export function fireTimers(plan: Plan, instance: Instance, now: Now): Changes {
  if (instance.deadlineMs <= now.timeMs) {
    return endInstance(instance, 'TIMED_OUT', 'the instance reached its deadline', now);
  }
  const all = noChanges();
  for (let position = 0; position < instance.tasks.length; position++) {
    const task = taskAt(instance, position);
    if (task.dueMs === 0 || task.dueMs > now.timeMs) continue;
    if (task.status === 'RETRYING') {
      task.dueMs = 0;
      makeReady(task, position, now, all);
      continue;
    }
    const { token, session } = task;
    const changes = endAttempt(plan, instance, position, token, { status: 'timeout' }, now);
    if (changes === undefined) continue;
    if (session !== null) all.cancelled.push({ position, token, session });
    all.ready.push(...changes.ready);
    all.cancelled.push(...changes.cancelled);
    all.ended.push(...changes.ended);
    all.retried.push(...changes.retried);
  }
  // A later time-out may have ended the instance, and with it what was set in motion before.
  const still = (status: TaskStatus) => (position: number) => instance.tasks[position]?.status === status;
  return { ...all, ready: all.ready.filter(still('READY')), retried: all.retried.filter(still('RETRYING')) };
}
