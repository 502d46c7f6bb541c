import { once } from 'node:events';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Identity } from '../../../api/identity.ts';
import { parseAddress } from '../../../base/address.ts';
import { Authority, DAY_MS, validFor, type KeyedCertificate, type Validity } from '../../../pki/authority.ts';
import type { Connection } from './connection.ts';
import { closeAll, closeLater, frame, hello, node, raw, readAll, readIndex } from './test-peers.ts';
import type { TestNode } from './test-node.ts';
import { TlsTransport, type TlsMaterial } from './tls-transport.ts';

afterEach(closeAll);

let ours: KeyedCertificate;
let theirs: KeyedCertificate;

beforeAll(async () => {
  ours = await Authority.create('test', validFor(DAY_MS, Date.now()));
  theirs = await Authority.create('test', validFor(DAY_MS, Date.now()));
});

interface Wanted {
  identity?: Partial<Identity>;
  signedBy?: KeyedCertificate;
  trusts?: KeyedCertificate;
  validity?: Validity;
}

async function material(name: string, role: Identity['role'], wanted: Wanted = {}): Promise<TlsMaterial> {
  const authority = await Authority.open(wanted.signedBy ?? ours);
  const { certificate, key } = await authority.issue({
    identity: { clusterName: 'test', role, name, ...wanted.identity },
    dnsNames: [],
    ipAddresses: [],
    validity: wanted.validity ?? validFor(DAY_MS, Date.now()),
  });
  return { certificate, key, authorities: (wanted.trusts ?? ours).certificate };
}

async function coordinator(nodeId: string, wanted: Wanted = {}, coordinatorIds?: string[]): Promise<TestNode> {
  const transport = new TlsTransport('test', await material(nodeId, 'coordinator', wanted));
  return node(nodeId, {
    transport,
    ...(coordinatorIds === undefined ? {} : { coordinatorIds: new Set(coordinatorIds) }),
  });
}

async function worker(nodeId: string, wanted: Wanted = {}): Promise<TestNode> {
  const transport = new TlsTransport('test', await material(nodeId, 'worker', wanted));
  return node(nodeId, { transport, self: { nodeId, role: 'worker', clusterName: 'test' } });
}

