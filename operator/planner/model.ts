/** What the planner sees of the world, and what it may ask for. Plain data: the drivers fetch the one and do the other. */
import type { ClusterResource, ClusterSpec } from '../../api/cluster-resource.ts';
import type { ClusterResourceStatus } from '../../api/cluster-resource.ts';
import type { ResourceMetadata } from '../../api/resources.ts';

export type Json = Record<string, unknown>;

export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ResourceMetadata;
  [field: string]: unknown;
}

/** Names one object of the cluster's namespace. */
export interface ObjectRef {
  apiVersion: string;
  kind: string;
  name: string;
  /** Only this very one, not another that took its name. */
  uid?: string;
}

export interface PodView {
  name: string;
  uid: string;
  role: 'coordinator' | 'worker';
  /** Of a worker. */
  pool: string | undefined;
  /** What it was built from; see pod-hash. */
  hash: string | undefined;
  image: string;
  ready: boolean;
  isDeleting: boolean;
  ip: string | undefined;
  /** Why its container does not run, such as ImagePullBackOff. */
  waiting: string | undefined;
  deletionCost: string | undefined;
}

export interface ClaimView {
  name: string;
  ordinal: number;
  requestedBytes: number;
  isDeleting: boolean;
  /** It goes when the DistricCluster goes. */
  isOwned: boolean;
  /** Still used by a pod that is there. */
  isUsed: boolean;
}

export interface StatefulSetView {
  uid: string;
  replicas: number;
  /** The template as it was built for the hash it carries. */
  hash: string | undefined;
  template: Json | undefined;
  claimBytes: number;
  isDeleting: boolean;
}

export interface DeploymentView {
  name: string;
  pool: string;
  replicas: number;
  readyReplicas: number;
  hash: string | undefined;
  template: Json | undefined;
  /** Since when fewer replicas would be enough, ms; of the autoscaler. */
  fewerSinceMs: number | undefined;
}

/** A coordinator, by its own word. */
export interface NodeView {
  standing: string;
  dataUuid: string | undefined;
  /** '' in none. */
  clusterId: string;
  leader: string | undefined;
  appliedIndex: number;
}

export interface MemberView {
  id: string;
  role: 'voter' | 'learner' | 'leaving';
  dataUuid: string | undefined;
  lag: number | undefined;
  /** The leader has heard of it lately. */
  isActive: boolean;
  storageShare: number | undefined;
}

/** The cluster, by the word of its leader; undefined as long as there is none in reach. */
export interface RaftView {
  leader: string;
  term: number;
  clusterId: string;
  catalogVersion: number;
  appliedIndex: number;
  members: readonly MemberView[];
  /** A change of the voters is under way. */
  isChanging: boolean;
  workers: readonly { id: string; status: string; running: number; capacity: number }[];
  queuedTasks: number;
  runningTasks: number;
}

export interface PkiView {
  /** Until when the authority that signs, and each node's certificate, is valid; ms. */
  authorityUntilMs: number | undefined;
  /** Where a rotation of the authority stands: how many are trusted, and since when it is so. */
  trusted: number;
  changedMs: number;
  /** By node id; only those of the authority that signs. */
  nodes: ReadonlyMap<string, number>;
  /** The operator's own. */
  operatorUntilMs: number | undefined;
  /** When the join token ends. */
  joinTokenUntilMs: number | undefined;
}

export interface Founding {
  clusterId: string;
  dataUuid: string;
  node: string;
}

export interface Observed {
  nowMs: number;
  resource: ClusterResource & { metadata: { namespace: string; uid: string } };
  spec: ClusterSpec;
  /** The node image where the resource names none. */
  defaultImage: string;
  /** A fresh UUID, in case one is needed. */
  newId: string;
  founding: Founding | undefined;
  statefulSet: StatefulSetView | undefined;
  deployments: readonly DeploymentView[];
  pods: readonly PodView[];
  claims: readonly ClaimView[];
  /** Names of the secrets that are there. */
  secrets: ReadonlySet<string>;
  pki: PkiView;
  nodes: ReadonlyMap<string, NodeView>;
  raft: RaftView | undefined;
  /** Kinds beyond Kubernetes' own that this API server has, such as ServiceMonitor. */
  knownKinds: ReadonlySet<string>;
}

/** Secrets of random content: made once, never changed by the operator. */
export type MadeSecret = 'admin' | 'join' | 'gossip';

export type Action =
  /** Server-side apply, as the one owner of these fields. */
  | { kind: 'apply'; object: KubeObject }
  /** Only if it is not there yet. */
  | { kind: 'create'; object: KubeObject }
  /** JSON merge patch of fields that are not the operator's to own. */
  | { kind: 'patch'; ref: ObjectRef; patch: Json; subresource?: string }
  | { kind: 'delete'; ref: ObjectRef; orphan?: boolean }
  | { kind: 'makeSecret'; secret: MadeSecret; name: string }
  | { kind: 'makeAuthority'; step: 'create' | 'trust' | 'switch' | 'drop' }
  | { kind: 'issueNodes'; nodes: readonly string[] }
  | { kind: 'issueOperator' }
  | { kind: 'issueJoinToken' }
  | ({ kind: 'found'; minVoters: number } & Founding)
  | { kind: 'addLearner'; node: string }
  | { kind: 'promote'; nodes: readonly string[] }
  | { kind: 'remove'; nodes: readonly string[] }
  | { kind: 'renew'; node: string }
  | { kind: 'transfer'; to: string }
  | { kind: 'event'; type: 'Normal' | 'Warning'; reason: string; message: string };

export interface Plan {
  /** In this order; the first that fails ends it, and everything is looked at anew. */
  actions: readonly Action[];
  status: ClusterResourceStatus;
  /** Look again after this. */
  requeueMs: number;
}

/** One concern's part of a plan. */
export interface Step {
  actions: Action[];
  /** What is being done, or what it waits for, in words. */
  doing?: string;
  /** Only people can help: why. */
  stalled?: string;
  /** Nothing after it is safe yet. */
  isBlocking?: boolean;
}
