/** Answers to queries: the state in the shape REST gives it (snake_case, RFC 3339 times in UTC). */
import { DistricError } from '../../../base/errors.ts';
import { decodeText, type Host } from '../../../base/host.ts';
import { isoTime } from '../../../base/iso-time.ts';
import type { Instance, TaskState } from '../workflow/instance.ts';
import { type KeyRecord, keyResource } from './access-table.ts';
import { matchedRule, type MessageItem } from './commands.ts';
import { afterPrefix, instanceKey, outputKey } from './keys.ts';
import type { StateMachine } from './machine.ts';
import type { NodeQuery, Page, Query } from './query.ts';

/** Rows looked at for one page of a filtered list; the cursor goes on from there. */
export const SCAN_ROWS_MAX = 10_000;
/** The same in bytes: a page of the largest messages or instances must not hold up the loop, nor be all in memory. */
export const SCAN_BYTES_MAX = 4 * 1024 * 1024;

type Json = Record<string, unknown>;

function timeOrNothing(name: string, ms: number): Json {
  return ms === 0 ? {} : { [name]: isoTime(ms) };
}

function byCreation(a: KeyRecord, b: KeyRecord): number {
  return a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1);
}

export class Views {
  readonly #host: Host;
  readonly #state: StateMachine;

  constructor(host: Host, state: StateMachine) {
    this.#host = host;
    this.#state = state;
  }

