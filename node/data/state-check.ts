/** Does every record say what its key says, and does every index point to a record, and back? */
import { INSTANCE_STATUSES, type Instance } from '../core/workflow/instance.ts';
import { decodeText } from '../../base/host.ts';
import { decodeMembership } from '../core/raft/membership.ts';
import { decodeEntry } from '../core/raft/entry.ts';
import { MessageItem } from '../core/state/commands.ts';
import {
  activeKey,
  ANCHOR_KEY,
  dedupExpiryKey,
  dedupKey,
  instanceKey,
  MEMBERSHIP_KEY,
  messageKey,
  META_KEY,
  padded,
  revisionKey,
  workflowKey,
} from '../core/state/keys.ts';
import type { KeyValueReader } from '../core/state/store.ts';
import { decode } from '../core/tlv/struct.ts';
import { nodeHost } from '../io/host.ts';
import { BEHIND_ALL_KEYS, TableCounts } from './tables.ts';

type Fault = string | undefined;
/** `id` is the key behind its prefix. Throws when the record can't be read. */
type Check = (id: string, value: Uint8Array, state: KeyValueReader) => Fault;

interface Stored {
  document: { id: string; actions?: { workflow: string }[] };
  revision: number;
}

function json(bytes: Uint8Array): unknown {
  return JSON.parse(decodeText(nodeHost, bytes));
}

function recordAt(state: KeyValueReader, key: string): unknown {
  const bytes = state.get(key);
  return bytes === undefined ? undefined : json(bytes);
}

/** Of JSON records whose key is one of their fields. */
function named(field: 'id' | 'name'): Check {
  return (id, value) => {
    const found = (json(value) as Record<string, unknown>)[field];
    return found === id ? undefined : `says that its ${field} is ${JSON.stringify(found)}`;
  };
}

function checkInstance(id: string, value: Uint8Array, state: KeyValueReader): Fault {
  const instance = json(value) as Instance;
  if (instance.id !== id) return `says that its id is "${instance.id}"`;
  if (!INSTANCE_STATUSES.includes(instance.status) || !Array.isArray(instance.tasks)) return 'is no instance';
  if (state.get(revisionKey(instance.workflow, instance.revision)) === undefined) {
    return `runs revision ${String(instance.revision)} of workflow "${instance.workflow}", which is not there`;
  }
  const isRunning = instance.status === 'RUNNING';
  if (isRunning !== (state.get(activeKey(id)) !== undefined)) {
    return isRunning ? 'is running and not in the index of those' : 'has ended and is in the index of running ones';
  }
  const lacksMessage = isRunning && state.get(messageKey(instance.messageId)) === undefined;
  return lacksMessage ? `is running, and its message "${instance.messageId}" is not there` : undefined;
}

function checkDedup(id: string, value: Uint8Array, state: KeyValueReader): Fault {
  const { expiresMs } = json(value) as { expiresMs: number };
  return state.get(dedupExpiryKey(expiresMs, id)) === undefined ? 'is not in the index by time' : undefined;
}

function checkExpiry(id: string, _value: Uint8Array, state: KeyValueReader): Fault {
  const digits = padded(0).length;
  const record = recordAt(state, dedupKey(id.slice(digits + 1))) as { expiresMs: number } | undefined;
  return record?.expiresMs === Number(id.slice(0, digits)) ? undefined : 'points to no key that ends then';
}

function checkRule(id: string, value: Uint8Array, state: KeyValueReader): Fault {
  const { document } = json(value) as Stored;
  if (document.id !== id) return `says that its id is "${document.id}"`;
  const missing = document.actions?.find(({ workflow }) => state.get(workflowKey(workflow)) === undefined);
  return missing === undefined ? undefined : `starts workflow "${missing.workflow}", which is not there`;
}

function checkWorkflow(id: string, value: Uint8Array, state: KeyValueReader): Fault {
  const { document, revision } = json(value) as Stored;
  if (document.id !== id) return `says that its id is "${document.id}"`;
  return state.get(revisionKey(id, revision)) === undefined ? `lacks its revision ${String(revision)}` : undefined;
}

const CHECKS: Readonly<Record<string, Check>> = {
  m: (id, value) => {
    const item = decode(nodeHost, MessageItem, value);
    return item.id === id ? undefined : `says that its id is "${item.id}"`;
  },
  d: checkDedup,
  x: checkExpiry,
  i: checkInstance,
  a: (id, _value, state) => {
    const instance = recordAt(state, instanceKey(id)) as Instance | undefined;
    return instance?.status === 'RUNNING' ? undefined : 'points to no running instance';
  },
  o: (id, value, state) => {
    json(value);
    return state.get(instanceKey(id.slice(0, id.indexOf('/')))) === undefined ? 'is of no instance' : undefined;
  },
  r: checkRule,
  w: checkWorkflow,
  v: (id, value) => {
    const { document, revision } = json(value) as Stored;
    return id === `${document.id}/${padded(revision)}` ? undefined : 'is of another workflow or revision';
  },
  k: named('id'),
  t: named('name'),
  y: named('id'),
  u: (id, value) => ((json(value) as { index: number }).index === Number(id) ? undefined : 'is of another entry'),
};

/** Records that stand alone, under a key of their own. */
const SINGLE: Readonly<Record<string, (value: Uint8Array) => Fault>> = {
  [META_KEY]: (value) => void json(value),
  [MEMBERSHIP_KEY]: (value) => {
    const { voters } = decodeMembership(nodeHost, value);
    return Array.isArray(voters) && voters.length > 0 ? undefined : 'names no voter';
  },
  [ANCHOR_KEY]: (value) => (decodeEntry(nodeHost, value) === undefined ? 'is no intact entry' : undefined),
};

/** What is wrong with the records of a state, in words; nothing when all is well. */
export function* stateFaults(state: KeyValueReader): Generator<string> {
  const tables = new TableCounts();
  for (const { key, value } of state.range('', BEHIND_ALL_KEYS)) {
    tables.add(key);
    const fault = faultOf(key, value, state);
    if (fault !== undefined) yield `state: ${key} ${fault}`;
  }
  const meta = recordAt(state, META_KEY) as Record<string, number> | undefined;
  if (meta === undefined) return;
  const { messages, instances, idempotency_keys: dedupKeys, audit_rows: auditRows } = tables.counts;
  for (const [name, count] of Object.entries({ messages, instances, dedupKeys, auditRows })) {
    const said = meta[name]; // absent in a state of a release that did not count them
    if (said !== undefined && said !== count)
      yield `state: it counts ${String(said)} ${name}, and has ${String(count)}`;
  }
}

function faultOf(key: string, value: Uint8Array, state: KeyValueReader): Fault {
  const slash = key.indexOf('/');
  const single = Object.hasOwn(SINGLE, key) ? SINGLE[key] : undefined;
  const check = slash > 0 ? CHECKS[key.slice(0, slash)] : undefined;
  try {
    if (single !== undefined) return single(value);
    return check === undefined
      ? 'belongs to nothing that this release knows'
      : check(key.slice(slash + 1), value, state);
  } catch (error) {
    return `can't be read: ${error instanceof Error ? error.message : String(error)}`;
  }
}
