/** A replicated state over a store in memory, for tests: commands in, outcomes and events out. */
import type { Rule } from '../../../api/rule.ts';
import type { Workflow } from '../../../api/workflow.ts';
import type { Host } from '../../../base/host.ts';
import { encodeEntry } from '../raft/entry.ts';
import { encode, type Struct } from '../tlv/struct.ts';
import {
  AdvanceTime,
  Assign,
  CancelInstance,
  COMMAND,
  DeleteDocument,
  EndDrain,
  LoseWorker,
  MessageBatch,
  MessageItem,
  OrderDrain,
  PutDocument,
  RegisterWorker,
  Results,
} from './commands.ts';
import type { StateEvent } from './events.ts';
import { FEATURE_LEVEL } from './feature-level.ts';
import { StateMachine } from './machine.ts';
import { MemoryStore } from './memory-store.ts';
import type { ProposalResult } from './outcomes.ts';

export interface Applied {
  result: ProposalResult;
  events: StateEvent[];
}

export interface Command {
  kind: number;
  payload: Uint8Array;
  timeMs: number;
}

export const START_MS = 1_000_000;
/** Wall clock minus cluster time, in the entries of a test. */
export const WALL_OFFSET_MS = 1_700_000_000_000;

const ACTOR = { kind: 'key', id: 'k1', name: 'ops', role: 'operator' };

export class TestReplica {
  readonly host: Host;
  readonly store: MemoryStore;
  readonly machine: StateMachine;
  /** Every command so far, to apply it to another replica. */
  readonly history: Command[] = [];
  timeMs = START_MS;

  /** `levelMax`: as a release that supports feature levels up to this one. */
  constructor(host: Host, store = new MemoryStore(), levelMax = FEATURE_LEVEL) {
    this.host = host;
    this.store = store;
    this.machine = new StateMachine(host, store, levelMax);
  }

  apply<T>(kind: number, struct: Struct<T>, body: T): Applied {
    return this.applyBytes({ kind, payload: encode(this.host, struct, body), timeMs: this.timeMs });
  }

  applyBytes(command: Command): Applied {
    const { kind, payload, timeMs } = command;
    this.timeMs = timeMs;
    this.history.push(command);
    const index = this.machine.appliedIndex + 1;
    const head = { term: 1, index, timeMs, wallMs: WALL_OFFSET_MS + timeMs, kind, previousChecksum: 0 };
    return this.machine.apply(encodeEntry(this.host, head, payload));
  }

  /** Commits to the store, all or as a crash would find it: what was applied since is lost with the replica. */
  commit(): void {
    this.store.commit(this.machine.takeWrites());
    this.machine.committed();
  }

  /** What a restart finds in the store, independent of this replica. */
  reopened(): TestReplica {
    const replica = new TestReplica(this.host, this.store.copy());
    replica.timeMs = this.timeMs;
    return replica;
  }

  // ---- commands ----------------------------------------------------------------------------------------------------

  putWorkflow(workflow: Workflow, mode = 'upsert', force = false): Applied {
    return this.apply(COMMAND.putWorkflow, PutDocument, { mode, document: JSON.stringify(workflow), force });
  }

  putRule(rule: Rule, mode = 'upsert', force = false): Applied {
    return this.apply(COMMAND.putRule, PutDocument, { mode, document: JSON.stringify(rule), force });
  }

  deleteRule(id: string, force = false): Applied {
    return this.apply(COMMAND.deleteRule, DeleteDocument, { id, force });
  }

  deleteWorkflow(id: string, force = false): Applied {
    return this.apply(COMMAND.deleteWorkflow, DeleteDocument, { id, force });
  }

  /** Messages as the ingress sends them, evaluated against the current catalog unless told otherwise. */
  send(items: readonly TestMessage[], catalogVersion = this.machine.catalog.version): Applied {
    const encoded = items.map((item) => encode(this.host, MessageItem, this.#item(item)));
    return this.apply(COMMAND.messages, MessageBatch, { catalogVersion, items: encoded });
  }

  #item({ id, body = '{}', rules = [], key, source }: TestMessage): MessageItem {
    const payload = this.host.alloc(this.host.textByteLength(body));
    this.host.writeText(body, payload, 0);
    return {
      id,
      receivedAt: WALL_OFFSET_MS + this.timeMs,
      payload,
      matched: rules,
      ...(key === undefined ? {} : { scopedKey: key }),
      ...(source === undefined ? {} : { source }),
    };
  }

  cancel(id: string): Applied {
    return this.apply(COMMAND.cancelInstance, CancelInstance, { id });
  }

  register(workerId: string, session: string, types: readonly string[], capacity = 4): Applied {
    const body = { workerId, session, capacity, address: '', types: types.map((name) => ({ name, version: '1' })) };
    return this.apply(COMMAND.registerWorker, RegisterWorker, body);
  }

  lose(workerId: string, session: string, left = false): Applied {
    return this.apply(COMMAND.loseWorker, LoseWorker, { workerId, session, reason: 'gone', left });
  }

  drain(workerId: string, graceMs: number): Applied {
    return this.apply(COMMAND.orderDrain, OrderDrain, { workerId, graceMs, actor: ACTOR });
  }

  undrain(workerId: string): Applied {
    return this.apply(COMMAND.endDrain, EndDrain, { workerId, actor: ACTOR });
  }

  assign(...assignments: { instanceId: string; taskId: string; workerId: string; session: string }[]): Applied {
    return this.apply(COMMAND.assign, Assign, { assignments });
  }

  report(instanceId: string, taskId: string, token: number, status: string, output?: string): Applied {
    const bytes = output === undefined ? undefined : this.host.alloc(this.host.textByteLength(output));
    if (bytes !== undefined && output !== undefined) this.host.writeText(output, bytes, 0);
    const error = status === 'ok' ? {} : { error: `it was ${status}` };
    const result = { instanceId, taskId, token, status, ...(bytes === undefined ? {} : { output: bytes }), ...error };
    return this.apply(COMMAND.results, Results, { results: [result] });
  }

  advance(ms: number): Applied {
    this.timeMs += ms;
    return this.apply(COMMAND.advanceTime, AdvanceTime, {});
  }
}

export interface TestMessage {
  id: string;
  body?: string;
  /** `id@version` of the rules it matched. */
  rules?: readonly string[];
  /** `scope/key`. */
  key?: string;
  source?: string;
}

export function ruleOf(id: string, workflows: readonly string[], more: Partial<Rule> = {}): Rule {
  const conditions = { field: 'event_type', op: 'exists' } as const;
  return {
    id,
    version: 1,
    priority: 0,
    enabled: true,
    conditions,
    actions: workflows.map((workflow) => ({ workflow })),
    ...more,
  };
}

export function workflowOf(id: string, tasks: Workflow['tasks'], more: Partial<Workflow> = {}): Workflow {
  return { id, version: 1, tasks, ...more };
}
