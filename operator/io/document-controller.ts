/** One look at one Rule or Workflow: pushes it to its cluster, keeps it there, and takes it away with the resource. */
import { type ClusterResource, clusterSpecOf, type DocumentStatus } from '../../api/cluster-resource.ts';
import { API_GROUP, API_VERSION } from '../../api/resources.ts';
import {
  documentStatus,
  moveFor,
  type Outcome,
  ownerName,
  type Remote,
  type Wanted,
  wantedOf,
} from '../planner/document.ts';
import { canonicalText } from '../planner/hash.ts';
import type { KubeObject } from '../planner/model.ts';
import type { ClusterLink } from './cluster-link.ts';
import type { Events } from './events.ts';
import { isStatus, type KubeClient } from './kube-client.ts';
import type { Links } from './links.ts';
import { NodeError } from './node-client.ts';
import type { DocumentKind, Store } from './store.ts';

export const FINALIZER = `${API_GROUP}/document`;
const PATHS: Record<DocumentKind, string> = { Rule: '/rules', Workflow: '/workflow-definitions' };

/** Looks for drift, and for what a document waits for. */
const REST_MS = 30_000;
const WAIT_MS = 2_000;

export interface DocumentControllerParts {
  client: KubeClient;
  store: Store;
  links: Links;
  events: Events;
  /** A workflow has arrived: rules of the namespace may have waited for it. */
  onSynced: (resource: KubeObject) => void;
}

export class DocumentController {
  readonly #parts: DocumentControllerParts;

  constructor(parts: DocumentControllerParts) {
    this.#parts = parts;
  }

  async reconcile(kind: DocumentKind, namespace: string, name: string): Promise<number | undefined> {
    const { store } = this.#parts;
    const resource = store.get(kind, namespace, name);
    if (resource === undefined) return undefined;
    if (resource.metadata.deletionTimestamp !== undefined) return this.#remove(resource);
    if (!(resource.metadata.finalizers ?? []).includes(FINALIZER)) {
      await this.#setFinalizers(resource, [...(resource.metadata.finalizers ?? []), FINALIZER]);
    }
    const wanted = wantedOf(resource);
    const outcome =
      'reason' in wanted ? ({ kind: 'rejected', reason: wanted.reason } as const) : await this.#push(resource, wanted);
    const wasSynced = ((resource['status'] ?? {}) as DocumentStatus).conditions?.some(
      ({ type, status }) => type === 'Synced' && status === 'True',
    );
    await this.#say(resource, outcome);
    if (outcome.kind === 'synced' && wasSynced !== true) this.#parts.onSynced(resource);
    // What only a change of the resource helps is not tried again: that change is an event.
    return outcome.kind === 'rejected' ? undefined : outcome.kind === 'synced' ? REST_MS : WAIT_MS;
  }