async function secure(address: string, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ ...parseAddress(address), rejectUnauthorized: false, ...options });
  socket.on('error', () => undefined);
  closeLater(() => socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

describe('PeerNet over mutual TLS', () => {
  it('carries messages both ways between nodes that are who they say', async () => {
    const [c1, w1] = [await coordinator('c1', {}, ['c1']), await worker('w1')];
    w1.net.dial(await c1.listen(), 'c1');
    await w1.until(() => w1.isUp(c1));
    await c1.until(() => c1.isUp(w1));
    w1.net.send('c1', readIndex(1));
    c1.net.send('w1', readIndex(2));
    await c1.until(() => c1.received.length === 1);
    await w1.until(() => w1.received.length === 1);
    expect([c1.received[0]?.message, w1.received[0]?.message]).toEqual([readIndex(1), readIndex(2)]);
    expect([...c1.warnings, ...w1.warnings]).toEqual([]);
  });

  const past = (): Validity => ({ notBeforeMs: Date.now() - 2 * DAY_MS, notAfterMs: Date.now() - 60_000 });
  const future = (): Validity => ({ notBeforeMs: Date.now() + 3_600_000, notAfterMs: Date.now() + DAY_MS });
  const wrongs: [string, () => Wanted, string][] = [
    ['certificate_untrusted', () => ({ signedBy: theirs }), 'UNABLE_TO'],
    ['certificate_expired', () => ({ validity: past() }), 'CERT_HAS_EXPIRED'],
    ['certificate_not_yet_valid', () => ({ validity: future() }), 'CERT_NOT_YET_VALID'],
    ['certificate_of_another_cluster', () => ({ identity: { clusterName: 'other' } }), 'of the cluster'],
    ['certificate_of_another_node', () => ({ identity: { name: 'x9' } }), '/x9'],
    ['certificate_of_another_role', () => ({ identity: { role: 'client' } }), '/client/'],
  ];

  it.each(wrongs)('refuses the node that dials: %s', async (reason, wrong, words) => {
    const [c1, w1] = [await coordinator('c1'), await worker('w1', wrong())];
    w1.net.dial(await c1.listen(), 'c1');
    await c1.until(() => c1.count(`tcp ${reason}`) >= 1);
    expect(c1.warnings[0]).toContain(`"reason":"${reason}"`);
    expect(c1.warnings[0]).toContain(words);
    expect([...c1.events, ...w1.events]).toEqual([]);
  });

  it.each(wrongs)('refuses the node that it dials, and tells it nothing: %s', async (reason, wrong, words) => {
    const [c1, w1] = [await coordinator('c1', wrong()), await worker('w1')];
    w1.net.dial(await c1.listen(), 'c1');
    await w1.until(() => w1.count(`tcp ${reason}`) >= 1);
    expect(w1.warnings[0]).toContain(`"reason":"${reason}"`);
    expect(w1.warnings[0]).toContain(words);
    expect([...c1.events, ...w1.events]).toEqual([]);
    if (reason !== 'certificate_of_another_node') expect(c1.count('rpc HELLO')).toBe(0);
  });

  it('takes nobody for a coordinator who is not in its list, whatever the certificate says', async () => {
    const [c1, c9] = [await coordinator('c1', {}, ['c1', 'c2']), await coordinator('c9')];
    c9.net.dial(await c1.listen(), 'c1');
    await c1.until(() => c1.count('tcp unknown_coordinator') >= 1);
    expect(c1.warnings[0]).toContain('distric://test/coordinator/c9');
    expect(c1.events).toEqual([]);
  });

  it('takes a client with the certificate of a client, and none with that of a node', async () => {
    const accepted: (Identity | undefined)[] = [];
    const transport = new TlsTransport('test', await material('c1', 'coordinator'));
    const accept = ({ identity }: Connection): boolean => accepted.push(identity) > 0;
    const c1 = node('c1', { transport, clients: { accept, endOlderThan: () => undefined } });
    const address = await c1.listen();
    const greeting = frame(hello('someone', 'bulk', 'test', 'client'));
    const asWorker = await material('w1', 'worker');
    const refused = await secure(address, { cert: asWorker.certificate, key: asWorker.key });
    refused.write(greeting);
    expect(await readAll(refused)).toEqual([{ kind: 'GOAWAY', body: { reason: 'certificate_of_another_role' } }]);
    const asClient = await material('ci', 'client');
    const taken = await secure(address, { cert: asClient.certificate, key: asClient.key });
    taken.write(greeting);
    await once(taken, 'data');
    expect(accepted).toEqual([{ clusterName: 'test', role: 'client', name: 'ci' }]);
  });

  it('ends a connection, and says why, when it is told that the certificate is good no longer', async () => {
    const told: ((reason: 'certificate_expired', detail: object) => void)[] = [];
    const watch = (_: TLSSocket, end: (reason: 'certificate_expired', detail: object) => void): void => {
      told.push(end);
    };
    const c1 = node('c1', {
      transport: new TlsTransport('test', await material('c1', 'coordinator'), { watch }),
      clients: { accept: () => true, endOlderThan: () => undefined },
    });
    const { certificate: cert, key } = await material('shop', 'client');
    const socket = await secure(await c1.listen(), { cert, key });
    const messages = readAll(socket);
    socket.write(frame(hello('shop', 'bulk', 'test', 'client')));
    await c1.until(() => c1.count('rpc HELLO') === 1);
    expect(told).toHaveLength(1);
    told[0]?.('certificate_expired', {});
    expect((await messages).at(-1)).toEqual({ kind: 'GOAWAY', body: { reason: 'certificate_expired' } });
    expect(c1.count('tcp certificate_expired')).toBe(1);
    expect(c1.warnings).toEqual([expect.stringContaining('no longer trusted')]);
  });

  it('lets nobody but a coordinator in under the id of one', async () => {
    const c1 = await coordinator('c1', {}, ['c1', 'c2']);
    const w1 = await worker('c2');
    w1.net.dial(await c1.listen(), 'c1');
    await c1.until(() => c1.count('tcp not_a_coordinator') >= 1);
    expect(c1.events).toEqual([]);
  });

  it('refuses who shows no certificate, and says so', async () => {
    const c1 = await coordinator('c1');
    const socket = await secure(await c1.listen(), {});
    socket.write(frame(hello('w1', 'control', 'test', 'worker')));
    expect(await readAll(socket)).toEqual([{ kind: 'GOAWAY', body: { reason: 'certificate_missing' } }]);
    expect(c1.count('tcp certificate_missing')).toBe(1);
  });

  it('refuses a certificate without an identity, and one that may not be used by a client', async () => {
    const c1 = await coordinator('c1');
    const { key, certificate } = ours;
    // The authority's own certificate: trusted, and nobody's identity.
    const socket = await secure(await c1.listen(), { key, cert: certificate });
    expect(await readAll(socket)).toEqual([{ kind: 'GOAWAY', body: { reason: 'certificate_invalid' } }]);
    expect(c1.count('tcp certificate_invalid')).toBe(1);
  });

  it('refuses what speaks no TLS, or an older one', async () => {
    const c1 = await coordinator('c1');
    const address = await c1.listen();
    const plain = await raw(address);
    plain.write(frame(hello('w1', 'control', 'test', 'worker')));
    await readAll(plain);
    await c1.until(() => c1.count('tcp tls_failed') === 1);
    const older = connect({ ...parseAddress(address), maxVersion: 'TLSv1.2', rejectUnauthorized: false });
    closeLater(() => older.destroy());
    await expect(once(older, 'secureConnect')).rejects.toThrow(/protocol version|handshake failure|ECONNRESET/);
    await c1.until(() => c1.count('tcp tls_failed') === 2);
    expect(c1.events).toEqual([]);
  });

  it('takes few connections of one address whose handshake does not end', async () => {
    const transport = new TlsTransport('test', await material('c1', 'coordinator'));
    const c1 = node('c1', { transport, limits: { strangersPerAddressMax: 2 } });
    const address = await c1.listen();
    const oldest = await raw(address);
    for (let i = 0; i < 2; i++) await raw(address);
    await readAll(oldest);
    expect(c1.count('tcp accept_limit')).toBe(1);
    const w1 = await worker('w1');
    w1.net.dial(address, 'c1');
    await c1.until(() => c1.isUp(w1));
  });

  it('resumes no session', async () => {
    const c1 = await coordinator('c1');
    const address = await c1.listen();
    const { certificate: cert, key } = await material('w1', 'worker');
    const first = await secure(address, { cert, key });
    const sessions: Buffer[] = [];
    first.on('session', (session) => sessions.push(session));
    first.write(frame(hello('w1', 'control', 'test', 'worker')));
    await once(first, 'data');
    first.destroy();
    for (const session of sessions) {
      const second = await secure(address, { cert, key, session });
      expect(second.isSessionReused()).toBe(false);
    }
    expect(sessions.length).toBeGreaterThan(0);
  });

  it('uses new certificates for new connections, and keeps those that are there', async () => {
    const both = { certificate: ours.certificate + theirs.certificate, key: '' };
    const c1Transport = new TlsTransport('test', await material('c1', 'coordinator', { trusts: both }));
    const c1 = node('c1', { transport: c1Transport });
    const address = await c1.listen();
    const w1 = await worker('w1', { trusts: both });
    w1.net.dial(address, 'c1');
    await c1.until(() => c1.isUp(w1));

    c1Transport.replace(await material('c1', 'coordinator', { signedBy: theirs, trusts: theirs }));
    const [old, fresh] = [
      await worker('w2', { trusts: both }),
      await worker('w3', { signedBy: theirs, trusts: theirs }),
    ];
    old.net.dial(address, 'c1');
    fresh.net.dial(address, 'c1');
    await c1.until(() => c1.count('tcp certificate_untrusted') >= 1 && c1.isUp(fresh));
    w1.net.send('c1', readIndex(7));
    await c1.until(() => c1.received.length === 1);
    expect(c1.events).toEqual(['up w1', 'up w3']);
  });

  it('closes although somebody never ends the handshake', async () => {
    const c1 = await coordinator('c1');
    await raw(await c1.listen());
    const startedMs = performance.now();
    await c1.net.close();
    expect(performance.now() - startedMs).toBeLessThan(15_000);
  });
});
