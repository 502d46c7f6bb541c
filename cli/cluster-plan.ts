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
  const address = (): string => `127.0.0.1:${String(ports.pop())}`;
  const plan = (role: LocalNode['role'], count: number): LocalNode[] =>
    Array.from({ length: count }, (_, index) => ({
      id: `${role}-${String(index + 1)}`,
      role,
      pid: null,
      peer: address(),
      http: role === 'coordinator' ? address() : null,
      metrics: address(),
      startedAt: null,
    }));
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
    nodes: [...plan('coordinator', coordinators), ...plan('worker', workers)],
  };
}
