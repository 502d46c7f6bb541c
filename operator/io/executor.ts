/** Carries out what was planned, in order; the first failure ends it. */
import type { ClusterSpec } from '../../api/cluster-resource.ts';
import { canonicalText, hashOf } from '../planner/hash.ts';
import type { Action, KubeObject } from '../planner/model.ts';
import { type Owner, peerAddress, restAddress } from '../planner/names.ts';
import type { ClusterLink } from './cluster-link.ts';
import type { Events } from './events.ts';
import { keyOf } from './informer.ts';
import { isStatus, type KubeClient } from './kube-client.ts';
import { madeSecret } from './made-secrets.ts';
import { authoritySecret, joinTokenSecret, nodesSecret, operatorSecret, type ReadSecret } from './pki-store.ts';

/** What was applied is applied again after this, whoever changed it meanwhile. */
const RESYNC_MS = 5 * 60_000;

export interface ExecutorParts {
  client: KubeClient;
  events: Events;
  /** A test ends the process at a point of its choice. */
  crashAt: (point: string) => void;
  log: { info(fields: object, text: string): void };
}

export interface Scene {
  owner: Owner;
  spec: ClusterSpec;
  resource: KubeObject;
  link: ClusterLink | undefined;
  read: ReadSecret;
  /** The object as it is in the cache, of a kind that is watched. */
  cached: (object: KubeObject) => KubeObject | undefined;
}

export class Executor {
  readonly #parts: ExecutorParts;
  /** By object: what was applied last, and when; so that what is as it is to be costs no request. */
  readonly #applied = new Map<string, { hash: string; atMs: number; generation: number | undefined }>();

  constructor(parts: ExecutorParts) {
    this.#parts = parts;
  }

  /** True: something was changed, so look again soon. */
  async run(actions: readonly Action[], scene: Scene): Promise<boolean> {
    let isChanged = false;
    for (const action of actions) {
      if (action.kind === 'apply' && !this.#isDue(action.object, scene)) continue;
      this.#parts.crashAt(`before-${action.kind}`);
      await this.#do(action, scene);
      this.#parts.crashAt(`after-${action.kind}`);
      isChanged ||= action.kind !== 'event' && action.kind !== 'apply';
      if (action.kind !== 'apply' && action.kind !== 'event') {
        this.#parts.log.info({ cluster: keyOf(scene.resource), action: titleOf(action) }, 'done');
      }
    }
    return isChanged;
  }

  #isDue(object: KubeObject, { cached }: Scene): boolean {
    const last = this.#applied.get(`${object.kind}/${keyOf(object)}`);
    if (last?.hash !== hashOf(object) || Date.now() - last.atMs >= RESYNC_MS) return true;
    // Of what is watched: gone, or changed by others. An equal generation has an equal spec.
    if (object.kind !== 'StatefulSet' && object.kind !== 'Deployment') return false;
    const there = cached(object);
    return there === undefined || (there.metadata.generation ?? 0) > (last.generation ?? 0);
  }

  async #do(action: Action, scene: Scene): Promise<void> {
    const { client, events } = this.#parts;
    const { owner, spec, read, resource } = scene;
    const { namespace } = owner;
    switch (action.kind) {
      case 'apply':
        return this.#apply(action.object);
      case 'create':
        return this.#create(action.object);
      case 'patch':
        await client.patch(action.ref, namespace, action.ref.name, action.patch, action.subresource);
        return;
      case 'delete':
        return client.delete(action.ref, namespace, action.ref.name, action.ref.uid, action.orphan);
      case 'makeSecret':
        return this.#create(madeSecret(owner, action.secret, action.name));
      case 'makeAuthority':
        if (action.step === 'create') return this.#create(await authoritySecret(owner, read, 'create', Date.now()));
        return this.#apply(await authoritySecret(owner, read, action.step, Date.now()));
      case 'issueNodes':
        return this.#apply(await nodesSecret(owner, read, action.nodes, spec.tls.certificateDays, Date.now()));
      case 'issueOperator':
        return this.#apply(await operatorSecret(owner, read, spec.tls.certificateDays, Date.now()));
      case 'issueJoinToken':
        return this.#apply(joinTokenSecret(owner, read, Date.now()));
      case 'event':
        events.emit(resource, action.type, action.reason, action.message);
        return;
      case 'found':
      case 'addLearner':
      case 'promote':
      case 'remove':
      case 'renew':
      case 'transfer':
        return this.#order(action, scene);
    }
  }

  async #order(action: Action, { owner, link }: Scene): Promise<void> {
    if (link === undefined) throw new Error('there are no credentials for this cluster yet');
    const addresses = (node: string): object => ({
      address: peerAddress(owner, node),
      http_address: restAddress(owner, node),
    });
    switch (action.kind) {
      case 'found': {
        const { clusterId: cluster_id, dataUuid: data_uuid, minVoters: min_voters, node } = action;
        const body = { cluster_id, data_uuid, min_voters, ...addresses(node) };
        return link.ask(node, 'POST', '/cluster/bootstrap', body);
      }
      case 'addLearner':
        return link.lead('POST', '/cluster/members', { id: action.node, ...addresses(action.node) });
      case 'promote':
        return link.lead('POST', '/cluster/members/promote', { ids: action.nodes });
      case 'remove':
        return link.lead('POST', '/cluster/members/remove', { ids: action.nodes });
      case 'renew':
        return link.lead('POST', `/cluster/members/${action.node}/replace`, {});
      case 'transfer':
        return link.lead('POST', '/cluster/leader', { target: action.to });
      default:
        throw new Error(`${action.kind} is no order to a cluster`);
    }
  }

  async #apply(object: KubeObject): Promise<void> {
    const answer = await this.#parts.client.apply(object);
    const { generation } = answer.metadata;
    this.#applied.set(`${object.kind}/${keyOf(object)}`, { hash: hashOf(object), atMs: Date.now(), generation });
  }

  /** One that is there already stays as it is: the cache was late. */
  async #create(object: KubeObject): Promise<void> {
    try {
      await this.#parts.client.create(object);
    } catch (error) {
      if (!isStatus(error, 409)) throw error;
    }
  }

  /** Of a cluster that is gone. */
  forget({ namespace }: Owner, labels: (key: string) => boolean): void {
    for (const key of this.#applied.keys())
      if (key.includes(`/${namespace}/`) && labels(key)) this.#applied.delete(key);
  }
}

function titleOf(action: Action): string {
  switch (action.kind) {
    case 'create':
      return `create ${action.object.kind} ${action.object.metadata.name}`;
    case 'patch':
    case 'delete':
      return `${action.kind} ${action.ref.kind} ${action.ref.name}`;
    case 'makeSecret':
      return `make secret ${action.name}`;
    default:
      return canonicalText(action);
  }
}
