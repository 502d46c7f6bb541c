/**
 * How a state goes on as another cluster: one entry, far behind everything its old cluster ever appended, gives it a new
 * id and one voter, ends the workers' sessions, and is the first entry of the new log.
 *
 * Invariants
 * 1. Fencing tokens are log indexes: those of the new cluster are above every one that the old one issued, also those of
 *    entries which are in no copy that is left.
 * 2. A node that still has the old log shares no entry with the new one: it gets the whole state, or nothing.
 */
import { assert } from '../../../base/assert.ts';
import { DistricError } from '../../../base/errors.ts';
import type { Host } from '../../../base/host.ts';
import { encodeEntry, type Entry } from '../raft/entry.ts';
import { encodeMembership, type Membership } from '../raft/membership.ts';
import { encode } from '../tlv/struct.ts';
import { type ActorField, COMMAND, Refound } from './commands.ts';
import type { StateMachine } from './machine.ts';

/** 14 years of 10,000 entries a second; indexes end at 2^53, after two thousand jumps. */
export const INDEX_JUMP = 2 ** 42;

export interface Refounding {
  clusterId: string;
  membership: Membership;
  action: 'cluster.restore' | 'cluster.recover';
  reason: string;
  actor: ActorField;
  /** Above every term of the old cluster that is known. */
  term: number;
  /** Cluster time to go on from, ms. */
  timeMs: number;
  wallMs: number;
}

/**
 * Applies the entry to `state`, and returns it for the log that begins with it.
 * @throws DistricError LIMIT_EXCEEDED: there is no room for another jump.
 */
export function refound(host: Host, state: StateMachine, order: Refounding): Entry {
  const { clusterId, membership, action, reason, actor, term, wallMs } = order;
  assert(clusterId !== state.clusterId, 'a new cluster has an id of its own');
  const index = state.appliedIndex + INDEX_JUMP;
  if (index > Number.MAX_SAFE_INTEGER - INDEX_JUMP) {
    throw new DistricError('LIMIT_EXCEEDED', 'this state was restored or recovered too often: its indexes are used up');
  }
  const body = { clusterId, reason, membership: encodeMembership(host, membership), action, actor };
  const timeMs = Math.max(state.timeMs, order.timeMs);
  const head = { term, index, timeMs, wallMs, kind: COMMAND.refound, previousChecksum: 0 };
  const entry = encodeEntry(host, head, encode(host, Refound, body));
  state.apply(entry);
  return entry;
}
