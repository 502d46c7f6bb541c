/** Members of gossip as REST tells of them. */
import type { NodeEvent, NodeResource } from '../api/nodes.ts';
import type { MemberView, SwimEvent } from './core/swim/swim-ports.ts';

type MemberEventKind = Extract<SwimEvent, { member: MemberView }>['kind'];

export const EVENT_NAMES: Readonly<Record<MemberEventKind, NodeEvent['event']>> = {
  join: 'joined',
  update: 'updated',
  suspect: 'suspected',
  refute: 'refuted',
  fail: 'failed',
  leave: 'left',
};

export function nodeResource({ id, status, incarnation, details, forMs }: MemberView): NodeResource {
  const base = { id, status, for_ms: Math.round(forMs), incarnation };
  if (details === undefined) return { ...base, labels: [] };
  const { role, address, labels, softwareVersion: version } = details;
  const told: NodeResource = { ...base, role, address, version, labels: [...labels] };
  const { peerAddress, httpAddress, zone, capacity, load, raftState, raftTerm } = details;
  if (peerAddress !== undefined) told.peer_address = peerAddress;
  if (httpAddress !== undefined) told.http_address = httpAddress;
  if (zone !== undefined) told.zone = zone;
  if (capacity !== undefined) told.capacity = capacity;
  if (load !== undefined) told.load = load;
  if (raftState !== undefined) told.raft_state = raftState;
  if (raftTerm !== undefined) told.raft_term = raftTerm;
  return told;
}
