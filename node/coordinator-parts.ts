/** What a coordinator is told, and what it is given. */
import type { Host } from '../base/host.ts';
import type { Random } from '../base/random.ts';
import { makeStrategy, type Strategy, type StrategyName } from './core/dispatch/strategy.ts';
import type { LogReader } from './core/raft/log-reader.ts';
import type { RaftBoot, RaftConfig } from './core/raft/replica.ts';
import type { KeyValueReader } from './core/state/store.ts';
import type { LogKept } from './durability.ts';
import type { CoordinatorMetrics } from './metrics.ts';
import type { CoordinatorPorts } from './ports.ts';
import type { Fullness, StorageLimits } from './storage-watch.ts';
import type { RetentionLimits } from './sweeper.ts';

/** The log's prefix is looked at for cutting when it is this long; the tail kept serves followers that are close. */
export const LOG_KEPT: LogKept = { entriesTrigger: 10_000, entriesKept: 2_000, bytesMax: 1024 * 1024 * 1024 };

/** Shares of the fullest voter's storage; see storage-watch.ts. */
export const STORAGE_LIMITS: StorageLimits = { soft: 0.8, hard: 0.9 };

export const KEEP_ALL: RetentionLimits = {
  messages: { ageMs: Infinity, count: Number.MAX_SAFE_INTEGER },
  instances: { ageMs: Infinity, count: Number.MAX_SAFE_INTEGER },
};

export interface CoordinatorConfig {
  raft: Omit<RaftConfig, 'snapshots'>;
  /** The voters the cluster is born with, or, for a node that joins, was born with: until the log says otherwise. */
  voters: readonly string[];
  clusterName: string;
  /** Proposed as the cluster's id if this node is the first leader ever. */
  newClusterId: string;
  /** Voters that must be in before a new cluster takes messages. Default 1. */
  minVotersForWrites?: number;
  /** Addresses of the voters that the cluster is born with. */
  coordinators: readonly { id: string; address: string; httpAddress?: string | undefined }[];
  /** Running instances; over it messages are refused with QUEUE_FULL. */
  activeInstancesMax: number;
  /** A worker whose connection is gone this long has lost its attempts. */
  workerLossMs: number;
  /** In which order workers are given tasks; by default the least loaded first. */
  strategy?: StrategyName;
  /** Where this node is, for a strategy that prefers what is near. */
  zone?: string;
  /** What of messages and ended instances is kept; by default all. */
  retention?: RetentionLimits;
  /** When voters are so full, less and less is taken in. */
  storageLimits?: StorageLimits;
  /** Bytes of commands appended and not yet applied; what is under way must fit between the limits of the storage. */
  unappliedBytesMax?: number;
  /** Instances and tasks that what is appended and not yet applied will start. */
  unappliedRowsMax?: number;
  /** That this node supports; by default that of this release. */
  featureLevel?: number;
  /** Over `bytesMax` the log is cut even below what members that are there still need: they get a snapshot. */
  logKept?: LogKept;
}

export interface CoordinatorParts {
  host: Host;
  ports: CoordinatorPorts;
  metrics: CoordinatorMetrics;
  random: Random;
  log: LogReader;
  store: KeyValueReader;
  boot: Pick<RaftBoot, 'hardState' | 'firstIndex' | 'lastIndex'>;
  /** Size of the log on disk; 0 while a cut is being carried out, so that it is not cut by the same size twice. */
  logBytes?: () => number;
  /** How full the fullest of log, state and file system is, with `pendingBytes` that the state has yet to write. */
  storage?: (pendingBytes: number) => Fullness;
}

/** How the leader picks among workers that could take a task. */
export function strategyOf({ strategy = 'least-loaded', zone }: CoordinatorConfig, parts: CoordinatorParts): Strategy {
  const { random, ports } = parts;
  return makeStrategy(strategy, random, { zone, roundTripMs: (id) => ports.roundTripMs?.(id) });
}
