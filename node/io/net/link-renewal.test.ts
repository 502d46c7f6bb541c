import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { Authority, DAY_MS, validFor, type KeyedCertificate } from '../../../pki/authority.ts';
import { FrameReader } from '../../core/tlv/frame.ts';
import { decodeMessage, type Message } from '../../core/tlv/messages.ts';
import { nodeHost } from '../host.ts';
import { closeAll, closeLater, frame, hello, node, pair, propose, raw, readAll, readIndex } from './test-peers.ts';
import type { TestNode } from './test-node.ts';
import { TlsTransport, type TlsMaterial } from './tls-transport.ts';

afterEach(closeAll);

function requestIds(of: TestNode): number[] {
  return of.received.flatMap(({ message }) =>
    message.kind === 'READ_INDEX' || message.kind === 'FORWARD_PROPOSE' ? [message.body.requestId] : [],
  );
}

/** Answers every READ_INDEX, and counts what it was asked. */
class Echo {
  asked = 0;
  readonly options = {
    onMessage: (peer: { nodeId: string }, message: Message): void => {
      if (message.kind !== 'READ_INDEX') return;
      this.asked++;
      this.node?.net.send(peer.nodeId, {
        kind: 'READ_INDEX_RESPONSE',
        body: { requestId: message.body.requestId, ok: true, index: 1 },
      });
    },
  };
  node: TestNode | undefined;
}

/** Two raw connections that are to be the lanes of a link of n2. */
async function lanes(
  address: string,
  ...features: string[]
): Promise<{ control: Socket; bulk: Socket; hello: (lane: string) => Message }> {
  return {
    control: (await raw(address)).resume(),
    bulk: (await raw(address)).resume(),
    hello: (lane) => ({
      kind: 'HELLO',
      body: { nodeId: 'n2', role: 'coordinator', clusterName: 'test', lane, features },
    }),
  };
}

async function material(
  name: string,
  role: 'coordinator' | 'worker',
  signedBy: KeyedCertificate,
  trusted: readonly KeyedCertificate[],
): Promise<TlsMaterial> {
  const { certificate, key } = await (
    await Authority.open(signedBy)
  ).issue({
    identity: { clusterName: 'test', role, name },
    dnsNames: [],
    ipAddresses: [],
    validity: validFor(DAY_MS, Date.now()),
  });
  return { certificate, key, authorities: trusted.map((one) => one.certificate).join('') };
}

