/** How the API server is reached: from inside a pod by its service account, elsewhere by a kubeconfig file. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { KubeConfig, type RequestContext } from '@kubernetes/client-node';
import { DistricError } from '../../base/errors.ts';

const ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';
/** New connections take up what was replaced since: authorities, certificates. */
const CONNECTIONS_MS = 10 * 60_000;

/** The library makes connections of their own for each request; here they are shared. */
export class KubeAccess extends KubeConfig {
  #connections: { shared: ReturnType<RequestContext['getDispatcher']>; sinceMs: number } | undefined;

  /** That this program is in, or the context names. */
  get namespace(): string {
    return this.getContextObject(this.currentContext)?.namespace ?? 'default';
  }

  override async applySecurityAuthentication(context: RequestContext): Promise<void> {
    await super.applySecurityAuthentication(context);
    const nowMs = performance.now();
    if (this.#connections === undefined || nowMs - this.#connections.sinceMs > CONNECTIONS_MS) {
      this.#connections = { shared: context.getDispatcher(), sinceMs: nowMs };
    }
    if (this.#connections.shared !== undefined) context.setDispatcher(this.#connections.shared);
  }
}

/** Throws INVALID_DOCUMENT where there is none. */
export function kubeAccess(env: Readonly<Record<string, string | undefined>>): KubeAccess {
  const access = new KubeAccess();
  const file = env['KUBECONFIG'] ?? join(homedir(), '.kube', 'config');
  const isInPod = env['KUBERNETES_SERVICE_HOST'] !== undefined && existsSync(ACCOUNT_TOKEN);
  if (env['KUBECONFIG'] === undefined && isInPod) access.loadFromCluster();
  else if (existsSync(file)) access.loadFromFile(file);
  else throw new DistricError('INVALID_DOCUMENT', `no API server: neither in a pod, nor is there ${file}`);
  if (access.getCurrentCluster() === null) {
    throw new DistricError('INVALID_DOCUMENT', `${file}: its current context names no cluster`);
  }
  return access;
}
