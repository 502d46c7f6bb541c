/**
 * The changes that people make: rules, workflows, cancellation, keys. Each is looked at before and after, and both go
 * to the audit log with its actor; an entry of an earlier release has no actor and leaves no row, as it did then.
 */
import type { Rule } from '../../../api/rule.ts';
import type { Workflow } from '../../../api/workflow.ts';
import { DistricError } from '../../../base/errors.ts';
import type { Host } from '../../../base/host.ts';
import { isoTime } from '../../../base/iso-time.ts';
import { decode, type Infer } from '../tlv/struct.ts';
import type { Now } from '../workflow/schedule.ts';
import { type AccessTable, keyResource } from './access-table.ts';
import type { AuditLog } from './audit-log.ts';
import type { Catalog, Change, PutMode } from './catalog.ts';
import {
  type ActorField,
  CancelInstance,
  COMMAND,
  CreateKey,
  DeleteDocument,
  EndDrain,
  NoteBackup,
  Note,
  OrderDrain,
  PutDocument,
  RevokeKey,
  RotateKey,
  TransferLeadership,
} from './commands.ts';
import type { StateEvent } from './events.ts';
import type { InstanceTable } from './instance-table.ts';
import { DONE, type ProposalResult } from './outcomes.ts';
import type { DrainOrder, WorkerTable } from './worker-table.ts';

export interface AdministrationParts {
  host: Host;
  catalog: Catalog;
  instances: InstanceTable;
  workers: WorkerTable;
  access: AccessTable;
  audit: AuditLog;
  emit: (event: StateEvent) => void;
}

interface Order {
  actor: ActorField | undefined;
  action: string;
  target: string;
  /** What is there at present, as the audit log shows it; null for nothing. */
  look: () => unknown;
  /** Makes the change; gives the resource to answer with, if any. */
  run: () => unknown;
}

interface StoredDocument {
  document: object;
  revision: number;
}

function shown(stored: StoredDocument | undefined): unknown {
  return stored === undefined ? null : { ...stored.document, revision: stored.revision };
}

function modeOf(text: string): PutMode {
  return text === 'create' ? 'create' : 'upsert';
}

export class Administration {
  readonly #parts: AdministrationParts;

  constructor(parts: AdministrationParts) {
    this.#parts = parts;
  }

  /** Undefined when the entry is none of these. Throws DistricError with the refusal, MalformedError. */
  apply(kind: number, payload: Uint8Array, index: number, now: Now): ProposalResult | undefined {
    if (kind === COMMAND.note) {
      const note = decode(this.#parts.host, Note, payload);
      this.#parts.audit.record({ ...note, before: null, after: null }, index, now.wallMs);
      return DONE;
    }
    const order = this.#orderOf(kind, payload, now);
    if (order === undefined) return undefined;
    const { actor, action, target } = order;
    const before = actor === undefined ? null : order.look();
    const note = (outcome: string, states: { before: unknown; after: unknown }): void => {
      if (actor !== undefined)
        this.#parts.audit.record({ actor, action, target, outcome, ...states }, index, now.wallMs);
    };
    try {
      const resource = order.run();
      note('ok', { before, after: order.look() });
      return resource === undefined ? DONE : { ...DONE, resource: JSON.stringify(resource) };
    } catch (error) {
      if (error instanceof DistricError) note(error.code, { before: null, after: null });
      throw error;
    }
  }

  #orderOf(kind: number, payload: Uint8Array, now: Now): Order | undefined {
    const { host } = this.#parts;
    switch (kind) {
      case COMMAND.putRule:
        return this.#putRule(decode(host, PutDocument, payload));
      case COMMAND.deleteRule:
        return this.#deleteRule(decode(host, DeleteDocument, payload));
      case COMMAND.putWorkflow:
        return this.#putWorkflow(decode(host, PutDocument, payload));
      case COMMAND.deleteWorkflow:
        return this.#deleteWorkflow(decode(host, DeleteDocument, payload));
      case COMMAND.cancelInstance:
        return this.#cancel(decode(host, CancelInstance, payload), now);
      case COMMAND.noteBackup: {
        const { actor } = decode(host, NoteBackup, payload);
        return { actor, action: 'cluster.backup', target: 'cluster', look: () => null, run: () => undefined };
      }
      case COMMAND.createKey:
      case COMMAND.revokeKey:
      case COMMAND.rotateKey:
        return this.#keyOrder(kind, payload, now);
      case COMMAND.transferLeadership:
        return this.#transfer(decode(host, TransferLeadership, payload));
      case COMMAND.orderDrain:
      case COMMAND.endDrain:
        return this.#drainOrder(kind, payload, now);
      default:
        return undefined;
    }
  }

  // ---- catalog -----------------------------------------------------------------------------------------------------

