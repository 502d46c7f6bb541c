import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Authority, DAY_MS, validFor, type KeyedCertificate } from '../../../pki/authority.ts';
import { PeerTrust } from './peer-trust.ts';

const HOUR_MS = DAY_MS / 24;
const closers: (() => void)[] = [];
let ours: KeyedCertificate;
let theirs: KeyedCertificate;

beforeAll(async () => {
  ours = await Authority.create('test', validFor(DAY_MS, Date.now()));
  theirs = await Authority.create('test', validFor(2 * DAY_MS, Date.now()));
});

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function parsed(...made: KeyedCertificate[]): X509Certificate[] {
  return made.map(({ certificate }) => new X509Certificate(certificate));
}

/** Makes connections whose other end shows one certificate that `authority` has signed; gives the accepting ends. */
async function accepting(authority: KeyedCertificate, lifeMs: number): Promise<() => Promise<TLSSocket>> {
  const { certificate, key } = await (
    await Authority.open(authority)
  ).issue({
    identity: { clusterName: 'test', role: 'client', name: 'shop' },
    dnsNames: [],
    ipAddresses: [],
    validity: validFor(lifeMs, Date.now()),
  });
  const tls = { cert: certificate, key, ca: authority.certificate, rejectUnauthorized: false };
  const server = createServer({ ...tls, requestCert: true }).listen(0, '127.0.0.1');
  closers.push(() => server.close());
  await once(server, 'listening');
  return async () => {
    const client = connect({ ...tls, host: '127.0.0.1', port: (server.address() as AddressInfo).port });
    client.on('error', () => undefined);
    const [socket] = (await once(server, 'secureConnection')) as [TLSSocket];
    closers.push(() => {
      client.destroy();
      socket.destroy();
    });
    expect(socket.authorized).toBe(true);
    return socket;
  };
}

async function accepted(authority: KeyedCertificate, lifeMs: number): Promise<TLSSocket> {
  return (await accepting(authority, lifeMs))();
}

/** A watch that is swept by hand, at times of the test's own. */
function trustIn(...authorities: KeyedCertificate[]) {
  const clock = { nowMs: Date.now() };
  const trust = new PeerTrust({
    trusted: parsed(...authorities),
    graceMs: 1_000,
    sweepMs: 3_600_000,
    wallMs: () => clock.nowMs,
  });
  closers.push(() => {
    trust.close();
  });
  const reasons: string[] = [];
  return {
    trust,
    clock,
    reasons,
    watch: (socket: TLSSocket) => {
      trust.watch(socket, (reason) => reasons.push(reason));
    },
  };
}

describe('PeerTrust', () => {
  it('ends a connection once its certificate expires, and once', async () => {
    const { trust, clock, reasons, watch } = trustIn(ours);
    watch(await accepted(ours, HOUR_MS));
    trust.sweep();
    clock.nowMs += HOUR_MS - 60_000;
    trust.sweep();
    expect(reasons).toEqual([]);
    clock.nowMs += 60_000;
    trust.sweep();
    trust.sweep();
    expect(reasons).toEqual(['certificate_expired']);
  });

  it('ends a connection once its authority expires', async () => {
    const { trust, clock, reasons, watch } = trustIn(ours, theirs);
    watch(await accepted(theirs, DAY_MS));
    watch(await accepted(ours, 2 * DAY_MS));
    trust.sweep();
    expect(reasons).toEqual([]);
    clock.nowMs += DAY_MS + HOUR_MS;
    trust.sweep();
    expect(reasons).toEqual(['certificate_expired', 'certificate_expired']);
  });

  it('ends what an authority vouched for that is trusted no longer, after a while, and nothing else', async () => {
    const { trust, clock, reasons, watch } = trustIn(ours, theirs);
    const [dropped, kept] = [await accepted(ours, HOUR_MS), await accepted(theirs, HOUR_MS)];
    watch(dropped);
    watch(dropped);
    watch(kept);
    trust.sweep();
    trust.replace(parsed(theirs));
    trust.sweep();
    expect(reasons).toEqual([]);
    clock.nowMs += 1_000;
    trust.sweep();
    expect(reasons).toEqual(['certificate_untrusted']);
  });

  it('compares a connection that was made while the authorities changed with those of now', async () => {
    const { trust, clock, reasons, watch } = trustIn(ours);
    trust.replace(parsed(theirs));
    watch(await accepted(ours, HOUR_MS));
    clock.nowMs += 1_000;
    trust.sweep();
    expect(reasons).toEqual(['certificate_untrusted']);
  });

  it('takes an authority of the same name with another key for another one', async () => {
    const { trust, reasons, watch } = trustIn(theirs);
    watch(await accepted(ours, HOUR_MS));
    trust.sweep();
    expect(reasons).toEqual(['certificate_untrusted']);
  });

  it('forgets connections that are closed', async () => {
    const { trust, clock, reasons, watch } = trustIn(ours);
    const socket = await accepted(ours, HOUR_MS);
    watch(socket);
    socket.destroy();
    await once(socket, 'close');
    watch(socket);
    clock.nowMs += DAY_MS;
    trust.sweep();
    expect(reasons).toEqual([]);
  });

  it('goes on watching a certificate that came back while connections of before were closing', async () => {
    const { trust, clock, reasons, watch } = trustIn(ours);
    const connection = await accepting(theirs, HOUR_MS);
    const [first, last] = [await connection(), await connection()];
    watch(first);
    watch(last);
    trust.sweep();
    expect(reasons).toEqual(['certificate_untrusted', 'certificate_untrusted']);
    const close = async (socket: TLSSocket): Promise<void> => {
      socket.destroy();
      await once(socket, 'close');
    };
    await close(first);
    trust.replace(parsed(theirs));
    watch(await connection());
    await close(last);
    clock.nowMs += 2 * HOUR_MS;
    trust.sweep();
    expect(reasons.slice(2)).toEqual(['certificate_expired']);
  });
});
