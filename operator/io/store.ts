/** What the API server has, as informers keep it, and who is to look when something changes. */
import { API_VERSION } from '../../api/resources.ts';
import type { KubeObject } from '../planner/model.ts';
import { CLUSTER_LABEL, FIELD_MANAGER, MANAGED_BY } from '../planner/names.ts';
import { Informer } from './informer.ts';
import type { KubeClient } from './kube-client.ts';

export type DocumentKind = 'Rule' | 'Workflow';

const OWN = `${MANAGED_BY}=${FIELD_MANAGER}`;
const WATCHED = {
  DistricCluster: { apiVersion: API_VERSION, labelSelector: undefined },
  Rule: { apiVersion: API_VERSION, labelSelector: undefined },
  Workflow: { apiVersion: API_VERSION, labelSelector: undefined },
  StatefulSet: { apiVersion: 'apps/v1', labelSelector: OWN },
  Deployment: { apiVersion: 'apps/v1', labelSelector: OWN },
  Pod: { apiVersion: 'v1', labelSelector: OWN },
  PersistentVolumeClaim: { apiVersion: 'v1', labelSelector: CLUSTER_LABEL },
  Secret: { apiVersion: 'v1', labelSelector: OWN },
} as const;
export type WatchedKind = keyof typeof WATCHED;

export interface StoreOptions {
  client: KubeClient;
  namespace: string | undefined;
  onCluster: (namespace: string, name: string) => void;
  onDocument: (kind: DocumentKind, namespace: string, name: string) => void;
  log: { warn(fields: object, text: string): void };
}

export class Store {
  readonly #informers = new Map<WatchedKind, Informer>();

  constructor({ client, namespace, onCluster, onDocument, log }: StoreOptions) {
    for (const [name, { apiVersion, labelSelector }] of Object.entries(WATCHED)) {
      const kind = name as WatchedKind;
      const informer = new Informer({
        client,
        kind: { apiVersion, kind },
        namespace,
        ...(labelSelector === undefined ? {} : { labelSelector }),
        onChange: ({ metadata }) => {
          const inNamespace = metadata.namespace ?? '';
          if (kind === 'Rule' || kind === 'Workflow') onDocument(kind, inNamespace, metadata.name);
          const cluster = kind === 'DistricCluster' ? metadata.name : metadata.labels?.[CLUSTER_LABEL];
          if (cluster !== undefined) onCluster(inNamespace, cluster);
        },
        log,
      });
      this.#informers.set(kind, informer);
    }
  }

  /** Resolves once all kinds were listed. */
  async start(): Promise<void> {
    await Promise.all([...this.#informers.values()].map((informer) => informer.start()));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#informers.values()].map((informer) => informer.stop()));
  }

  get(kind: WatchedKind, namespace: string, name: string): KubeObject | undefined {
    return this.#informers.get(kind)?.get(namespace, name);
  }

  all(kind: WatchedKind): KubeObject[] {
    return [...(this.#informers.get(kind)?.all() ?? [])];
  }

  /** Those of one cluster. */
  of(kind: WatchedKind, namespace: string, cluster: string): KubeObject[] {
    return this.all(kind).filter(
      ({ metadata }) => metadata.namespace === namespace && metadata.labels?.[CLUSTER_LABEL] === cluster,
    );
  }

  /** Text of one key of a secret. */
  secretText(namespace: string, name: string, key: string): string | undefined {
    const data = this.get('Secret', namespace, name)?.['data'] as Record<string, string> | undefined;
    const text = data?.[key];
    return text === undefined ? undefined : Buffer.from(text, 'base64').toString('utf8');
  }
}
