/**
 * `.distric/cluster.json`: which processes make up the cluster on this machine, and how they were configured.
 * The file is what `distric up` restarts from, and where every other command finds the servers.
 */
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { CliError, EXIT } from './exit-code.ts';

export const DATA_DIR = '.distric';
export const CLUSTER_FILE_NAME = 'cluster.json';

export interface LocalNode {
  id: string;
  role: 'coordinator' | 'worker';
  /** null while the node is stopped. */
  pid: number | null;
  /** Binary protocol, `host:port`. */
  peer: string;
  /** REST interface, `host:port`; null for workers. */
  http: string | null;
  /** Metrics and health, `host:port`. */
  metrics: string;
  /** RFC 3339; null before the first start. */
  startedAt: string | null;
}

/** How each node's configuration is made; see NodeConfig for the keys of the settings. */
export interface ClusterSettings {
  clusterName: string;
  profile: 'default' | 'fast';
  pluginDirs: string[];
  drainTimeoutMs: number;
  /** Further settings of every node, and of the `worker` section. */
  node: Record<string, unknown>;
  worker: Record<string, unknown>;
}

export interface ClusterFile {
  version: 1;
  settings: ClusterSettings;
  nodes: LocalNode[];
}

export function hasClusterFile(dataDir: string): boolean {
  return existsSync(path.join(dataDir, CLUSTER_FILE_NAME));
}

export async function readClusterFile(dataDir: string): Promise<ClusterFile> {
  const file = path.join(dataDir, CLUSTER_FILE_NAME);
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CliError(EXIT.FAILURE, `can't read ${file}: ${reason}; ${wayOut(dataDir)}`);
  }
  if (isClusterFile(parsed)) return parsed;
  throw new CliError(EXIT.FAILURE, `${file} is not a cluster file of this version; ${wayOut(dataDir)}`);
}

function wayOut(dataDir: string): string {
  return `restore it, or end the nodes that still run, remove ${dataDir} and start anew with distric up`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isClusterFile(value: unknown): value is ClusterFile {
  if (!isObject(value) || value['version'] !== 1) return false;
  const { settings, nodes } = value;
  if (!isObject(settings) || !Array.isArray(settings['pluginDirs'])) return false;
  return Array.isArray(nodes) && nodes.every(isLocalNode);
}

/** Ids name folders and process ids are signalled: neither is taken from a file without a look. */
function isLocalNode(value: unknown): value is LocalNode {
  if (!isObject(value)) return false;
  const { id, role, pid, peer, http, metrics } = value;
  return (
    typeof id === 'string' &&
    /^\w[\w.-]*$/.test(id) &&
    (role === 'coordinator' || role === 'worker') &&
    (pid === null || (Number.isInteger(pid) && Number(pid) > 1)) &&
    typeof peer === 'string' &&
    typeof metrics === 'string' &&
    (role === 'coordinator' ? typeof http === 'string' : http === null)
  );
}

/** Replaces the file in one step: a crash leaves the old one or the new one. Synchronous, so that saves keep their order. */
export function writeClusterFile(dataDir: string, file: ClusterFile): void {
  const target = path.join(dataDir, CLUSTER_FILE_NAME);
  const draft = `${target}.${String(process.pid)}.tmp`;
  writeFileSync(draft, `${JSON.stringify(file, null, 2)}\n`);
  renameSync(draft, target);
}

/** The data directory of the cluster that `from` belongs to: in it, or in the nearest parent that has one. */
export function findDataDir(from: string): string | undefined {
  for (let folder = path.resolve(from); ; folder = path.dirname(folder)) {
    const dataDir = path.join(folder, DATA_DIR);
    if (hasClusterFile(dataDir)) return dataDir;
    if (folder === path.dirname(folder)) return undefined;
  }
}