  async #push(resource: KubeObject, wanted: Wanted): Promise<Outcome> {
    const cluster = clusterOf(resource);
    const link = await this.#linkTo(resource);
    if (link === undefined) {
      return {
        kind: 'waiting',
        reason: 'ClusterNotFound',
        message: `there is no DistricCluster ${cluster} that is ready`,
      };
    }
    const path = `${PATHS[resource.kind as DocumentKind]}/${encodeURIComponent(wanted.id)}`;
    try {
      const remote = await this.#get(link, path);
      const move = moveFor(wanted, remote, resource['status'] as DocumentStatus | undefined);
      if (move.kind === 'none') return { kind: 'synced', hash: wanted.hash, remote: remote ?? {} };
      if (move.kind === 'taken') return { kind: 'rejected', reason: `${wanted.id} is managed by ${move.by}` };
      await link.lead('PUT', path, wanted.document);
      if (move.isDrift) {
        const message = `${wanted.id} was changed in the cluster ${cluster}: put right`;
        this.#parts.events.emit(resource, 'Warning', 'DriftCorrected', message);
      }
      return { kind: 'synced', hash: wanted.hash, remote: (await this.#get(link, path)) ?? {} };
    } catch (error) {
      if (!(error instanceof NodeError)) throw error;
      if (error.isPermanent) return { kind: 'rejected', reason: error.message };
      const reason = error.code === 'UNKNOWN_WORKFLOW' ? 'WaitingForWorkflow' : 'ClusterUnavailable';
      return { kind: 'waiting', reason, message: error.message };
    }
  }

  async #get(link: ClusterLink, path: string): Promise<Remote | undefined> {
    try {
      return await link.lead<Remote>('GET', path);
    } catch (error) {
      if (error instanceof NodeError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** The link, with a leader known if there is one; undefined: no such cluster, or none that was ever reached. */
  async #linkTo(resource: KubeObject): Promise<ClusterLink | undefined> {
    const { store, links } = this.#parts;
    const { namespace = '' } = resource.metadata;
    const cluster = store.get('DistricCluster', namespace, clusterOf(resource));
    if (cluster === undefined) return undefined;
    const owner = { namespace, name: cluster.metadata.name, uid: cluster.metadata.uid ?? '' };
    const link = links.of(owner, clusterSpecOf(cluster as unknown as ClusterResource));
    if (link !== undefined && !(await link.hasLeader())) await link.look(links.pods(owner));
    return link;
  }

  // ---- deletion ------------------------------------------------------------------------------------------------------

  async #remove(resource: KubeObject): Promise<number | undefined> {
    const { store } = this.#parts;
    const { namespace = '', finalizers = [] } = resource.metadata;
    if (!finalizers.includes(FINALIZER)) return undefined;
    const cluster = store.get('DistricCluster', namespace, clusterOf(resource));
    const isGone = cluster === undefined || cluster.metadata.deletionTimestamp !== undefined;
    const { deletionPolicy } = resource['spec'] as { deletionPolicy?: string };
    if (!isGone && deletionPolicy !== 'Retain') {
      const waiting = await this.#removeRemote(resource);
      if (waiting !== undefined) {
        await this.#say(resource, waiting);
        return WAIT_MS;
      }
    }
    await this.#setFinalizers(
      resource,
      finalizers.filter((finalizer) => finalizer !== FINALIZER),
    );
    return undefined;
  }

  /** Undefined: it is not there any more, or not this resource's. */
  async #removeRemote(resource: KubeObject): Promise<Outcome | undefined> {
    const wanted = wantedOf(resource);
    const { name } = resource.metadata;
    const id = 'reason' in wanted ? (((resource['spec'] ?? {}) as { id?: string }).id ?? name) : wanted.id;
    const link = await this.#linkTo(resource);
    // Nothing was ever put there without credentials.
    if (link === undefined) return undefined;
    const path = `${PATHS[resource.kind as DocumentKind]}/${encodeURIComponent(id)}`;
    try {
      const remote = await this.#get(link, path);
      if (remote?.managedBy !== ownerName(resource)) return undefined;
      await link.lead('DELETE', `${path}?force=true`);
      return undefined;
    } catch (error) {
      if (!(error instanceof NodeError)) throw error;
      if (error.status === 404) return undefined;
      const reason = error.code === 'IN_USE' ? 'InUse' : 'ClusterUnavailable';
      return { kind: 'waiting', reason, message: error.message };
    }
  }

  /** With the version that was seen: nobody else's finalizer is lost. */
  async #setFinalizers(resource: KubeObject, finalizers: string[]): Promise<void> {
    const { namespace = '', name, resourceVersion } = resource.metadata;
    const kind = { apiVersion: API_VERSION, kind: resource.kind };
    try {
      await this.#parts.client.patch(kind, namespace, name, { metadata: { finalizers, resourceVersion } });
    } catch (error) {
      // Gone, or changed since: it will be looked at again.
      if (!isStatus(error, 404, 409)) throw error;
    }
  }

  async #say(resource: KubeObject, outcome: Outcome): Promise<void> {
    const status = documentStatus(resource, outcome, Date.now());
    if (canonicalText(resource['status']) === canonicalText(status)) return;
    const { name, namespace = '' } = resource.metadata;
    const object = { apiVersion: API_VERSION, kind: resource.kind, metadata: { name, namespace }, status };
    try {
      await this.#parts.client.apply(object, '/status');
    } catch (error) {
      if (!isStatus(error, 404)) throw error;
    }
  }
}

export function clusterOf(resource: KubeObject): string {
  return (resource['spec'] as { clusterRef: { name: string } }).clusterRef.name;
}
