/** Services, configuration, disruption budgets and network policies of a cluster. */
import type { ClusterSpec } from '../../api/cluster-resource.ts';
import type { Action, Json, KubeObject, Observed, Step } from './model.ts';
import {
  CLUSTER_LABEL,
  coordinatorName,
  labelsOf,
  METRICS_PORT,
  type Owner,
  ownedMetadata,
  ownerOf,
  PEER_PORT,
  REST_PORT,
  selectorOf,
  workerName,
} from './names.ts';
import { configText, coordinatorConfig, workerConfig } from './node-config.ts';

const apply = (object: KubeObject): Action => ({ kind: 'apply', object });

/** What pods need before they start. */
export function foundations(observed: Observed): Step {
  const { spec } = observed;
  const owner = ownerOf(observed);
  const { name } = owner;
  const configs = spec.workers.map((pool) =>
    configMap(owner, workerName(name, pool.name), workerConfig(owner, spec, pool)),
  );
  return {
    actions: [
      configMap(owner, coordinatorName(name), coordinatorConfig(owner, spec)),
      ...configs,
      ...services(owner),
      ...networkPolicies(owner, spec),
      ...disruptionBudgets(observed, owner),
    ].map(apply),
  };
}

function configMap(owner: Owner, name: string, config: Json): KubeObject {
  const metadata = ownedMetadata(owner, name, labelsOf(owner.name));
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'node.yaml': configText(config) } };
}

const servicePort = (name: string, port: number): Json => ({ name, port, targetPort: port, protocol: 'TCP' });

function services(owner: Owner): KubeObject[] {
  const selector = selectorOf(owner.name, 'coordinator');
  const labels = labelsOf(owner.name, 'coordinator');
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: ownedMetadata(owner, coordinatorName(owner.name), labels),
      spec: {
        clusterIP: 'None',
        // Coordinators find each other before they are ready, or they never would be.
        publishNotReadyAddresses: true,
        selector,
        ports: [servicePort('peer', PEER_PORT), servicePort('rest', REST_PORT), servicePort('metrics', METRICS_PORT)],
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: ownedMetadata(owner, owner.name, labels),
      spec: { type: 'ClusterIP', selector, ports: [servicePort('rest', REST_PORT), servicePort('peer', PEER_PORT)] },
    },
  ];
}

/** Only nodes of the cluster, and clients of the binary protocol that are labelled so, reach the port between nodes. */
function networkPolicies(owner: Owner, { networkPolicy }: ClusterSpec): KubeObject[] {
  if (networkPolicy.mode === 'Disabled') return [];
  const own = [{ podSelector: { matchLabels: { [CLUSTER_LABEL]: owner.name } } }];
  const tcp = (port: number): Json => ({ protocol: 'TCP', port });
  return [
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: ownedMetadata(owner, owner.name, labelsOf(owner.name)),
      spec: {
        podSelector: { matchLabels: selectorOf(owner.name) },
        policyTypes: ['Ingress'],
        ingress: [
          { from: own, ports: [tcp(PEER_PORT), { protocol: 'UDP' }] },
          { ports: [tcp(REST_PORT), tcp(METRICS_PORT)] },
        ],
      },
    },
  ];
}

/** Never for a single coordinator: it would block every drain of its node. */
function disruptionBudgets({ spec, deployments }: Observed, owner: Owner): KubeObject[] {
  if (!spec.podDisruptionBudget.enabled || spec.managementPolicy === 'Hibernated') return [];
  const budget = (name: string, labels: Json, selector: Json): KubeObject => ({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: ownedMetadata(owner, name, labels as Record<string, string>),
    spec: { maxUnavailable: 1, selector: { matchLabels: selector }, unhealthyPodEvictionPolicy: 'AlwaysAllow' },
  });
  const { name } = owner;
  const pools = deployments.filter(({ replicas }) => replicas > 1);
  return [
    ...(spec.coordinators.replicas > 1
      ? [budget(coordinatorName(name), labelsOf(name, 'coordinator'), selectorOf(name, 'coordinator'))]
      : []),
    ...pools.map(({ name: deployment, pool }) =>
      budget(deployment, labelsOf(name, 'worker', pool), selectorOf(name, 'worker', pool)),
    ),
  ];
}
