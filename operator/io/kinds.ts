/** Where the API server has each kind. */
import { assert } from '../../base/assert.ts';
import { API_VERSION, RESOURCE_KINDS } from '../../api/resources.ts';

const PLURALS: Readonly<Record<string, string>> = {
  'v1/ConfigMap': 'configmaps',
  'v1/Event': 'events',
  'v1/PersistentVolumeClaim': 'persistentvolumeclaims',
  'v1/Pod': 'pods',
  'v1/Secret': 'secrets',
  'v1/Service': 'services',
  'apps/v1/Deployment': 'deployments',
  'apps/v1/StatefulSet': 'statefulsets',
  'batch/v1/CronJob': 'cronjobs',
  'coordination.k8s.io/v1/Lease': 'leases',
  'events.k8s.io/v1/Event': 'events',
  'monitoring.coreos.com/v1/PodMonitor': 'podmonitors',
  'monitoring.coreos.com/v1/PrometheusRule': 'prometheusrules',
  'networking.k8s.io/v1/NetworkPolicy': 'networkpolicies',
  'policy/v1/PodDisruptionBudget': 'poddisruptionbudgets',
  ...Object.fromEntries(Object.entries(RESOURCE_KINDS).map(([kind, { plural }]) => [`${API_VERSION}/${kind}`, plural])),
};

export interface Kind {
  apiVersion: string;
  kind: string;
}

/** Path of all objects of a kind, in one namespace or in all; with `name` that of one. */
export function kindPath({ apiVersion, kind }: Kind, namespace?: string, name?: string): string {
  const plural = PLURALS[`${apiVersion}/${kind}`];
  assert(plural !== undefined, `the operator knows ${kind} of ${apiVersion}`);
  const base = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const scope = namespace === undefined ? '' : `/namespaces/${namespace}`;
  return `${base}${scope}/${plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`;
}
