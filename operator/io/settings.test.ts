import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { kubeAccess } from './kube-config.ts';
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

  function access(user: string) {
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

  it('is read with certificates in it or beside it', () => {
    const key = Buffer.from('key').toString('base64');
    const read = access(`{ client-key-data: ${key}, client-certificate: ca.crt }`);
    expect(read).toMatchObject({
      server: 'https://api:6443',
      ca: 'authority',
      certificate: 'authority',
      key: 'key',
      namespace: 'shop',
    });
  });

  it('gives its token, read anew where it is a file', () => {
    expect(access('{ token: t1 }').token?.()).toBe('t1');
    const file = join(dir, 'token');
    writeFileSync(file, 'first\n');
    const { token } = access(`{ tokenFile: ${file} }`);
    writeFileSync(file, 'second\n');
    expect(token?.()).toBe('second');
  });

  it('that asks for a program is refused', () => {
    expect(() => access('{ exec: { command: aws } }')).toThrow(/exec/);
  });
});
