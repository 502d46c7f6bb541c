/** What the objects of a cluster are called, where its nodes are reached, and the labels that say whose they are. */
import type { ResourceMetadata } from '../../api/resources.ts';
import { API_GROUP, API_VERSION } from '../../api/resources.ts';
import type { Observed } from './model.ts';

export const FIELD_MANAGER = 'distric-operator';
export const MANAGED_BY = 'app.kubernetes.io/managed-by';
export const CLUSTER_LABEL = `${API_GROUP}/cluster`;
export const ROLE_LABEL = `${API_GROUP}/role`;
export const POOL_LABEL = `${API_GROUP}/pool`;
/** On pods and templates: a hash of what users ask of the pods, and not of how they are built. */
export const HASH_ANNOTATION = `${API_GROUP}/pod-hash`;
/** On what makes pods: the template as it was built for that hash. */
export const TEMPLATE_ANNOTATION = `${API_GROUP}/pod-template`;
export const FEWER_SINCE_ANNOTATION = `${API_GROUP}/fewer-since`;

export const PEER_PORT = 7400;
export const REST_PORT = 8080;
export const METRICS_PORT = 9090;

export interface Owner {
  namespace: string;
  name: string;
  uid: string;
}

export function ownerOf({ resource }: Pick<Observed, 'resource'>): Owner {
  const { namespace, name, uid } = resource.metadata;
  return { namespace, name, uid };
}

export const coordinatorName = (cluster: string): string => `${cluster}-coordinator`;
export const nodeName = (cluster: string, ordinal: number): string => `${coordinatorName(cluster)}-${String(ordinal)}`;
export const workerName = (cluster: string, pool: string): string => `${cluster}-worker-${pool}`;
export const foundingName = (cluster: string): string => `${cluster}-founding`;
export const authorityName = (cluster: string): string => `${cluster}-authority`;
export const nodeTlsName = (cluster: string): string => `${cluster}-node-tls`;
export const operatorTlsName = (cluster: string): string => `${cluster}-operator-tls`;
export const joinTokenName = (cluster: string): string => `${cluster}-join-token`;
export const madeSecretName = (cluster: string, secret: string): string => `${cluster}-${secret}`;
export const claimName = (cluster: string, ordinal: number): string => `data-${nodeName(cluster, ordinal)}`;

/** `prod-coordinator-2` → 2; undefined for a name of another form. */
export function ordinalOf(name: string): number | undefined {
  const digits = /-(\d{1,3})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** The first `count` coordinators. */
export function nodeNames(cluster: string, count: number): string[] {
  return Array.from({ length: count }, (_, ordinal) => nodeName(cluster, ordinal));
}

export const nodeHost = ({ namespace, name }: Owner, node: string): string =>
  `${node}.${coordinatorName(name)}.${namespace}.svc`;
export const peerAddress = (owner: Owner, node: string): string => `${nodeHost(owner, node)}:${String(PEER_PORT)}`;
export const restAddress = (owner: Owner, node: string): string => `${nodeHost(owner, node)}:${String(REST_PORT)}`;
export const serviceHost = ({ namespace, name }: Owner): string => `${name}.${namespace}.svc`;

/** Host names in the certificate of a coordinator. */
export function dnsNames(owner: Owner, node: string): string[] {
  const { namespace, name } = owner;
  const host = nodeHost(owner, node);
  const service = serviceHost(owner);
  return [
    host,
    `${host}.cluster.local`,
    service,
    `${service}.cluster.local`,
    `${name}.${namespace}`,
    name,
    'localhost',
  ];
}

export function labelsOf(cluster: string, role?: 'coordinator' | 'worker', pool?: string): Record<string, string> {
  return {
    'app.kubernetes.io/name': 'distric',
    'app.kubernetes.io/instance': cluster,
    [MANAGED_BY]: FIELD_MANAGER,
    [CLUSTER_LABEL]: cluster,
    ...(role === undefined ? {} : { [ROLE_LABEL]: role, 'app.kubernetes.io/component': role }),
    ...(pool === undefined ? {} : { [POOL_LABEL]: pool }),
  };
}

/** What picks the pods of a role; it can't be changed later, so it has no more than it needs. */
export function selectorOf(cluster: string, role?: 'coordinator' | 'worker', pool?: string): Record<string, string> {
  return {
    [CLUSTER_LABEL]: cluster,
    ...(role === undefined ? {} : { [ROLE_LABEL]: role }),
    ...(pool === undefined ? {} : { [POOL_LABEL]: pool }),
  };
}

export function ownedMetadata(owner: Owner, name: string, labels: Record<string, string>): ResourceMetadata {
  const { namespace, uid } = owner;
  const reference = { apiVersion: API_VERSION, kind: 'DistricCluster', name: owner.name, uid, controller: true };
  return { name, namespace, labels, ownerReferences: [reference] };
}
