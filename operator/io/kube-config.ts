/** How the API server is reached: from inside a pod by its service account, elsewhere by a kubeconfig file. */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { DistricError } from '../../base/errors.ts';

const ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';

export interface KubeAccess {
  /** Base URL. */
  server: string;
  /** PEM. */
  ca?: string;
  certificate?: string;
  key?: string;
  insecureSkipVerify?: boolean;
  /** Read for each request: a service account's token is replaced while the program runs. */
  token?: () => string;
  /** That this program is in, or the context names. */
  namespace: string;
}

type Named = Record<string, Record<string, unknown>> & { name: string };
type Config = Record<'clusters' | 'users' | 'contexts', Named[]> & { 'current-context': string };

/** Throws INVALID_DOCUMENT where there is none, or it asks for what this program can't do. */
export function kubeAccess(env: Readonly<Record<string, string | undefined>>): KubeAccess {
  const file = env['KUBECONFIG'] ?? join(homedir(), '.kube', 'config');
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (env['KUBECONFIG'] === undefined && host !== undefined && existsSync(join(ACCOUNT_DIR, 'token'))) {
    return {
      server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
      ca: readFileSync(join(ACCOUNT_DIR, 'ca.crt'), 'utf8'),
      token: () => readFileSync(join(ACCOUNT_DIR, 'token'), 'utf8').trim(),
      namespace: readFileSync(join(ACCOUNT_DIR, 'namespace'), 'utf8').trim(),
    };
  }
  if (!existsSync(file))
    throw new DistricError('INVALID_DOCUMENT', `no API server: neither in a pod, nor is there ${file}`);
  return fromFile(file);
}

function fromFile(file: string): KubeAccess {
  const config = parse(readFileSync(file, 'utf8')) as Config;
  const entry = (list: Named[], name: unknown, field: string): Record<string, unknown> =>
    list.find((one) => one.name === name)?.[field] ?? {};
  const context = entry(config.contexts, config['current-context'], 'context');
  const cluster = entry(config.clusters, context['cluster'], 'cluster');
  const user = entry(config.users, context['user'], 'user');
  if (user['exec'] !== undefined || user['auth-provider'] !== undefined) {
    throw new DistricError(
      'INVALID_DOCUMENT',
      `${file}: users with exec or auth-provider are not supported: use a token or a certificate`,
    );
  }
  const pem = (source: Record<string, unknown>, name: string): string | undefined => {
    const data = source[`${name}-data`];
    if (typeof data === 'string') return Buffer.from(data, 'base64').toString('utf8');
    const path = source[name];
    return typeof path === 'string' ? readFileSync(resolve(dirname(file), path), 'utf8') : undefined;
  };
  const ca = pem(cluster, 'certificate-authority');
  const certificate = pem(user, 'client-certificate');
  const key = pem(user, 'client-key');
  const { token, tokenFile } = user;
  const read = typeof tokenFile === 'string' ? (): string => readFileSync(tokenFile, 'utf8').trim() : undefined;
  const tokenOf = typeof token === 'string' ? (): string => token : read;
  return {
    server: String(cluster['server']),
    ...(ca === undefined ? {} : { ca }),
    ...(certificate === undefined ? {} : { certificate }),
    ...(key === undefined ? {} : { key }),
    ...(cluster['insecure-skip-tls-verify'] === true ? { insecureSkipVerify: true } : {}),
    ...(tokenOf === undefined ? {} : { token: tokenOf }),
    namespace: typeof context['namespace'] === 'string' ? context['namespace'] : 'default',
  };
}
