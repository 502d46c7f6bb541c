/** From objects of the API server to what the planner sees of them. */
import { quantityOf } from '../../base/quantity.ts';
import type { ClaimView, DeploymentView, Json, KubeObject, PodView, StatefulSetView } from '../planner/model.ts';
import {
  FEWER_SINCE_ANNOTATION,
  HASH_ANNOTATION,
  ordinalOf,
  POOL_LABEL,
  ROLE_LABEL,
  TEMPLATE_ANNOTATION,
} from '../planner/names.ts';

interface PodSpec {
  containers?: { image?: string }[];
  volumes?: { persistentVolumeClaim?: { claimName: string } }[];
}
interface PodStatus {
  podIP?: string;
  conditions?: { type: string; status: string }[];
  containerStatuses?: { state?: { waiting?: { reason?: string } } }[];
}

export function podView({ metadata, ...object }: KubeObject): PodView {
  const spec = object['spec'] as PodSpec;
  const status = (object['status'] ?? {}) as PodStatus;
  const { labels = {}, annotations = {} } = metadata;
  return {
    name: metadata.name,
    uid: metadata.uid ?? '',
    role: labels[ROLE_LABEL] === 'worker' ? 'worker' : 'coordinator',
    pool: labels[POOL_LABEL],
    hash: annotations[HASH_ANNOTATION],
    image: spec.containers?.[0]?.image ?? '',
    ready: status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false,
    isDeleting: metadata.deletionTimestamp !== undefined,
    ip: status.podIP,
    waiting: status.containerStatuses?.[0]?.state?.waiting?.reason,
    deletionCost: annotations['controller.kubernetes.io/pod-deletion-cost'],
  };
}

/** Undefined of one that the coordinators do not use. */
export function claimView({ metadata, ...object }: KubeObject, pods: readonly KubeObject[]): ClaimView | undefined {
  const ordinal = ordinalOf(metadata.name);
  if (ordinal === undefined || metadata.labels?.[ROLE_LABEL] !== 'coordinator') return undefined;
  const { resources } = object['spec'] as { resources?: { requests?: { storage?: string } } };
  const isUsed = pods.some((pod) =>
    ((pod['spec'] as PodSpec).volumes ?? []).some(
      ({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName === metadata.name,
    ),
  );
  return {
    name: metadata.name,
    ordinal,
    requestedBytes: quantityOf(resources?.requests?.storage ?? '0'),
    isDeleting: metadata.deletionTimestamp !== undefined,
    isOwned: (metadata.ownerReferences ?? []).some(({ kind }) => kind === 'DistricCluster'),
    isUsed,
  };
}

function templateOf({ metadata }: KubeObject): Json | undefined {
  const text = metadata.annotations?.[TEMPLATE_ANNOTATION];
  return text === undefined ? undefined : (JSON.parse(text) as Json);
}

export function statefulSetView(object: KubeObject): StatefulSetView {
  const { metadata } = object;
  const { replicas = 0, volumeClaimTemplates = [] } = object['spec'] as {
    replicas?: number;
    volumeClaimTemplates?: { spec: { resources: { requests: { storage: string } } } }[];
  };
  return {
    uid: metadata.uid ?? '',
    replicas,
    hash: metadata.annotations?.[HASH_ANNOTATION],
    template: templateOf(object),
    claimBytes: quantityOf(volumeClaimTemplates[0]?.spec.resources.requests.storage ?? '0'),
    isDeleting: metadata.deletionTimestamp !== undefined,
  };
}

export function deploymentView(object: KubeObject): DeploymentView {
  const { metadata } = object;
  const { replicas = 0 } = object['spec'] as { replicas?: number };
  const { readyReplicas = 0 } = (object['status'] ?? {}) as { readyReplicas?: number };
  const since = metadata.annotations?.[FEWER_SINCE_ANNOTATION];
  return {
    name: metadata.name,
    pool: metadata.labels?.[POOL_LABEL] ?? '',
    replicas,
    readyReplicas,
    hash: metadata.annotations?.[HASH_ANNOTATION],
    template: templateOf(object),
    fewerSinceMs: since === undefined ? undefined : Number(since),
  };
}
