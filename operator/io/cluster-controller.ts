/** One look at one DistricCluster: see, plan, do, say. */
import { randomUUID } from 'node:crypto';
import { type ClusterResource, clusterSpecOf } from '../../api/cluster-resource.ts';
import { canonicalText } from '../planner/hash.ts';
import type { Founding, KubeObject, Observed } from '../planner/model.ts';
import { coordinatorName, foundingName, nodeNames, type Owner } from '../planner/names.ts';
import { plan } from '../planner/plan.ts';
import type { Executor } from './executor.ts';
import type { KubeClient } from './kube-client.ts';
import type { Links } from './links.ts';
import { pkiView, type ReadSecret } from './pki-store.ts';
import type { Store, WatchedKind } from './store.ts';
import { claimView, deploymentView, podView, statefulSetView } from './views.ts';

/** The cache follows what was just done within moments. */
const SOON_MS = 500;

export interface ClusterControllerParts {
  client: KubeClient;
  store: Store;
  links: Links;
  executor: Executor;
  defaultImage: string;
  knownKinds: ReadonlySet<string>;
}

export class ClusterController {
  readonly #parts: ClusterControllerParts;

  constructor(parts: ClusterControllerParts) {
    this.#parts = parts;
  }

  /** After how many ms to look again; undefined when the cluster is gone. */
  async reconcile(namespace: string, name: string): Promise<number | undefined> {
    const { store, links, executor } = this.#parts;
    const resource = store.get('DistricCluster', namespace, name);
    if (resource === undefined || resource.metadata.deletionTimestamp !== undefined) {
      // What it owns goes by the garbage collector.
      links.forget({ namespace, name });
      return undefined;
    }
    const owner: Owner = { namespace, name, uid: resource.metadata.uid ?? '' };
    const spec = clusterSpecOf(resource as unknown as ClusterResource);
    const read: ReadSecret = (secret, key) => store.secretText(namespace, secret, key);
    const link = links.of(owner, spec);
    const pods = links.pods(owner);
    const looked = await link?.look(pods);
    const observed = this.#observe(resource, owner, looked, read);
    const { actions, status, requeueMs } = plan(observed);
    const cached = (object: KubeObject): KubeObject | undefined =>
      store.get(object.kind as WatchedKind, namespace, object.metadata.name);
    try {
      const isChanged = await executor.run(actions, { owner, spec, resource, link, read, cached });
      return isChanged ? SOON_MS : requeueMs;
    } finally {
      await this.#say(resource, status);
    }
  }

  #observe(
    resource: KubeObject,
    owner: Owner,
    looked: Pick<Observed, 'nodes' | 'raft'> | undefined,
    read: ReadSecret,
  ): Observed {
    const { store, defaultImage, knownKinds } = this.#parts;
    const { namespace, name } = owner;
    const pods = store.of('Pod', namespace, name);
    const spec = clusterSpecOf(resource as unknown as ClusterResource);
    const set = store.get('StatefulSet', namespace, coordinatorName(name));
    const count = Math.max(spec.coordinators.replicas, set === undefined ? 0 : statefulSetView(set).replicas);
    return {
      nowMs: Date.now(),
      resource: resource as unknown as Observed['resource'],
      spec,
      defaultImage,
      newId: randomUUID(),
      founding: foundingOf(name, read),
      statefulSet: set === undefined ? undefined : statefulSetView(set),
      deployments: store.of('Deployment', namespace, name).map(deploymentView),
      pods: pods.map(podView),
      claims: store.of('PersistentVolumeClaim', namespace, name).flatMap((claim) => claimView(claim, pods) ?? []),
      secrets: new Set(store.of('Secret', namespace, name).map(({ metadata }) => metadata.name)),
      pki: pkiView(owner, read, nodeNames(name, count)),
      nodes: looked?.nodes ?? new Map(),
      raft: looked?.raft,
      knownKinds,
    };
  }

  async #say(resource: KubeObject, status: object): Promise<void> {
    if (canonicalText(resource['status']) === canonicalText(status)) return;
    const { apiVersion, kind, metadata } = resource;
    const { name, namespace } = metadata;
    const object = { apiVersion, kind, metadata: { name, ...(namespace === undefined ? {} : { namespace }) }, status };
    await this.#parts.client.apply(object, '/status');
  }
}

function foundingOf(cluster: string, read: ReadSecret): Founding | undefined {
  const [clusterId, dataUuid, node] = ['clusterId', 'dataUuid', 'node'].map((key) => read(foundingName(cluster), key));
  if (clusterId === undefined || dataUuid === undefined || node === undefined) return undefined;
  return { clusterId, dataUuid, node };
}
