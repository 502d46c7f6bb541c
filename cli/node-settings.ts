import path from 'node:path';
import { stringify } from 'yaml';
import { ADMIN_KEY_FILE_NAME } from './admin-key.ts';
import type { ClusterFile, LocalNode } from './cluster-file.ts';
import { tlsSettings } from './tls-files.ts';

/** The port of `host:port`. */
function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}

function listener(address: string): { host: string; port: number } {
  return { host: address.slice(0, address.lastIndexOf(':')), port: portOf(address) };
}

/** A node's configuration file (YAML, keys of NodeConfig), made from the cluster file alone. */
export function nodeSettings(dataDir: string, file: ClusterFile, node: LocalNode): string {
  const { settings, nodes } = file;
  const raft = settings.node['raft'];
  const common = {
    log: { level: 'info', format: 'json' },
    ...settings.node,
    nodeId: node.id,
    role: node.role,
    clusterName: settings.clusterName,
    dataDir: path.join(dataDir, node.id, 'data'),
    coordinators: nodes
      .filter(({ role }) => role === 'coordinator')
      .map(({ id, peer, http }) => ({ id, address: peer, ...(http === null ? {} : { httpAddress: http }) })),
    peer: listener(node.peer),
    // Of workers too, so that cluster.json tells where each node answers datagrams.
    gossip: listener(node.peer),
    metrics: listener(node.metrics),
    tls: tlsSettings(dataDir, file, node),
    raft: { ...(typeof raft === 'object' ? raft : {}), profile: settings.profile },
    drainTimeoutMs: settings.drainTimeoutMs,
  };
  if (node.role === 'coordinator') {
    const adminKeyFile = path.join(dataDir, ADMIN_KEY_FILE_NAME);
    const auth = settings.auth === 'required' ? { mode: 'required', adminKeyFile } : { mode: 'disabled' };
    return stringify({ ...common, auth, ...(node.http ? { http: listener(node.http) } : {}) });
  }
  return stringify({ ...common, worker: { ...settings.worker, pluginDirs: settings.pluginDirs } });
}
