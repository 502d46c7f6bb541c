/** What Prometheus and Grafana find by themselves, where their kinds are known to this API server. */
import type { Action, KubeObject, Observed, Step } from './model.ts';
import { labelsOf, ownedMetadata, ownerOf, selectorOf } from './names.ts';

export function monitoring(observed: Observed): Step {
  const { monitoring: wanted } = observed.spec;
  const objects: KubeObject[] = [];
  if (wanted.serviceMonitor.enabled && observed.knownKinds.has('PodMonitor')) objects.push(podMonitor(observed));
  if (wanted.prometheusRule.enabled && observed.knownKinds.has('PrometheusRule'))
    objects.push(prometheusRule(observed));
  return { actions: objects.map((object): Action => ({ kind: 'apply', object })) };
}

/** Of pods rather than services: workers have none. */
function podMonitor(observed: Observed): KubeObject {
  const owner = ownerOf(observed);
  const { labels = {}, interval } = observed.spec.monitoring.serviceMonitor;
  return {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PodMonitor',
    metadata: ownedMetadata(owner, owner.name, { ...labels, ...labelsOf(owner.name) }),
    spec: {
      selector: { matchLabels: selectorOf(owner.name) },
      podMetricsEndpoints: [{ port: 'metrics', path: '/metrics', interval }],
    },
  };
}

interface Alert {
  alert: string;
  expr: string;
  for: string;
  severity: 'critical' | 'warning';
  summary: string;
}

/** Metrics of the nodes, of this cluster's pods. */
function alertsOf(namespace: string, name: string): Alert[] {
  const scope = `namespace="${namespace}",pod=~"${name}-(coordinator|worker)-.*"`;
  return [
    {
      alert: 'DistricNoLeader',
      expr: `max(distric_raft_role{${scope},role="leader"}) < 1`,
      for: '1m',
      severity: 'critical',
      summary: `No coordinator of ${name} leads: nothing is taken in.`,
    },
    {
      alert: 'DistricCertificateExpires',
      expr: `min(distric_certificate_expiry_seconds{${scope}}) < 7 * 86400`,
      for: '1h',
      severity: 'warning',
      summary: `A certificate of ${name} ends within a week.`,
    },
  ];
}

function prometheusRule(observed: Observed): KubeObject {
  const owner = ownerOf(observed);
  const { labels = {} } = observed.spec.monitoring.prometheusRule;
  const rules = alertsOf(owner.namespace, owner.name).map(({ severity, summary, ...rule }) => ({
    ...rule,
    labels: { severity },
    annotations: { summary },
  }));
  return {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: ownedMetadata(owner, owner.name, { ...labels, ...labelsOf(owner.name) }),
    spec: { groups: [{ name: `distric-${owner.name}`, rules }] },
  };
}
