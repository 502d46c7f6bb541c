/**
 * Where the test cluster lives on this machine, and its addresses. There is one at a time: its folder is in one place,
 * whatever checkout starts it, so that the next one finds what a killed one left.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export const STATE_DIR = process.env['DISTRIC_CLUSTER_DIR'] ?? '/var/lib/distric-cluster';
export const ADMIN_KUBECONFIG = join(STATE_DIR, 'kubeconfig');
export const AUDIT_LOG = join(STATE_DIR, 'audit.log');

/**
 * The range for measurements between networks (RFC 2544): nobody's own, and never routed. The documentation ranges would
 * do as well, but are found behind some name servers.
 */
const NODE_SUBNET = '198.18.255';
export const OUTSIDE_ADDRESS = `${NODE_SUBNET}.1`;
export const NODE_PREFIX_BITS = 24;
export const POD_RANGE = '198.18.0.0/17';
export const SERVICE_RANGE = '198.19.0.0/16';
export const API_SERVICE_ADDRESS = '198.19.0.1';
export const DNS_SERVICE_ADDRESS = '198.19.0.10';
export const CLUSTER_DOMAIN = 'cluster.local';
export const API_PORT = 6443;
export const DNS_PORT = 53;

export const NODES_MAX = 2;

export interface NodePlan {
  name: string;
  number: number;
  address: string;
  podSubnet: string;
  /** All that it keeps; some of it is mounted over the machine's own folders, for this node alone. */
  dir: string;
  /** Below every controller of the machine's cgroups. */
  cgroup: string;
}

export function nodePlan(number: number): NodePlan {
  const name = `node-${String(number)}`;
  return {
    name,
    number,
    address: `${NODE_SUBNET}.${String(10 + number)}`,
    podSubnet: `198.18.${String(number)}.0/24`,
    dir: join(STATE_DIR, name),
    cgroup: `distric-${name}`,
  };
}

/** The first node also carries the control plane, and joins the others' network to its own. */
export const FIRST_NODE = nodePlan(1);
export const API_URL = `https://${FIRST_NODE.address}:${String(API_PORT)}`;

export function nodePlans(count: number): NodePlan[] {
  return Array.from({ length: count }, (_, index) => nodePlan(index + 1));
}

export function writeInto(file: string, text: string): string {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}