  #putRule(command: Infer<typeof PutDocument>): Order {
    const { catalog, emit } = this.#parts;
    const rule = documentOf(command.document, 'actions') as Rule;
    return {
      actor: command.actor,
      action: 'rule.put',
      target: `rule/${rule.id}`,
      look: () => shown(catalog.rules.get(rule.id)),
      run: () => {
        const outcome = catalog.putRule(rule, modeOf(command.mode), command.force);
        if (outcome.change !== 'unchanged') emit({ kind: 'catalogChanged' });
        return answer(outcome);
      },
    };
  }

  #deleteRule({ id, actor, force }: Infer<typeof DeleteDocument>): Order {
    const { catalog, emit } = this.#parts;
    return {
      actor,
      action: 'rule.delete',
      target: `rule/${id}`,
      look: () => shown(catalog.rules.get(id)),
      run: () => {
        catalog.deleteRule(id, force);
        emit({ kind: 'catalogChanged' });
        return undefined;
      },
    };
  }

  #putWorkflow(command: Infer<typeof PutDocument>): Order {
    const { catalog } = this.#parts;
    const workflow = documentOf(command.document, 'tasks') as Workflow;
    return {
      actor: command.actor,
      action: 'workflow.put',
      target: `workflow/${workflow.id}`,
      look: () => shown(catalog.workflows.get(workflow.id)),
      run: () => answer(catalog.putWorkflow(workflow, modeOf(command.mode), command.force)),
    };
  }

  #deleteWorkflow({ id, actor, force }: Infer<typeof DeleteDocument>): Order {
    const { catalog } = this.#parts;
    return {
      actor,
      action: 'workflow.delete',
      target: `workflow/${id}`,
      look: () => shown(catalog.workflows.get(id)),
      run: () => {
        catalog.deleteWorkflow(id, force);
        return undefined;
      },
    };
  }

  #cancel({ id, actor }: { id: string; actor?: ActorField }, now: Now): Order {
    const { instances } = this.#parts;
    const look = (): unknown => {
      const instance = instances.get(id);
      return instance === undefined ? null : { id, workflow: instance.workflow, status: instance.status };
    };
    const run = (): unknown => {
      const instance = instances.get(id);
      if (instance === undefined) throw new DistricError('NOT_FOUND', `there is no instance "${id}"`);
      // Cancelling what has ended already changes nothing: a repeated request is harmless.
      if (instance.status === 'RUNNING') instances.cancel(instance, now);
      return { id, status: instance.status };
    };
    return { actor, action: 'instance.cancel', target: `instance/${id}`, look, run };
  }

  #transfer({ target, actor }: { target: string; actor?: ActorField }): Order {
    const run = (): unknown => {
      this.#parts.emit({ kind: 'transferOrdered', target });
      return { target };
    };
    return { actor, action: 'leader.transfer', target: `member/${target}`, look: () => null, run };
  }

  // ---- workers -----------------------------------------------------------------------------------------------------

  #drainOrder(kind: number, payload: Uint8Array, { timeMs, wallMs }: Now): Order {
    const { host, workers, emit } = this.#parts;
    const order = (action: string, workerId: string, actor: ActorField | undefined, change: () => void): Order => {
      const look = (): unknown => drainResource(workerId, workers.drains.get(workerId));
      const run = (): unknown => {
        change();
        emit({ kind: 'drainChanged', workerId });
        return look();
      };
      return { actor, action, target: `worker/${workerId}`, look, run };
    };
    if (kind === COMMAND.orderDrain) {
      const { workerId, graceMs, actor } = decode(host, OrderDrain, payload);
      return order('worker.drain', workerId, actor, () =>
        workers.orderDrain({ workerId, orderedAt: wallMs, graceMs, dueMs: timeMs + graceMs }),
      );
    }
    const { workerId, actor } = decode(host, EndDrain, payload);
    return order('worker.undrain', workerId, actor, () => workers.endDrain(workerId));
  }

  // ---- keys --------------------------------------------------------------------------------------------------------

  #keyOrder(kind: number, payload: Uint8Array, { wallMs }: Now): Order {
    const { host, access } = this.#parts;
    const order = (
      action: string,
      { id, actor }: { id: string; actor?: ActorField },
      run: () => Parameters<typeof keyResource>[0],
    ): Order => ({
      actor,
      action,
      target: `key/${id}`,
      look: () => {
        const key = access.keys.get(id);
        return key === undefined ? null : keyResource(key);
      },
      run: () => keyResource(run()),
    });
    if (kind === COMMAND.createKey) {
      const command = decode(host, CreateKey, payload);
      const { id, name, role, hash, expiresAt = null, rateLimit = null } = command;
      return order('key.create', command, () => access.create({ id, name, role, hash, expiresAt, rateLimit }, wallMs));
    }
    if (kind === COMMAND.revokeKey) {
      const command = decode(host, RevokeKey, payload);
      return order('key.revoke', command, () => access.revoke(command.id, wallMs));
    }
    const command = decode(host, RotateKey, payload);
    const { id, hash, overlapMs } = command;
    return order('key.rotate', command, () => access.rotate(id, hash, overlapMs, wallMs));
  }
}

function drainResource(id: string, order: DrainOrder | undefined): unknown {
  return order === undefined
    ? { id, draining: false }
    : { id, draining: true, ordered_at: isoTime(order.orderedAt), grace_ms: order.graceMs };
}

function answer({ change, stored }: { change: Change; stored: StoredDocument }): unknown {
  return { ...stored.document, revision: stored.revision, change };
}

/**
 * A document that the ingress has validated and written as JSON. Validation proper may change with the version and is
 * not repeated here; what is no document at all is refused, because a throw would stop every replica at this entry.
 */
function documentOf(text: string, listName: string): unknown {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    document = undefined;
  }
  const list = isObject(document) && typeof document['id'] === 'string' ? document[listName] : undefined;
  if (Array.isArray(list) && list.every(isObject)) return document;
  throw new DistricError('INVALID_DOCUMENT', `the command holds no document with an id and ${listName}`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