  /** Throws NOT_FOUND. */
  answer(query: Exclude<Query, NodeQuery>): unknown {
    switch (query.kind) {
      case 'message':
        return this.#message(query.id);
      case 'messages':
        return this.#messages(query.page);
      case 'instance':
        return this.#instance(query.id);
      case 'instances':
        return this.#instances(query);
      case 'rule': {
        const stored = this.#state.catalog.rules.get(query.id);
        if (stored === undefined) throw new DistricError('NOT_FOUND', `there is no rule "${query.id}"`);
        return { ...stored.document, revision: stored.revision };
      }
      case 'rules':
        return {
          rules: [...this.#state.catalog.rules.values()]
            .sort((a, b) => b.document.priority - a.document.priority || (a.document.id < b.document.id ? -1 : 1))
            .map(({ document, revision }) => ({ ...document, revision })),
          catalog_version: this.#state.catalog.version,
        };
      case 'workflow':
        return this.#workflow(query.id);
      case 'workflows':
        return { workflows: [...this.#state.catalog.workflows.keys()].sort().map((id) => this.#workflow(id)) };
      case 'key':
        return keyResource(this.#state.access.get(query.id));
      case 'keys':
        return { keys: [...this.#state.access.keys.values()].sort(byCreation).map(keyResource) };
      case 'audit':
        return this.#state.audit.list(query.page, query.actor, query.action);
    }
  }

  #text(bytes: Uint8Array): string {
    return decodeText(this.#host, bytes);
  }

  // ---- messages ----------------------------------------------------------------------------------------------------

  #message(id: string): Json {
    const item = this.#state.messages.get(id);
    if (item === undefined) throw new DistricError('NOT_FOUND', `there is no message "${id}"`);
    const instances: Json[] = [];
    for (const instanceId of this.#state.messages.instanceIdsOf(id)) {
      const instance = this.#state.instances.get(instanceId);
      if (instance === undefined) continue;
      instances.push({ id: instanceId, workflow: instance.workflow, status: instance.status });
    }
    return { ...this.#messageHead(item), instances };
  }

  #messageHead(item: MessageItem): Json {
    return {
      message_id: item.id,
      status: 'accepted',
      received_at: isoTime(item.receivedAt),
      ...(item.source === undefined ? {} : { source: item.source }),
      ...(item.headers === undefined ? {} : { headers: JSON.parse(item.headers) as unknown }),
      payload: JSON.parse(this.#text(item.payload)) as unknown,
      matched_rules: item.matched.map(matchedRule),
    };
  }

  #messages(page: Page): Json {
    const messages: Json[] = [];
    let last: string | undefined;
    let more = false;
    let bytes = 0;
    for (const item of this.#state.messages.newestFirst(page.cursor)) {
      bytes += item.payload.length;
      if (messages.length >= page.limit || (bytes > SCAN_BYTES_MAX && messages.length > 0)) {
        more = true;
        break;
      }
      messages.push(this.#messageHead(item));
      last = item.id;
    }
    return { messages, ...(more && last !== undefined ? { next_cursor: last } : {}) };
  }

  // ---- instances ---------------------------------------------------------------------------------------------------

  #instance(id: string): Json {
    const instance = this.#state.instances.get(id);
    if (instance === undefined) throw new DistricError('NOT_FOUND', `there is no instance "${id}"`);
    const plan = this.#state.instances.planOf(instance);
    return {
      ...this.#instanceRow(instance),
      params: instance.params,
      deadline_at: isoTime(instance.createdAt + instance.deadlineMs - instance.createdMs),
      ...(instance.error === null ? {} : { error: instance.error }),
      tasks: instance.tasks.map((task, position) => ({
        id: plan.tasks[position]?.id,
        type: plan.tasks[position]?.type,
        ...this.#task(task),
        ...this.#output(id, task, plan.tasks[position]?.id ?? ''),
      })),
    };
  }

  #task(task: TaskState): Json {
    return {
      status: task.status,
      attempts: task.attempts,
      redispatches: task.redispatches,
      ...(task.worker === null ? {} : { worker: task.worker }),
      ...(task.token === 0 ? {} : { token: task.token }),
      ...timeOrNothing('ready_at', task.readyAt),
      ...timeOrNothing('started_at', task.startedAt),
      ...timeOrNothing('ended_at', task.endedAt),
      ...(task.error === null ? {} : { error: task.error }),
      ...(task.status === 'RETRYING' ? { next_attempt_in_ms: Math.max(0, task.dueMs - this.#state.timeMs) } : {}),
    };
  }

  #output(instanceId: string, task: TaskState, taskId: string): Json {
    if (task.status !== 'COMPLETED') return {};
    const bytes = this.#state.reader.get(outputKey(instanceId, taskId));
    return bytes === undefined ? {} : { output: JSON.parse(this.#text(bytes)) as unknown };
  }

  #instanceRow(instance: Instance): Json {
    let running = 0;
    let done = 0;
    for (const { status } of instance.tasks) {
      if (status === 'RUNNING') running++;
      if (status === 'COMPLETED') done++;
    }
    return {
      id: instance.id,
      workflow: instance.workflow,
      revision: instance.revision,
      status: instance.status,
      message_id: instance.messageId,
      rule: instance.rule,
      created_at: isoTime(instance.createdAt),
      ...timeOrNothing('ended_at', instance.endedAt),
      tasks_running: running,
      tasks_done: done,
      tasks_total: instance.tasks.length,
    };
  }

  /** Newest first. */
  #instances(query: Extract<Query, { kind: 'instances' }>): Json {
    // Running ones are marked, so that listing them does not walk through all that ever ran.
    const markers = query.status === 'RUNNING' && query.message === undefined;
    const prefix = markers ? 'a/' : instanceKey(query.message === undefined ? '' : `${query.message}-`);
    const end = afterPrefix(prefix);
    const after = query.page.cursor === undefined ? end : `${prefix.slice(0, 2)}${query.page.cursor}`;
    // A cursor of another list must not lead out of this one.
    const to = after < end ? after : end;
    const instances: Json[] = [];
    let last: string | undefined;
    let scanned = 0;
    let bytes = 0;
    let more = false;
    for (const { key, value } of this.#state.reader.range(prefix, to, true)) {
      bytes += value.length;
      const overBytes = bytes > SCAN_BYTES_MAX && scanned > 0;
      if (instances.length >= query.page.limit || scanned >= SCAN_ROWS_MAX || overBytes) {
        more = true;
        break;
      }
      scanned++;
      last = key.slice(2);
      const instance = this.#state.instances.get(last);
      if (instance === undefined) continue;
      if (query.status !== undefined && instance.status !== query.status) continue;
      if (query.workflow !== undefined && instance.workflow !== query.workflow) continue;
      instances.push(this.#instanceRow(instance));
    }
    return { instances, ...(more && last !== undefined ? { next_cursor: last } : {}) };
  }

  // ---- catalog -----------------------------------------------------------------------------------------------------

  #workflow(id: string): Json {
    const stored = this.#state.catalog.workflows.get(id);
    if (stored === undefined) throw new DistricError('NOT_FOUND', `there is no workflow "${id}"`);
    const types = new Set(stored.document.tasks.map(({ type }) => type));
    const missing = [...types].filter((type) => !this.#state.workers.types.has(type));
    return { ...stored.document, revision: stored.revision, waiting_for_types: missing };
  }
}
