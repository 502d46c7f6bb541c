import path from 'node:path';
import type { ClusterFile, ClusterSettings, LocalNode } from './cluster-file.ts';
import { freePorts } from './free-ports.ts';

export interface LocalClusterOptions {
  /** Where everything of the cluster lies: configuration, data, logs, cluster.json. */
  dataDir: string;
  /** For a new cluster: 1, 3, 5 or 7; default 3. */
  coordinators?: number;
  /** For a new cluster; default 2. */
  workers?: number;
  profile?: ClusterSettings['profile'];
  clusterName?: string;
  /** Directories with *.plugin.ts|js|mjs files, for the workers; added to those of an existing cluster. */
  pluginDirs?: readonly string[];
  /** How long running tasks may finish after SIGTERM; default 10 s. */
  drainTimeoutMs?: number;
  /** For a new cluster; default required, with a key in admin.key. */
  auth?: 'required' | 'disabled';
  /** For a new cluster: nodes and REST speak TLS, with an authority of their own; default false. */
  tls?: boolean;
  /** Further settings of every node, and of the `worker` section (keys of NodeConfig). */
  nodeSettings?: Record<string, unknown>;
  workerSettings?: Record<string, unknown>;
  /** Environment of the nodes; default that of this process. DISTRIC_* settings in it are left out. */
  env?: NodeJS.ProcessEnv;
  readyTimeoutMs?: number;
  onProgress?: (line: string) => void;
}

const COORDINATORS = 3;
const WORKERS = 2;
const DRAIN_TIMEOUT_MS = 10_000;

/** A new cluster on free ports; nothing is written or started yet. */
export async function planCluster(options: LocalClusterOptions): Promise<ClusterFile> {
  const coordinators = options.coordinators ?? COORDINATORS;
  const workers = options.workers ?? WORKERS;
  const ports = await freePorts(coordinators * 3 + workers * 2);
  return {
    version: 1,
    settings: {
      clusterName: options.clusterName ?? 'distric',
      profile: options.profile ?? 'default',
      pluginDirs: (options.pluginDirs ?? []).map((dir) => path.resolve(dir)),
      drainTimeoutMs: options.drainTimeoutMs ?? DRAIN_TIMEOUT_MS,
      auth: options.auth ?? 'required',
      tls: options.tls ?? false,
      node: options.nodeSettings ?? {},
      worker: options.workerSettings ?? {},
    },
    nodes: [...planNodes('coordinator', 0, coordinators, ports), ...planNodes('worker', 0, workers, ports)],
  };
}

/** Further workers of a cluster, on ports that none of its nodes has, whether it runs or not. */
export async function planWorkers({ nodes }: ClusterFile, count: number): Promise<LocalNode[]> {
  const there = nodes.filter(({ role }) => role === 'worker').length;
  const taken = new Set(nodes.flatMap(({ peer, http, metrics }) => [peer, http, metrics].map(portOf)));
  const ports = (await freePorts(2 * count + taken.size)).filter((port) => !taken.has(port));
  return planNodes('worker', there, count, ports);
}

function portOf(address: string | null): number {
  return Number(address?.split(':').at(-1));
}

function planNodes(role: LocalNode['role'], there: number, count: number, ports: number[]): LocalNode[] {
  const address = (): string => `127.0.0.1:${String(ports.pop())}`;
  return Array.from({ length: count }, (_, index) => ({
    id: `${role}-${String(there + index + 1)}`,
    role,
    pid: null,
    peer: address(),
    http: role === 'coordinator' ? address() : null,
    metrics: address(),
    startedAt: null,
  }));
}
