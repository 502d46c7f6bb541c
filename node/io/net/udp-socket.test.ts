import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { afterEach, describe, expect, it } from '@jest/globals';
import type { GossipKeys } from '../../../api/gossip-keys.ts';
import type { Address } from '../../../base/address.ts';
import { DATAGRAM_BYTES_MAX, SEAL_BYTES } from '../../core/tlv/datagram.ts';
import { nodeHost } from '../host.ts';
import { closeAll, closeLater } from './test-peers.ts';
import { UdpSocket, type UdpSocketOptions } from './udp-socket.ts';

afterEach(closeAll);

function keysOf(...ids: number[]): GossipKeys {
  const keys = ids.map((id) => ({ id, bytes: Buffer.alloc(32, id) }));
  return { primary: keys[0]!, byId: new Map(keys.map((key) => [key.id, key])) };
}

/** Both families, where the machine has both. */
const LOOPBACKS = ['127.0.0.1', '::1'].filter((host) =>
  Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === host)),
);

/** A socket that writes down what it reports, and lets a test wait for it. */
class TestSocket {
  readonly received: string[] = [];
  readonly counts = new Map<string, number>();
  readonly #waiting = new Set<() => void>();
  socket!: UdpSocket;

  static async open(more: Partial<UdpSocketOptions> = {}): Promise<TestSocket> {
    const made = new TestSocket();
    const count = (name: string, by = 1): void => {
      made.counts.set(name, made.count(name) + by);
      for (const look of [...made.#waiting]) look();
    };
    const log = { debug: () => undefined, info: () => undefined, warn: () => undefined };
    made.socket = await UdpSocket.open({
      host: nodeHost,
      address: { host: '127.0.0.1', port: 0 },
      onDatagram: (bytes) => {
        made.received.push(Buffer.from(bytes).toString());
        for (const look of [...made.#waiting]) look();
      },
      metrics: {
        packetSent: (bytes) => {
          count('sent');
          count('bytes sent', bytes);
        },
        packetReceived: (bytes) => {
          count('received');
          count('bytes received', bytes);
        },
        sendFailed: () => count('failed'),
        packetDropped: (reason) => count(reason),
      },
      log,
      ...more,
    });
    closeLater(() => made.socket.close());
    return made;
  }

  get address(): Address {
    return this.socket.address;
  }

  count(name: string): number {
    return this.counts.get(name) ?? 0;
  }

  send(to: TestSocket | Address, text: string): boolean {
    return this.socket.send('address' in to ? to.address : to, Buffer.from(text));
  }

  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!condition()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }
}

describe('UdpSocket', () => {
  it.each(LOOPBACKS)('carries datagrams both ways and counts them, on %s', async (host) => {
    const address = { host, port: 0 };
    const [a, b] = [await TestSocket.open({ address }), await TestSocket.open({ address })];
    expect(a.send(b, 'to b')).toBe(true);
    expect(b.send(a, 'to a')).toBe(true);
    await a.until(() => a.received.length === 1);
    await b.until(() => b.received.length === 1);
    expect([a.received, b.received]).toEqual([['to a'], ['to b']]);
    await a.until(() => a.count('sent') === 1);
    expect([a.count('bytes sent'), b.count('bytes received')]).toEqual([4, 4]);
  });

  it.each([
    ['plain', undefined],
    ['sealed', keysOf(1)],
  ])('takes the largest datagram (%s) and refuses one byte more', async (_, keys) => {
    const options = keys === undefined ? {} : { keys };
    const [a, b] = [await TestSocket.open(options), await TestSocket.open(options)];
    const { payloadBytesMax } = a.socket;
    expect(payloadBytesMax).toBe(DATAGRAM_BYTES_MAX - (keys === undefined ? 0 : SEAL_BYTES));
    expect(a.send(b, 'x'.repeat(payloadBytesMax + 1))).toBe(false);
    expect(a.send(b, 'x'.repeat(payloadBytesMax))).toBe(true);
    await b.until(() => b.received.length === 1);
    expect(b.count('bytes received')).toBe(DATAGRAM_BYTES_MAX);
    expect(a.count('too_large')).toBe(1);
  });

  it('drops what is too large, plain, forged or replayed, and goes on', async () => {
    const [a, b] = [await TestSocket.open({ keys: keysOf(1) }), await TestSocket.open({ keys: keysOf(1) })];
    const attacker = createSocket('udp4');
    closeLater(() => attacker.close());
    const tapped: Buffer[] = [];
    attacker.on('message', (bytes) => tapped.push(bytes));
    attacker.bind(0, '127.0.0.1');
    await once(attacker, 'listening');
    a.send({ host: '127.0.0.1', port: attacker.address().port }, 'secret');
    await once(attacker, 'message');
    const [datagram] = tapped;
    expect(datagram?.includes('secret')).toBe(false);
    const forged = Buffer.from(datagram!);
    forged[20] = (forged[20] ?? 0) ^ 1;
    const { port } = b.address;
    for (const bytes of [randomBytes(1_401), Buffer.from('DIST'), forged, datagram!, datagram!]) {
      attacker.send(bytes, port, '127.0.0.1');
    }
    await b.until(() => b.count('received') === 5);
    expect(b.received).toEqual(['secret']);
    expect(['too_large', 'not_sealed', 'forged', 'replayed'].map((reason) => b.count(reason))).toEqual([1, 1, 1, 1]);
  });

  it('loses nothing while the keys of two nodes are changed one after the other', async () => {
    const [a, b] = [await TestSocket.open({ keys: keysOf(1) }), await TestSocket.open({ keys: keysOf(1) })];
    let sent = 0;
    for (const keys of [keysOf(1, 2), keysOf(2, 1), keysOf(2)]) {
      for (const one of [a, b]) {
        one.socket.useKeys(keys);
        for (const [from, to] of [
          [a, b],
          [b, a],
        ] as const) {
          expect(from.send(to, String(++sent))).toBe(true);
          await to.until(() => to.received.at(-1) === String(sent));
        }
      }
    }
    expect(a.received.length + b.received.length).toBe(12);
    b.socket.useKeys(keysOf(3));
    b.send(a, 'of a key that a does not have');
    await a.until(() => a.count('unknown_key') === 1);
  });

  it('sends at its rate and takes a flood at that of one source', async () => {
    let nowMs = 0;
    const clock = (): number => nowMs;
    const a = await TestSocket.open({ clock, limits: { sendsPerSecond: 10, sendBurst: 20 } });
    const b = await TestSocket.open({ clock, limits: { sourcePerSecond: 1, sourceBurst: 5 } });
    const other = await TestSocket.open();
    for (let i = 0; i < 30; i++) a.send(b, 'flood');
    expect(a.count('send_rate')).toBe(10);
    await b.until(() => b.count('received') === 20);
    expect(b.count('source_rate')).toBe(15);
    other.send(b, 'another source');
    await b.until(() => b.received.includes('another source'));
    nowMs = 1_000;
    a.send(b, 'after a second');
    await b.until(() => b.received.includes('after a second'));
  });

  it('bounds what it takes of all sources together', async () => {
    const b = await TestSocket.open({ clock: () => 0, limits: { receiveBurst: 3 } });
    const others = [await TestSocket.open(), await TestSocket.open()];
    for (const other of others) for (let i = 0; i < 2; i++) other.send(b, 'x');
    await b.until(() => b.count('received') === 4);
    expect([b.received.length, b.count('receive_rate')]).toEqual([3, 1]);
  });

  it('in plain, neither sends beyond this machine nor binds beyond it', async () => {
    const a = await TestSocket.open();
    expect(a.send({ host: '192.0.2.1', port: 9 }, 'x')).toBe(false);
    expect(a.count('not_loopback')).toBe(1);
    await expect(TestSocket.open({ address: { host: '0.0.0.0', port: 0 } })).rejects.toThrow(/sealed/);
  });

  it('counts what the system refuses, and is silent once closed', async () => {
    const a = await TestSocket.open();
    expect(a.send({ host: '127.0.0.1', port: 0 }, 'answer to a forged datagram')).toBe(false);
    expect(a.count('no_port')).toBe(1);
    a.send({ host: '::1', port: 9 }, 'another family');
    await a.until(() => a.count('failed') === 1);
    await a.socket.close();
    expect(a.send(a, 'x')).toBe(false);
    const taken = await TestSocket.open();
    await expect(TestSocket.open({ address: taken.address })).rejects.toThrow('EADDRINUSE');
  });

  it('hears a group as well as its own address', async () => {
    const keys = keysOf(1);
    const port = (await TestSocket.open()).address.port;
    const multicast = { host: '239.255.77.7', port };
    const [a, b] = [await TestSocket.open({ keys, multicast }), await TestSocket.open({ keys, multicast })];
    a.send(multicast, 'to all');
    await b.until(() => b.received.includes('to all'));
    await a.until(() => a.received.includes('to all'));
    b.send(a, 'to one');
    await a.until(() => a.received.includes('to one'));
    expect(b.received).toEqual(['to all']);
  });
});
