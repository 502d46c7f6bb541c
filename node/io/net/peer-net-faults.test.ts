import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { parseAddress } from '../../../base/address.ts';
import { encodeFrame } from '../../core/tlv/frame.ts';
import { nodeHost } from '../host.ts';
import { LOG_LIMITS } from './limited-log.ts';
import { NET_LIMITS } from './net-limits.ts';
import { RPC_SERVER_LIMITS } from './rpc-server.ts';
import { closeAll, closeLater, frame, hello, node, pair, raw, readAll, readIndex } from './test-peers.ts';
import { tcpTransport } from './transport.ts';

afterEach(closeAll);

/** A listener that answers every connection as `greet` says. */
async function fakeListener(greet: (socket: Socket, index: number) => void): Promise<string> {
  let count = 0;
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.resume();
    greet(socket, count++);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closeLater(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('no port');
  return `127.0.0.1:${bound.port}`;
}

describe('PeerNet against wrong and hostile peers', () => {
  it.each([
    ['wrong_cluster', hello('n2', 'control', 'other')],
    ['self_connection', hello('n1', 'control')],
    ['bad_hello', hello('', 'control')],
    ['bad_hello', hello('n2', 'third')],
    ['bad_hello', hello('n2', 'bulk', 'test', 'king')],
  ])('refuses an accepted connection: %s', async (reason, greeting) => {
    const n1 = node('n1');
    const socket = await raw(await n1.listen());
    socket.write(frame(greeting));
    expect(await readAll(socket)).toEqual([{ kind: 'GOAWAY', body: { reason } }]);
    expect(n1.count(`tcp ${reason}`)).toBe(1);
    expect(n1.warnings[0]).toContain(reason);
    expect(n1.events).toEqual([]);
  });

  it('refuses nodes of another cluster on both sides, and keeps trying', async () => {
    const [ours, theirs] = [node('n1'), node('n2', { self: { nodeId: 'n2', role: 'worker', clusterName: 'other' } })];
    theirs.net.dial(await ours.listen());
    await ours.until(() => ours.count('tcp wrong_cluster') >= 3);
    expect([...ours.events, ...theirs.events]).toEqual([]);
  });

  it('refuses nodes of a cluster of the same name and another id, once both know theirs', async () => {
    const ids = new Map([
      ['n1', 'new'],
      ['n2', ''],
      ['n3', 'old'],
    ]);
    const coordinator = (nodeId: string) =>
      node(nodeId, {
        self: { nodeId, role: 'coordinator', clusterName: 'test', clusterId: () => ids.get(nodeId) ?? '' },
      });
    const [restored, empty, old] = [coordinator('n1'), coordinator('n2'), coordinator('n3')];
    const address = await restored.listen();
    empty.net.dial(address);
    old.net.dial(address);
    await restored.until(() => restored.count('tcp other_cluster_id') >= 2 && restored.isUp(empty));
    expect(restored.isUp(old)).toBe(false);
    expect(old.events).toEqual([]);
  });

  it('refuses a node under another id than expected', async () => {
    const [n1, n2] = [node('n1'), node('n2')];
    n2.net.dial(await n1.listen(), 'n9');
    await n2.until(() => n2.count('tcp unexpected_node') >= 1);
    expect(n2.warnings[0]).toMatch(/unexpected_node.*"n1"/);
    expect(n2.events).toEqual([]);
  });

  it('refuses to talk to itself', async () => {
    const n1 = node('n1');
    n1.net.dial(await n1.listen());
    await n1.until(() => n1.count('tcp self_connection') >= 1);
    expect(n1.warnings[0]).toContain('self_connection');
    expect(n1.events).toEqual([]);
  });

  it('refuses lanes that lead to two nodes, and a lane that was not dialed', async () => {
    const n1 = node('n1');
    // Each connection is answered by another node; HELLO on it carries the lane that was asked for.
    const balancer = await fakeListener((socket, index) => {
      socket.once('data', (chunk: Buffer) => {
        socket.write(frame(hello(`x${index}`, chunk.includes('bulk') ? 'bulk' : 'control')));
      });
    });
    n1.net.dial(balancer);
    const n2 = node('n2');
    n2.net.dial(await fakeListener((socket) => socket.write(frame(hello('x', 'bulk')))));
    await n2.until(() => n2.count('tcp unexpected_lane') >= 1);
    expect(n2.warnings[0]).toContain('unexpected_lane');
    await n1.until(() => n1.count('opened') >= 4);
    expect([...n1.events, ...n2.events]).toEqual([]);
  });

  it('closes and counts garbage, and serves the others', async () => {
    const [coordinator, worker, address] = await pair();
    const socket = await raw(address);
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    expect(await readAll(socket)).toEqual([{ kind: 'GOAWAY', body: { reason: 'bad_magic' } }]);
    expect(coordinator.count('tcp bad_magic')).toBe(1);

    const known = await raw(address);
    const broken = Buffer.from(frame(hello('n3', 'control')));
    broken.writeUInt8(broken.readUInt8(broken.length - 1) ^ 1, broken.length - 1);
    known.write(broken);
    await readAll(known);
    expect(coordinator.count('tcp bad_crc')).toBe(1);

    worker.net.send('c1', readIndex(1));
    await coordinator.until(() => coordinator.received.length === 1);
    expect(coordinator.events).toEqual(['up w1']);
  });

  it('takes no large frame before HELLO', async () => {
    const n1 = node('n1');
    const socket = await raw(await n1.listen());
    socket.write(encodeFrame(nodeHost, 1, 0, 1, 1, new Uint8Array(20_000)));
    await readAll(socket);
    expect(n1.count('tcp too_large')).toBe(1);
  });

  it('closes what says HELLO late, even if it trickles', async () => {
    const n1 = node('n1', { limits: { helloMsMax: 60 } });
    const socket = await raw(await n1.listen());
    const greeting = frame(hello('n2', 'control'));
    let at = 0;
    const trickle = setInterval(() => {
      if (at < greeting.length - 1) socket.write(greeting.subarray(at, ++at));
    }, 10);
    closeLater(() => {
      clearInterval(trickle);
    });
    await readAll(socket);
    expect(n1.count('tcp hello_timeout')).toBe(1);
  });

  it('closes a lane whose other lane never comes', async () => {
    const n1 = node('n1', { limits: { helloMsMax: 60 } });
    const socket = await raw(await n1.listen());
    socket.write(frame(hello('n2', 'control')));
    await readAll(socket);
    expect(n1.count('tcp hello_timeout')).toBe(1);
    expect(n1.events).toEqual([]);
  });

  it('closes what speaks before HELLO or says it twice', async () => {
    const n1 = node('n1');
    const address = await n1.listen();
    for (const [first, second] of [
      [readIndex(1), readIndex(2)],
      [hello('n2', 'control'), hello('n2', 'control')],
    ] as const) {
      const socket = await raw(address);
      socket.write(Buffer.concat([frame(first), frame(second)]));
      expect((await readAll(socket)).at(-1)).toEqual({ kind: 'GOAWAY', body: { reason: 'protocol_error' } });
    }
    expect(n1.count('tcp protocol_error')).toBe(2);
  });

  it('puts no long reason of a stranger into the log', async () => {
    const lines: string[] = [];
    const note = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
    const n1 = node('n1', { log: { debug: note, info: note, warn: note } });
    const socket = await raw(await n1.listen());
    socket.write(frame({ kind: 'GOAWAY', body: { reason: 'x'.repeat(15_000) } }));
    await readAll(socket);
    const [told = ''] = lines.filter((line) => line.startsWith('peer closes the connection'));
    expect(told).toContain('x'.repeat(100));
    expect(told.length).toBeLessThan(500);
  });

  it('skips and counts unknown types and malformed bodies on a link that stays up', async () => {
    const n1 = node('n1');
    const address = await n1.listen();
    const control = await raw(address);
    (await raw(address)).write(frame(hello('n2', 'bulk')));
    control.write(
      Buffer.concat([
        frame(hello('n2', 'control')),
        encodeFrame(nodeHost, 0x7fff, 0, 1, 1, Uint8Array.of(1)),
        encodeFrame(nodeHost, 0x1009, 0, 1, 1, Uint8Array.of(1)),
        encodeFrame(nodeHost, 0x1009, 0, 1, 1, Uint8Array.of(1)),
        frame({ kind: 'KEEPALIVE', body: {} }),
        frame(readIndex(3)),
      ]),
    );
    await n1.until(() => n1.received.length === 1);
    expect(n1.received).toEqual([{ from: 'n2', message: readIndex(3) }]);
    expect(n1.count('tcp unknown_message')).toBe(1);
    expect(n1.count('rpc READ_INDEX malformed')).toBe(2);
    expect(n1.warnings).toHaveLength(1);
    expect(n1.events).toEqual(['up n2']);
  });

  it('delivers nothing before the link is up, and what a leaving peer sent before', async () => {
    const n1 = node('n1');
    const address = await n1.listen();
    const control = await raw(address);
    control.write(Buffer.concat([frame(hello('n2', 'control')), frame(readIndex(1))]));
    await n1.until(() => n1.count('rpc HELLO') === 1);
    expect(n1.received).toEqual([]);
    const bulk = await raw(address);
    bulk.write(frame(hello('n2', 'bulk')));
    await n1.until(() => n1.received.length === 1);
    expect(n1.events).toEqual(['up n2']);

    control.end(frame({ kind: 'GOAWAY', body: { reason: 'bye' } }));
    await readAll(control);
    expect(n1.net.send('n2', readIndex(9))).toBe(false);
    bulk.write(Buffer.concat([frame(readIndex(2)), frame({ kind: 'GOAWAY', body: { reason: 'bye' } })]));
    await n1.until(() => n1.events.length === 2);
    expect(n1.received.map(({ message }) => message)).toEqual([readIndex(1), readIndex(2)]);
    expect(n1.events).toEqual(['up n2', 'down n2: bye']);
  });

  it('waits a bounded time for the second lane of a leaving peer', async () => {
    const n1 = node('n1', { limits: { drainMsMax: 30 } });
    const address = await n1.listen();
    const [control, bulk] = [await raw(address), await raw(address)];
    control.write(frame(hello('n2', 'control')));
    bulk.write(frame(hello('n2', 'bulk')));
    await n1.until(() => n1.events.length === 1);
    control.write(frame({ kind: 'GOAWAY', body: { reason: 'bye' } }));
    await n1.until(() => n1.events.length === 2);
    expect(n1.events).toEqual(['up n2', 'down n2: bye']);
  });

  it('accepts no more than its limit', async () => {
    const n1 = node('n1', { limits: { acceptedConnectionsMax: 2 } });
    const address = await n1.listen();
    for (const lane of ['control', 'bulk']) (await raw(address)).write(frame(hello('n2', lane)));
    await n1.until(() => n1.peers.has('n2'));
    await readAll(await raw(address));
    expect(n1.count('tcp accept_limit')).toBe(1);
    expect(n1.events).toEqual(['up n2']);
  });

  it('takes few connections of one address that have not said who they are, and the others all the same', async () => {
    const n1 = node('n1', { limits: { strangersPerAddressMax: 2, helloMsMax: 60_000 } });
    const address = await n1.listen();
    const silent = [await raw(address), await raw(address)];
    await n1.until(() => n1.count('opened') === 2);
    for (let n = 1; n <= 3; n++) {
      const next = await raw(address);
      silent.push(next);
      const oldest = silent.shift();
      if (oldest !== undefined) await readAll(oldest);
      expect(n1.count('tcp accept_limit')).toBe(n);
    }
    // Of another address of this machine.
    const other = connect({ ...parseAddress(address), localAddress: '127.0.0.2' });
    closeLater(() => other.destroy());
    await once(other, 'connect');
    other.write(frame(hello('n2', 'control')));
    await n1.until(() => n1.count('rpc HELLO') === 1);
    // Who has said it is no stranger any more.
    silent[0]?.write(frame(hello('n2', 'bulk')));
    await n1.until(() => n1.peers.has('n2'));
    (await raw(address)).write(frame(hello('n3', 'bulk')));
    await n1.until(() => n1.count('rpc HELLO') === 3);
    expect(n1.count('tcp accept_limit')).toBe(3);
  });

  it('takes few that have not said who they are, of all addresses', async () => {
    const n1 = node('n1', { limits: { strangersMax: 3, helloMsMax: 60_000 } });
    const address = await n1.listen();
    const silent = [await raw(address), await raw(address), await raw(address)];
    await n1.until(() => n1.count('opened') === 3);
    // Whoever speaks is let in all the same.
    (await raw(address)).write(frame(hello('n2', 'bulk')));
    await n1.until(() => n1.count('rpc HELLO') === 1);
    const [oldest] = silent;
    if (oldest !== undefined) await readAll(oldest);
    expect(n1.count('tcp accept_limit')).toBe(1);
  });

  it('leaves connections for nodes, however many strangers and clients there are', () => {
    const { acceptedConnectionsMax, strangersMax } = NET_LIMITS;
    expect(acceptedConnectionsMax - strangersMax - RPC_SERVER_LIMITS.callersMax).toBeGreaterThanOrEqual(2_048);
  });

  it('tells a flood of strangers in a few lines of its log', async () => {
    const n1 = node('n1');
    const address = await n1.listen();
    for (let i = 0; i < 2 * LOG_LIMITS.linesMax; i++) {
      const socket = await raw(address);
      socket.write(frame(hello('n2', 'control', 'other')));
      await readAll(socket);
    }
    expect(n1.count('tcp wrong_cluster')).toBe(2 * LOG_LIMITS.linesMax);
    expect(n1.warnings).toHaveLength(LOG_LIMITS.linesMax);
  });

  it('gives up a connect that never ends', async () => {
    const address = await fakeListener(() => undefined);
    // The handshake after the TCP connect never ends.
    const transport = { ...tcpTransport, readyEvent: 'secureConnect' as const };
    const n1 = node('n1', { transport, limits: { connectMsMax: 30 } });
    n1.net.dial(address);
    await n1.until(() => n1.count('tcp connect_timeout') >= 2);
    expect(n1.events).toEqual([]);
  });

  it('reports a listen address that is taken', async () => {
    const address = await node('n1').listen();
    await expect(node('n2', { listen: parseAddress(address) }).listen()).rejects.toThrow(/EADDRINUSE/);
  });

  it('refuses to dial what is no address', () => {
    expect(() => node('n1').net.dial('nowhere')).toThrow(/no address/);
  });
});
