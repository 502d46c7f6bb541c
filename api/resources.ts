/** The Kubernetes resources of the group `distric.io`: what they are called, and what all of them share. */
export const API_GROUP = 'distric.io';
export const API_VERSION = `${API_GROUP}/v1alpha1`;

export const RESOURCE_KINDS = {
  DistricCluster: { plural: 'districclusters', singular: 'districcluster', shortNames: ['dc'] },
  Rule: { plural: 'rules', singular: 'rule', shortNames: ['drule'] },
  Workflow: { plural: 'workflows', singular: 'workflow', shortNames: ['dwf'] },
} as const;
export type ResourceKind = keyof typeof RESOURCE_KINDS;

/** Names of pods and services are made of it, and a label has 63 characters. */
export const CLUSTER_NAME_CHARS_MAX = 40;

export interface ResourceMetadata {
  name: string;
  namespace?: string;
  uid?: string;
  generation?: number;
  resourceVersion?: string;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  finalizers?: string[];
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: { apiVersion: string; kind: string; name: string; uid: string; controller?: boolean }[];
}

/** As of Kubernetes' own conventions. `lastTransitionTime` is RFC 3339 in UTC. */
export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason: string;
  message: string;
  lastTransitionTime: string;
  observedGeneration?: number;
}
