/** One link to each cluster, made anew when its credentials change. */
import type { ClusterSpec } from '../../api/cluster-resource.ts';
import type { PodView } from '../planner/model.ts';
import { madeSecretName, operatorTlsName, type Owner } from '../planner/names.ts';
import { ClusterLink } from './cluster-link.ts';
import type { NodeAccess } from './node-client.ts';
import type { Store } from './store.ts';
import { podView } from './views.ts';

export class Links {
  readonly #store: Store;
  readonly #links = new Map<string, { link: ClusterLink; credentials: string }>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** Undefined until there are credentials for it. */
  of(owner: Owner, spec: ClusterSpec): ClusterLink | undefined {
    const access = this.#access(owner, spec);
    if (access === undefined) return undefined;
    const key = `${owner.namespace}/${owner.name}`;
    const credentials = JSON.stringify(access);
    const there = this.#links.get(key);
    if (there?.credentials === credentials) return there.link;
    there?.link.close();
    const link = new ClusterLink(access);
    this.#links.set(key, { link, credentials });
    return link;
  }

  forget({ namespace, name }: Pick<Owner, 'namespace' | 'name'>): void {
    this.#links.get(`${namespace}/${name}`)?.link.close();
    this.#links.delete(`${namespace}/${name}`);
  }

  pods({ namespace, name }: Owner): PodView[] {
    return this.#store.of('Pod', namespace, name).map(podView);
  }

  #access({ namespace, name }: Owner, spec: ClusterSpec): NodeAccess | undefined {
    const read = (secret: string, key: string): string | undefined => this.#store.secretText(namespace, secret, key);
    if (spec.tls.mode === 'Disabled') {
      const apiKey = read(spec.auth.adminSecretRef?.name ?? madeSecretName(name, 'admin'), 'admin.key')?.trim();
      return apiKey === undefined ? undefined : { clusterName: name, apiKey };
    }
    const secret = operatorTlsName(name);
    const [ca, certificate, key] = ['ca.crt', 'tls.crt', 'tls.key'].map((file) => read(secret, file));
    if (ca === undefined || certificate === undefined || key === undefined) return undefined;
    return { clusterName: name, tls: { ca, certificate, key } };
  }
}
