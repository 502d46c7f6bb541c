import { X509Certificate } from 'node:crypto';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { DAY_MS } from '../../pki/authority.ts';
import { readJoinSecret, verifyJoinToken } from '../../pki/join-token.ts';
import type { KubeObject } from '../planner/model.ts';
import { madeSecret } from './made-secrets.ts';
import {
  authoritySecret,
  joinTokenSecret,
  nodesSecret,
  operatorSecret,
  pkiView,
  type ReadSecret,
} from './pki-store.ts';

const owner = { namespace: 'shop', name: 'prod', uid: 'u-1' };
const NODES = ['prod-coordinator-0', 'prod-coordinator-1'];
const NOW_MS = Date.now();

let secrets: Map<string, Record<string, string>>;

const read: ReadSecret = (name, key) => {
  const data = secrets.get(name)?.[key];
  return data === undefined ? undefined : Buffer.from(data, 'base64').toString('utf8');
};
function keep(object: KubeObject): void {
  secrets.set(object.metadata.name, object['data'] as Record<string, string>);
}
const view = () => pkiView(owner, read, NODES);

beforeEach(async () => {
  secrets = new Map();
  keep(await authoritySecret(owner, read, 'create', NOW_MS));
  keep(await nodesSecret(owner, read, NODES, 90, NOW_MS));
  keep(await operatorSecret(owner, read, 90, NOW_MS));
});

describe('the secrets of certificates', () => {
  it('give each node its own identity, signed by the authority', () => {
    const leaf = new X509Certificate(read('prod-node-tls', 'prod-coordinator-1.crt') ?? '');
    expect(leaf.subjectAltName).toContain('URI:distric://prod/coordinator/prod-coordinator-1');
    expect(leaf.subjectAltName).toContain('DNS:prod.shop.svc');
    expect(leaf.verify(new X509Certificate(read('prod-authority', 'ca.crt') ?? '').publicKey)).toBe(true);
    const operator = new X509Certificate(read('prod-operator-tls', 'tls.crt') ?? '');
    expect(operator.subjectAltName).toContain('distric://prod/operator/');
  });

  it('are seen with their ends', () => {
    const { trusted, nodes, authorityUntilMs = 0, operatorUntilMs = 0 } = view();
    expect(trusted).toBe(1);
    expect([...nodes.keys()]).toEqual(NODES);
    expect(Math.abs((nodes.get('prod-coordinator-0') ?? 0) - NOW_MS - 90 * DAY_MS)).toBeLessThan(2_000);
    expect(authorityUntilMs).toBeGreaterThan(operatorUntilMs);
  });

  it('follow a new authority: trusted by all, then signing, then alone', async () => {
    const before = read('prod-authority', 'signer.crt');
    keep(await authoritySecret(owner, read, 'trust', NOW_MS));
    expect(view()).toMatchObject({ trusted: 2, operatorUntilMs: undefined });
    expect(view().nodes.size).toBe(0);
    keep(await nodesSecret(owner, read, NODES, 90, NOW_MS));
    expect(view().nodes.size).toBe(2);
    keep(await authoritySecret(owner, read, 'switch', NOW_MS));
    expect(read('prod-authority', 'signer.crt')).not.toBe(before);
    // Those of the old authority do not count any more: they are made anew.
    expect(view().nodes.size).toBe(0);
    keep(await nodesSecret(owner, read, NODES, 90, NOW_MS));
    keep(await authoritySecret(owner, read, 'drop', NOW_MS));
    expect(read('prod-authority', 'ca.crt')).toBe(read('prod-authority', 'signer.crt'));
  });

  it('hold a token that lets workers in, for a while', () => {
    const join = madeSecret(owner, 'join', 'prod-join')['stringData'] as Record<string, string>;
    secrets.set('prod-join', { 'join.secret': Buffer.from(join['join.secret'] ?? '').toString('base64') });
    keep(joinTokenSecret(owner, read, NOW_MS));
    const grant = verifyJoinToken(
      readJoinSecret(join['join.secret'] ?? ''),
      read('prod-join-token', 'token') ?? '',
      NOW_MS,
    );
    expect(grant).toMatchObject({ role: 'worker' });
    expect(view().joinTokenUntilMs).toBe(grant.expiresMs);
  });
});

describe('made secrets', () => {
  it('have the form that nodes ask for, and are never the same', () => {
    const text = (kind: 'admin' | 'gossip'): string =>
      Object.values(madeSecret(owner, kind, 'x')['stringData'] as object).join('');
    expect(text('admin')).toMatch(/^dk_bootstrap_[\w-]{43}\n$/);
    expect(text('gossip')).toMatch(/^- \{ id: 1, key: [A-Za-z0-9+/]{43}= \}\n$/);
    expect(text('admin')).not.toBe(text('admin'));
  });
});
