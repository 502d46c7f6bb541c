import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { HttpMethod, RequestContext } from '@kubernetes/client-node';
import { type KubeAccess, kubeAccess } from './kube-config.ts';
import { operatorSettings } from './settings.ts';

describe('the settings', () => {
  it('come from the environment, over their defaults', () => {
    expect(operatorSettings({}, 'host')).toMatchObject({
      watchNamespace: undefined,
      concurrency: 8,
      leaderElection: true,
    });
    const env = { DISTRIC_OPERATOR_WATCH_NAMESPACE: 'shop', DISTRIC_OPERATOR_LEADER_ELECTION: 'false', PATH: '/bin' };
    expect(operatorSettings(env, 'host')).toMatchObject({ watchNamespace: 'shop', leaderElection: false });
  });

  it.each([
    ['CONCURRENCY', '0'],
    ['METRICS_PORT', 'x'],
    ['LOG_LEVEL', 'loud'],
    ['LEADER_ELECTION', 'maybe'],
    ['LOGLEVEL', 'info'],
  ])('refuse %s=%s by its name', (name, value) => {
    const variable = `DISTRIC_OPERATOR_${name}`;
    expect(() => operatorSettings({ [variable]: value }, 'host')).toThrow(variable);
  });
});

describe('a kubeconfig', () => {
  let dir: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'distric-kube-'));
  });

  afterEach(() => {
    rmSync(dir, { recursive: true });
  });

  function access(user: string): KubeAccess {
    const file = join(dir, 'config');
    writeFileSync(join(dir, 'ca.crt'), 'authority');
    writeFileSync(
      file,
      `clusters: [{ name: c, cluster: { server: 'https://api:6443', certificate-authority: ca.crt } }]
users: [{ name: u, user: ${user} }]
contexts: [{ name: x, context: { cluster: c, user: u, namespace: shop } }]
current-context: x
`,
    );
    return kubeAccess({ KUBECONFIG: file });
  }

  it('is read with certificates in it or beside it', async () => {
    const key = Buffer.from('key').toString('base64');
    const read = access(`{ client-key-data: ${key}, client-certificate: ca.crt }`);
    expect([read.getCurrentCluster()?.server, read.namespace]).toEqual(['https://api:6443', 'shop']);
    const options: RequestOptions = {};
    await read.applyToHTTPSOptions(options);
    expect([options.ca, options.cert, options.key].map(String)).toEqual(['authority', 'authority', 'key']);
  });

  it('gives its token to each request, over connections that they share', async () => {
    const read = access('{ token: t1 }');
    const contexts = [1, 2].map(() => new RequestContext('https://api:6443/version', HttpMethod.GET));
    for (const context of contexts) await read.applySecurityAuthentication(context);
    expect(contexts.map((context) => context.getHeaders()['Authorization'])).toEqual(['Bearer t1', 'Bearer t1']);
    expect(contexts[0]?.getDispatcher()).toBeDefined();
    expect(contexts[1]?.getDispatcher()).toBe(contexts[0]?.getDispatcher());
  });

  it('that is missing, or names no cluster, is refused', () => {
    expect(() => kubeAccess({ KUBECONFIG: join(dir, 'none') })).toThrow(/none/);
    writeFileSync(join(dir, 'config'), 'clusters: []\nusers: []\ncontexts: []\n');
    expect(() => kubeAccess({ KUBECONFIG: join(dir, 'config') })).toThrow(/no cluster/);
  });
});
