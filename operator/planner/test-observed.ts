/** For tests of the planner: a settled cluster of three, with what a test changes. */
import { clusterSpecOf } from '../../api/cluster-resource.ts';
import { hashOf } from './hash.ts';
import type { ClaimView, MemberView, NodeView, Observed, PodView, RaftView } from './model.ts';
import { claimName, nodeName, nodeNames, ownerOf, workerName } from './names.ts';
import { coordinatorTemplate, workerTemplate } from './pod-template.ts';

const DAY_MS = 86_400_000;
export const NOW_MS = 1_800_000_000_000;
export const CLUSTER_ID = '0b6a3c1e-7a4f-4a8e-9a55-6f1d2c3b4a59';
export const IMAGE = 'distric:1.0';

export const node = (ordinal: number): string => nodeName('prod', ordinal);
export const diskOf = (ordinal: number): string => `disk-${String(ordinal)}`;

export function memberOf(ordinal: number, change: Partial<MemberView> = {}): MemberView {
  const settled = { role: 'voter', lag: 0, isActive: true, storageShare: 0.1 } as const;
  return { id: node(ordinal), dataUuid: diskOf(ordinal), ...settled, ...change };
}

export function nodeOf(ordinal: number, change: Partial<NodeView> = {}): NodeView {
  const settled = { standing: 'member', clusterId: CLUSTER_ID, leader: node(0), appliedIndex: 42 };
  return { dataUuid: diskOf(ordinal), ...settled, ...change };
}

export function raftOf(members: readonly MemberView[], change: Partial<RaftView> = {}): RaftView {
  return {
    ...{ leader: node(0), term: 3, clusterId: CLUSTER_ID, catalogVersion: 1, appliedIndex: 42, isChanging: false },
    ...{ workers: [], queuedTasks: 0, runningTasks: 0 },
    members,
    ...change,
  };
}

export function claimOf(ordinal: number, change: Partial<ClaimView> = {}): ClaimView {
  const settled = { requestedBytes: 20 * 2 ** 30, isDeleting: false, isOwned: false, isUsed: true };
  return { name: claimName('prod', ordinal), ordinal, ...settled, ...change };
}

/** `spec` as users write it. */
export function observedOf(spec: object = {}, change: Partial<Observed> = {}): Observed {
  const metadata = { name: 'prod', namespace: 'shop', uid: 'u-1', generation: 2 };
  const resource = { metadata, spec };
  const full = clusterSpecOf(resource);
  const count = full.coordinators.replicas;
  const owner = ownerOf({ resource });
  const { hash, template } = coordinatorTemplate(owner, full, IMAGE);
  const ordinals = nodeNames('prod', count).map((_, ordinal) => ordinal);
  const untilMs = NOW_MS + 80 * DAY_MS;
  return {
    nowMs: NOW_MS,
    resource,
    spec: full,
    defaultImage: IMAGE,
    newId: 'new-id',
    founding: { clusterId: CLUSTER_ID, dataUuid: diskOf(0), node: node(0) },
    statefulSet: { uid: 's-1', replicas: count, hash, template, claimBytes: 20 * 2 ** 30, isDeleting: false },
    deployments: full.workers.map((pool) => ({
      name: workerName('prod', pool.name),
      pool: pool.name,
      replicas: pool.replicas ?? 1,
      readyReplicas: pool.replicas ?? 1,
      ...workerTemplate(owner, full, pool, IMAGE),
      fewerSinceMs: undefined,
    })),
    pods: ordinals.map((ordinal) => podOf(ordinal, { hash })),
    claims: ordinals.map((ordinal) => claimOf(ordinal)),
    secrets: new Set(['prod-admin', 'prod-join', 'prod-gossip']),
    pki: {
      authorityUntilMs: NOW_MS + 3_600 * DAY_MS,
      trusted: 1,
      changedMs: 0,
      nodes: new Map(ordinals.map((ordinal) => [node(ordinal), untilMs])),
      operatorUntilMs: untilMs,
      joinTokenUntilMs: NOW_MS + 29 * DAY_MS,
    },
    nodes: new Map(ordinals.map((ordinal) => [node(ordinal), nodeOf(ordinal)])),
    raft: raftOf(ordinals.map((ordinal) => memberOf(ordinal))),
    knownKinds: new Set(),
    ...change,
  };
}

export function podOf(ordinal: number, change: Partial<PodView> = {}): PodView {
  const settled = { role: 'coordinator', pool: undefined, image: IMAGE, ready: true, isDeleting: false } as const;
  const more = { hash: hashOf('old'), ip: `10.0.0.${String(ordinal)}`, waiting: undefined, deletionCost: undefined };
  return { name: node(ordinal), uid: `p-${String(ordinal)}`, ...settled, ...more, ...change };
}