describe('PeerNet renews a link', () => {
  it('without losing a message or their order, and without a word to its owner', async () => {
    const [coordinator, worker] = await pair();
    const count = 400;
    for (let i = 0; i < count; i++) {
      worker.net.send('c1', i % 3 === 0 ? propose(i, 100_000) : propose(i, 10));
      coordinator.net.send('w1', i % 3 === 0 ? propose(i, 100_000) : propose(i, 10));
      if (i % 100 === 50) {
        const opened = coordinator.count('opened');
        worker.net.renew();
        await coordinator.until(() => coordinator.count('opened') >= opened + 2);
      }
    }
    await coordinator.until(() => coordinator.received.length === count);
    await worker.until(() => worker.received.length === count);
    const inOrder = Array.from({ length: count }, (_, i) => i);
    expect(requestIds(coordinator)).toEqual(inOrder);
    expect(requestIds(worker)).toEqual(inOrder);
    expect([coordinator.events, worker.events]).toEqual([['up w1'], ['up c1']]);
    await coordinator.until(() => coordinator.count('active') === 2);
    expect(coordinator.count('opened')).toBeGreaterThanOrEqual(8);
  });

  it('once it is old', async () => {
    // Only the end that dialed has the limit, so that a slow machine can't be too late for the other's.
    const coordinator = node('c1');
    const self = { nodeId: 'w1', role: 'worker', clusterName: 'test' } as const;
    const worker = node('w1', { self, limits: { linkAgeMsMax: 20 } });
    worker.net.dial(await coordinator.listen(), 'c1');
    await coordinator.until(() => coordinator.count('opened') >= 8);
    expect([coordinator.events, worker.events]).toEqual([['up w1'], ['up c1']]);
  });

  it('and keeps the old one when the new one can not be made', async () => {
    const [coordinator, worker, address] = await pair({ limits: { acceptedConnectionsMax: 2 } });
    worker.net.renew();
    await coordinator.until(() => coordinator.count('tcp accept_limit') >= 1);
    worker.net.send('c1', readIndex(1));
    await coordinator.until(() => coordinator.received.length === 1);
    expect(worker.peers.get('c1')).toMatchObject({ address });
    expect([coordinator.events, worker.events]).toEqual([['up w1'], ['up c1']]);
  });

  it('again, if that was asked for while one was being made', async () => {
    const [coordinator, worker] = await pair();
    for (let i = 0; i < 5; i++) worker.net.renew();
    await coordinator.until(() => coordinator.count('opened') === 6 && coordinator.count('active') === 2);
    expect([coordinator.events, worker.events]).toEqual([['up w1'], ['up c1']]);
  });

  it('but takes a new link without that word for a node that starts anew', async () => {
    const n1 = node('n1');
    const address = await n1.listen();
    for (let round = 1; round <= 2; round++) {
      for (const lane of ['control', 'bulk']) (await raw(address)).write(frame(hello('n2', lane)));
      await n1.until(() => n1.events.filter((event) => event === 'up n2').length === round);
    }
    expect(n1.events).toEqual(['up n2', 'down n2: replaced', 'up n2']);
  });

  it('and loses it as ever when its predecessor broke off instead of handing over', async () => {
    const n1 = node('n1');
    const address = await n1.listen();
    const old = [await raw(address), await raw(address)];
    old[0]?.write(frame(hello('n2', 'control')));
    old[1]?.write(frame(hello('n2', 'bulk')));
    await n1.until(() => n1.peers.has('n2'));
    for (const lane of ['control', 'bulk']) {
      const greeting = hello('n2', lane);
      if (greeting.kind === 'HELLO') greeting.body.features = ['renewal'];
      (await raw(address)).write(frame(greeting));
    }
    await n1.until(() => n1.count('rpc HELLO') === 4);
    old[1]?.destroy();
    await n1.until(() => n1.events.length === 3);
    expect(n1.events).toEqual(['up n2', 'down n2: closed_by_peer', 'up n2']);
  });

  it('before the link before it has handed over, and still in order', async () => {
    const n1 = node('n1');
    const address = await n1.listen();
    const links = [await lanes(address), await lanes(address, 'renewal'), await lanes(address, 'renewal')] as const;
    const say = async (link: 0 | 1 | 2, lane: 'control' | 'bulk', message: Message): Promise<void> => {
      const { kind } = message;
      const before = n1.count(`rpc ${kind}`);
      links[link][lane].write(frame(message));
      if (kind === 'HELLO') await n1.until(() => n1.count(`rpc ${kind}`) > before);
    };
    for (const link of [0, 1] as const) {
      await say(link, 'control', links[link].hello('control'));
      await say(link, 'bulk', links[link].hello('bulk'));
    }
    const goAway: Message = { kind: 'GOAWAY', body: { reason: 'renewed' } };
    await say(0, 'control', goAway);
    await n1.until(() => n1.count('active') === 5);
    await say(2, 'control', links[2].hello('control'));
    await say(2, 'bulk', links[2].hello('bulk'));
    await say(2, 'control', readIndex(3));
    await say(1, 'control', readIndex(2));
    for (const lane of ['control', 'bulk'] as const) await say(1, lane, goAway);
    await say(0, 'bulk', propose(1, 10));
    await say(0, 'bulk', goAway);
    await n1.until(() => n1.received.length === 3);
    expect(requestIds(n1)).toEqual([1, 2, 3]);
    expect(n1.events).toEqual(['up n2']);
  });

  it('and delivers what came on it, though it was ended while it still waited for the one before', async () => {
    const n1 = node('n1');
    const sockets: { socket: Socket; lane: string }[] = [];
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      const reader = new FrameReader(nodeHost);
      socket.on('data', (chunk) => {
        reader.push(chunk, ({ typeCode, payload }) => {
          const message = decodeMessage(nodeHost, typeCode, payload);
          if (message?.kind !== 'HELLO') return;
          sockets.push({ socket, lane: message.body.lane });
          const answer = frame(hello('n2', message.body.lane));
          // The second link is told something right behind its HELLO.
          const told = sockets.length === 3 || sockets.length === 4 ? frame(readIndex(sockets.length)) : Buffer.of();
          socket.write(Buffer.concat([answer, told]));
        });
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closeLater(() => {
      server.close();
      for (const { socket } of sockets) socket.destroy();
    });
    n1.net.dial(`127.0.0.1:${(server.address() as AddressInfo).port}`);
    await n1.until(() => n1.peers.has('n2'));
    for (const sent of [2, 4]) {
      n1.net.renew();
      await n1.until(() => n1.count('rpc GOAWAY') === sent);
    }
    for (const { socket } of sockets.slice(2, 4)) socket.end();
    await n1.until(() => n1.count('active') === 4);
    expect(n1.received).toEqual([]);
    for (const { socket } of sockets.slice(0, 2)) socket.end(frame(readIndex(0)));
    await n1.until(() => n1.received.length === 4);
    expect(requestIds(n1).slice(0, 2)).toEqual([0, 0]);
    expect(requestIds(n1).slice(2).sort()).toEqual([3, 4]);
    expect(n1.events).toEqual(['up n2']);
  });

  it('is closed by who accepted it, when it is not renewed', async () => {
    const n1 = node('n1', { limits: { linkAgeMsMax: 40 } });
    const address = await n1.listen();
    const control = await raw(address);
    control.write(frame(hello('n2', 'control')));
    (await raw(address)).write(frame(hello('n2', 'bulk')));
    expect((await readAll(control)).at(-1)).toEqual({ kind: 'GOAWAY', body: { reason: 'too_old' } });
  });
});

describe('rotation of certificates', () => {
  it('fails no call: 30 times under load, the authority changed every tenth time', async () => {
    let authority = await Authority.create('test', validFor(DAY_MS, Date.now()));
    let trusted = [authority];
    const transports = {
      c1: new TlsTransport('test', await material('c1', 'coordinator', authority, trusted)),
      w1: new TlsTransport('test', await material('w1', 'worker', authority, trusted)),
    };
    const echo = new Echo();
    const c1 = node('c1', { transport: transports.c1, ...echo.options });
    echo.node = c1;
    const w1 = node('w1', { transport: transports.w1, self: { nodeId: 'w1', role: 'worker', clusterName: 'test' } });
    w1.net.dial(await c1.listen(), 'c1');
    await w1.until(() => w1.isUp(c1));

    let asked = 0;
    const ask = (): void => {
      for (let i = 0; i < 20; i++) expect(w1.net.send('c1', readIndex(++asked))).toBe(true);
    };
    const load = setInterval(ask, 1);
    try {
      const reissue = async (): Promise<void> => {
        transports.c1.replace(await material('c1', 'coordinator', authority, trusted));
        transports.w1.replace(await material('w1', 'worker', authority, trusted));
      };
      for (let round = 1; round <= 30; round++) {
        if (round % 10 === 0) {
          // As `distric pki rotate` has it: trust the next one, then sign by it, then forget the last one.
          const next = await Authority.create('test', validFor(DAY_MS, Date.now()));
          trusted = [authority, next];
          await reissue();
          authority = next;
          await reissue();
          trusted = [next];
        }
        await reissue();
        const opened = c1.count('opened');
        w1.net.renew();
        await c1.until(() => c1.count('opened') >= opened + 2);
      }
    } finally {
      clearInterval(load);
    }
    await w1.until(() => w1.received.length === asked);
    expect(echo.asked).toBe(asked);
    expect(
      w1.received.map(({ message }) => (message.kind === 'READ_INDEX_RESPONSE' ? message.body.requestId : 0)),
    ).toEqual(Array.from({ length: asked }, (_, i) => i + 1));
    expect([c1.events, w1.events]).toEqual([['up w1'], ['up c1']]);
    expect([...c1.warnings, ...w1.warnings]).toEqual([]);
    await c1.until(() => c1.count('active') === 2);
  }, 120_000);
});
