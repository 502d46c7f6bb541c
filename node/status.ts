/** `GET /api/v1/cluster/status`: the seed's shape and more, from what this coordinator knows. */
import type { NodeList } from '../api/nodes.ts';
import type { ClusterStatus, MemberList } from '../api/rest.ts';
import { isVoter, type MemberInfo, members } from './core/raft/membership.ts';
import type { Raft } from './core/raft/raft.ts';
import { memberList } from './core/state/member-list.ts';
import type { StateMachine } from './core/state/machine.ts';
import type { FeatureLevels } from './feature-levels.ts';
import type { NodeQuery, Query } from './core/state/query.ts';
import type { GossipView } from './gossip-view.ts';
import { nodeResource } from './node-resource.ts';
import type { Place } from './standing.ts';
import type { StorageWatch } from './storage-watch.ts';
import type { TaskDesk } from './task-desk.ts';
import { runningOn, workerList, workerResource, type WorkerSource, workerStatus } from './worker-resource.ts';

export interface StatusSource {
  nodeId: string;
  /** Which disk this node has. */
  dataUuid: string | undefined;
  /** What it is in the cluster. */
  place: Place;
  clusterName: string;
  /** What is known of a member. */
  info: (id: string) => MemberInfo;
  raft: Raft;
  state: StateMachine;
  desk: TaskDesk;
  peersUp: ReadonlySet<string>;
  storage: StorageWatch;
  levels: FeatureLevels;
  gossip: GossipView;
  nowMs: number;
}

function clusterStatus(source: StatusSource): unknown {
  const { raft, state } = source;
  const workers = workerSource(source);
  return {
    cluster: source.clusterName,
    cluster_id: state.clusterId,
    answered_by: source.nodeId,
    standing: source.place,
    ...(source.dataUuid === undefined ? {} : { data_uuid: source.dataUuid }),
    leader: raft.leaderId ?? null,
    term: raft.term,
    commit_index: raft.commitIndex,
    applied_index: state.appliedIndex,
    catalog_version: state.catalog.version,
    feature_level: state.featureLevel,
    coordinators: members(raft.membership).map((id) => {
      const { address = '', httpAddress } = source.info(id);
      return {
        id,
        state: coordinatorState(source, id),
        role: raft.membership.voters.includes(id) ? 'voter' : isVoter(raft.membership, id) ? 'leaving' : 'learner',
        address,
        ...(httpAddress === undefined ? {} : { http_address: httpAddress }),
        ...lagOf(raft, id),
        ...waitOf(raft, id),
        ...storageOf(source, id),
        ...levelOf(source, id),
      };
    }),
    ...(raft.role === 'leader' ? { storage_level: source.storage.level } : {}),
    workers: [...state.workers.workers.values()].map((worker) => {
      const { id, address, capacity, types } = worker;
      const running = runningOn(workers, worker);
      const load = Math.round((100 * running) / capacity) / 100;
      return { id, address, load, status: workerStatus(workers, worker), running, capacity, types };
    }),
    ...lossesOf(workers),
    gossip: gossipStatus(source),
    counts: {
      messages: state.messages.count,
      instances_active: state.instances.active.size,
      tasks_ready: state.instances.readyCount,
      tasks_running: state.instances.runningCount,
    },
  };
}

/** `GET /api/v1/cluster/nodes`: as this coordinator's gossip has it. */
function nodesStatus({ nodeId, gossip, nowMs }: StatusSource): NodeList {
  const nodes = gossip.members(nowMs).map(nodeResource);
  nodes.sort((a, b) => (a.id < b.id ? -1 : 1));
  return { answered_by: nodeId, gossip: gossip.state, nodes };
}

function gossipStatus({ gossip, nowMs }: StatusSource): ClusterStatus['gossip'] {
  const counts = { alive: 0, suspected: 0, failed: 0 };
  for (const { status } of gossip.members(nowMs)) if (status !== 'left') counts[status]++;
  return { state: gossip.state, ...counts };
}

/** `GET /api/v1/cluster/members`. */
function membersStatus({ raft }: StatusSource): MemberList {
  const list = memberList(raft.membership);
  return {
    ...list,
    members: list.members.map((member) => ({ ...member, ...lagOf(raft, member.id), ...waitOf(raft, member.id) })),
  };
}

function workerSource({ raft, ...source }: StatusSource): WorkerSource {
  return { ...source, leading: raft.role === 'leader' };
}

/** Told while so many workers are missed that none is given up. */
function lossesOf({ desk, nowMs }: WorkerSource): Pick<ClusterStatus, 'losses_suspended'> {
  const suspension = desk.lossesSuspended;
  if (suspension === undefined) return {};
  const { missing, workers, sinceMs } = suspension;
  return { losses_suspended: { missing, workers, for_ms: Math.round(nowMs - sinceMs) } };
}

const NODE_QUERIES: ReadonlySet<string> = new Set(['clusterStatus', 'members', 'nodes', 'workers', 'worker']);

export function isNodeQuery(query: Query): query is NodeQuery {
  return NODE_QUERIES.has(query.kind);
}

/** What a coordinator knows of itself and of the others. Throws NOT_FOUND. */
export function nodeAnswer(query: NodeQuery, source: StatusSource): unknown {
  switch (query.kind) {
    case 'workers':
      return workerList(workerSource(source));
    case 'worker':
      return workerResource(workerSource(source), query.id);
    case 'clusterStatus':
      return clusterStatus(source);
    case 'members':
      return membersStatus(source);
    case 'nodes':
      return nodesStatus(source);
  }
}

/** How far a member has the log; only the leader knows. */
function lagOf(raft: Raft, id: string): { match_index?: number; lag?: number } {
  const matchIndex = raft.role === 'leader' ? raft.matchIndexOf(id) : undefined;
  if (matchIndex === undefined) return {};
  return { match_index: matchIndex, lag: Math.max(0, raft.log.lastIndex - matchIndex) };
}

/** Why a member that needs a snapshot gets none; only the leader knows. */
function waitOf(raft: Raft, id: string): { snapshot_waits?: string } {
  const reason = raft.role === 'leader' ? raft.snapshotWait(id) : undefined;
  return reason === undefined ? {} : { snapshot_waits: reason };
}

function coordinatorState({ nodeId, raft, peersUp }: StatusSource, id: string): string {
  if (id === nodeId) return raft.role;
  if (raft.role === 'leader' ? !raft.peerActive(id) : !peersUp.has(id)) return 'unreachable';
  return id === raft.leaderId ? 'leader' : 'follower';
}

/** Of itself each knows it, of the others the leader does. */
function levelOf({ raft, levels, nodeId }: StatusSource, id: string): { feature_level?: number } {
  const level = id === nodeId || raft.role === 'leader' ? levels.of(id) : undefined;
  return level === undefined ? {} : { feature_level: level };
}

/** How full a coordinator is: of itself each knows it, of the others the leader does. */
function storageOf({ nodeId, raft, storage }: StatusSource, id: string): object {
  const fullness = id === nodeId || (raft.role === 'leader' && raft.peerActive(id)) ? storage.of(id) : undefined;
  if (fullness === undefined) return {};
  return { storage: { what: fullness.what, share: Math.round(fullness.share * 1_000) / 1_000 } };
}
