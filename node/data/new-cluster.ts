import { randomUUID } from 'node:crypto';
import { decodeEntry, type Entry } from '../core/raft/entry.ts';
import { membershipOf } from '../core/raft/membership.ts';
import { ANCHOR_KEY } from '../core/state/keys.ts';
import type { StateMachine } from '../core/state/machine.ts';
import { refound, type Refounding } from '../core/state/refounding.ts';
import type { Writes } from '../core/state/store.ts';
import { nodeHost } from '../io/host.ts';
import type { LogStore } from '../io/lmdb/log-store.ts';
import type { StateStore } from '../io/lmdb/state-store.ts';

export interface NewCluster {
  /** Its one voter. */
  nodeId: string;
  /** Whom the audit log names. */
  operator: string;
}

/**
 * Makes of log and state the data of a new cluster. A crash in between leaves either the old cluster, at most with a higher
 * term, or the new one: once the state is committed, the node restarts its log at the anchor that is committed with it.
 */
export async function becomeNewCluster(
  { nodeId, operator }: NewCluster,
  action: Refounding['action'],
  reason: string,
  machine: StateMachine,
  stores: { log: LogStore; state: StateStore },
  termSeen: number,
): Promise<Entry> {
  const { log, state } = stores;
  const term = Math.max(termSeen, log.boot.hardState.term) + 1;
  const entry = refound(nodeHost, machine, {
    clusterId: randomUUID(),
    membership: membershipOf([nodeId]),
    action,
    reason,
    actor: { kind: 'offline', id: operator, name: operator, role: 'admin' },
    term,
    timeMs: lastTimeMs(log),
    wallMs: Date.now(),
  });
  await log.persist({ hardState: { term, votedFor: null }, entries: [] });
  const writes: Writes = new Map([...machine.takeWrites(), [ANCHOR_KEY, entry.bytes]]);
  await state.commit(writes);
  await log.persist({ restart: true, entries: [{ index: entry.index, bytes: entry.bytes }] });
  return entry;
}

/** Cluster time never goes back, also not to what the state had when it was committed last. */
function lastTimeMs(log: LogStore): number {
  const { lastIndex } = log.boot;
  const [bytes] = lastIndex === 0 ? [] : log.read(lastIndex, lastIndex + 1, 0);
  return bytes === undefined ? 0 : (decodeEntry(nodeHost, bytes)?.timeMs ?? 0);
}
