import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { parseAddress } from '../../../base/address.ts';
import { FrameReader } from '../../core/tlv/frame.ts';
import { decodeMessage, type Message } from '../../core/tlv/messages.ts';
import { nodeHost } from '../host.ts';
import type { TestNode } from './test-node.ts';
import {
  closeAll,
  closed,
  closeLater,
  frame,
  hello,
  node,
  pair,
  propose,
  raw,
  readAll,
  readIndex,
} from './test-peers.ts';

afterEach(closeAll);

function append(entries: Uint8Array[]): Message {
  const body = {
    term: 1,
    leaderId: 'n1',
    prevLogIndex: 0,
    prevLogTerm: 0,
    leaderCommit: 0,
    readRound: 0,
    cutBefore: 0,
  };
  return { kind: 'APPEND_ENTRIES', body: { ...body, entries } };
}

function requestIds(of: TestNode): number[] {
  return of.received.flatMap(({ message }) =>
    message.kind === 'READ_INDEX' || message.kind === 'FORWARD_PROPOSE' ? [message.body.requestId] : [],
  );
}

describe('PeerNet', () => {
  it('carries messages both ways over one dialed link', async () => {
    const [coordinator, worker, address] = await pair();
    expect(worker.peers.get('c1')).toMatchObject({ nodeId: 'c1', role: 'coordinator', address });
    expect(coordinator.peers.get('w1')).toMatchObject({ nodeId: 'w1', role: 'worker' });
    expect(worker.net.send('c1', readIndex(1))).toBe(true);
    expect(coordinator.net.send('w1', readIndex(2))).toBe(true);
    await coordinator.until(() => coordinator.received.length === 1);
    await worker.until(() => worker.received.length === 1);
    expect(coordinator.received).toEqual([{ from: 'w1', message: readIndex(1) }]);
    expect(worker.received).toEqual([{ from: 'c1', message: readIndex(2) }]);
    expect(coordinator.count('opened')).toBe(2);
    expect(coordinator.count('rpc READ_INDEX')).toBe(1);
    expect(coordinator.count('received')).toBe(worker.count('sent'));
  });

  it('lets each of two coordinators send over the link it dialed, and both be up once', async () => {
    const [a, b] = [node('a'), node('b')];
    const [addressA, addressB] = [await a.listen(), await b.listen()];
    a.net.dial(addressB, 'b');
    b.net.dial(addressA, 'a');
    a.net.dial(addressB, 'b');
    await a.until(() => a.count('active') === 4 && a.isUp(b));
    await b.until(() => b.count('active') === 4 && b.isUp(a));
    expect(a.net.send('b', readIndex(1))).toBe(true);
    expect(b.net.send('a', readIndex(2))).toBe(true);
    await b.until(() => b.received.length === 1);
    await a.until(() => a.received.length === 1);
    expect(a.events).toEqual(['up b']);
    expect(b.events).toEqual(['up a']);
  });

  it('falls back to the accepted link when its own is undialed', async () => {
    const [a, b] = [node('a'), node('b')];
    const [addressA, addressB] = [await a.listen(), await b.listen()];
    b.net.dial(addressA, 'a');
    await a.until(() => a.isUp(b));
    a.net.dial(addressB, 'b');
    await b.until(() => b.count('opened') === 4);
    await b.until(() => b.isUp(a));
    a.net.undial(addressB);
    await b.until(() => b.count('active') === 2);
    expect(a.net.send('b', readIndex(5))).toBe(true);
    await b.until(() => b.received.length === 1);
    expect(requestIds(b)).toEqual([5]);
    b.net.undial(addressA);
    await a.until(() => !a.isUp(b));
    expect(a.net.send('b', readIndex(6))).toBe(false);
    expect(a.count('rpc READ_INDEX not_connected')).toBe(1);
  });

  it('carries 1 MiB and many small messages in order', async () => {
    const [coordinator, worker] = await pair();
    worker.net.send('c1', propose(0, 1024 * 1024));
    for (let i = 1; i <= 5_000; i++) expect(worker.net.send('c1', propose(i, 100))).toBe(true);
    worker.net.flush();
    await coordinator.until(() => coordinator.received.length === 5_001);
    expect(requestIds(coordinator)).toEqual(Array.from({ length: 5_001 }, (_, i) => i));
    const first = coordinator.received[0]?.message;
    if (first?.kind !== 'FORWARD_PROPOSE') throw new Error('the first is the large one');
    expect(Buffer.alloc(1024 * 1024, 7).equals(first.body.command)).toBe(true);
  });

  it('keeps heartbeats off the bulk lane', async () => {
    const server = createServer();
    const sockets: Socket[] = [];
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closeLater(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    const seen: string[] = [];
    const n1 = node('n1');
    const done = new Promise<void>((resolve) => {
      server.on('connection', (socket) => {
        sockets.push(socket);
        const reader = new FrameReader(nodeHost);
        let lane = '';
        socket.on('data', (chunk) => {
          reader.push(chunk, (one) => {
            const message = decodeMessage(nodeHost, one.typeCode, one.payload);
            if (message?.kind === 'HELLO') {
              lane = message.body.lane;
              socket.write(frame(hello('n2', lane)));
            } else if (message?.kind === 'APPEND_ENTRIES') seen.push(`${lane} ${message.body.entries.length}`);
            if (seen.length === 2) resolve();
          });
        });
      });
    });
    const bound = server.address();
    if (bound === null || typeof bound === 'string') throw new Error('no port');
    n1.net.dial(`127.0.0.1:${bound.port}`);
    await n1.until(() => n1.peers.has('n2'));
    n1.net.send('n2', append([Uint8Array.of(1)]));
    n1.net.send('n2', append([]));
    await done;
    expect(seen.sort()).toEqual(['bulk 1', 'control 0']);
  });

  it('measures the round trip of each peer while its link is up', async () => {
    const [coordinator, worker] = await pair({ limits: { pingMs: 10 } });
    expect(worker.net.roundTripMs('c1')).toBeUndefined();
    await worker.until(() => worker.count('rtt c1') > 2);
    await coordinator.until(() => coordinator.count('rtt w1') > 2);
    expect(worker.net.roundTripMs('c1')).toBeGreaterThan(0);
    expect(worker.net.roundTripMs('c1')).toBeLessThan(10_000);
    await coordinator.net.close();
    await worker.until(() => !worker.isUp(coordinator));
    expect(worker.net.roundTripMs('c1')).toBeUndefined();
    expect(worker.count('rtt c1')).toBe(0);
  });

  it('dials again when the listener comes back on the same port', async () => {
    const [coordinator, worker, address] = await pair();
    await coordinator.net.close();
    await worker.until(() => !worker.isUp(coordinator));
    expect(worker.events.at(-1)).toBe('down c1: shutting_down');
    await worker.until(() => worker.count('tcp connect_failed') >= 2);
    const again = node('c1', { listen: parseAddress(address) });
    await again.listen();
    await worker.until(() => worker.isUp(again));
    worker.net.send('c1', readIndex(9));
    await again.until(() => again.received.length === 1);
    expect(worker.events).toEqual(['up c1', 'down c1: shutting_down', 'up c1']);
  });

  it('hands over what was sent just before close', async () => {
    const [coordinator, worker] = await pair();
    for (let i = 0; i < 8; i++) worker.net.send('c1', propose(i, 1_000_000));
    await worker.net.close();
    await coordinator.until(() => !coordinator.isUp(worker));
    expect(requestIds(coordinator)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(worker.net.send('c1', readIndex(1))).toBe(false);
    expect(worker.count('active')).toBe(0);
  });

  it('bounds the end of a close by a peer that reads nothing', async () => {
    const n1 = node('n1', { limits: { drainMsMax: 50 } });
    const address = await n1.listen();
    for (const lane of ['control', 'bulk']) {
      const socket = await raw(address);
      socket.write(frame(hello('n2', lane)));
      socket.pause();
    }
    await n1.until(() => n1.peers.has('n2'));
    for (let i = 0; i < 30; i++) n1.net.send('n2', propose(i, 1_000_000));
    await n1.net.close();
    expect(n1.count('active')).toBe(0);
  });

  it('takes a lost lane as a lost link and makes a new one', async () => {
    const n1 = node('n1');
    const address = await n1.listen();
    const control = await raw(address);
    control.write(frame(hello('n2', 'control')));
    const bulk = await raw(address);
    bulk.write(frame(hello('n2', 'bulk')));
    await n1.until(() => n1.peers.has('n2'));
    const controlClosed = closed(control);
    control.resume();
    bulk.destroy();
    await n1.until(() => !n1.peers.has('n2'));
    await controlClosed;
    expect(n1.events).toEqual(['up n2', expect.stringMatching(/^down n2: (closed_by_peer|socket_error)/)]);
  });

  it('replaces the half-open link of a node that dials anew', async () => {
    const n1 = node('n1');
    const address = await n1.listen();
    const old: Promise<Message[]>[] = [];
    for (const lane of ['control', 'bulk']) {
      const socket = await raw(address);
      socket.write(frame(hello('n2', lane)));
      old.push(readAll(socket));
    }
    await n1.until(() => n1.peers.has('n2'));
    const first = n1.peers.get('n2')?.connectionId;
    for (const lane of ['bulk', 'control']) (await raw(address)).write(frame(hello('n2', lane)));
    await n1.until(() => n1.events.length === 3);
    expect(n1.events).toEqual(['up n2', 'down n2: replaced', 'up n2']);
    expect(n1.peers.get('n2')?.connectionId).not.toBe(first);
    for (const messages of await Promise.all(old)) {
      expect(messages.at(-1)).toEqual({ kind: 'GOAWAY', body: { reason: 'replaced' } });
    }
  });

  it('drops messages over the send buffer limit instead of queueing them', async () => {
    const limit = 4_000_000;
    const n1 = node('n1', { limits: { sendBufferBytesMax: limit } });
    const address = await n1.listen();
    for (const lane of ['control', 'bulk']) {
      const socket = await raw(address);
      socket.write(frame(hello('n2', lane)));
      socket.pause();
    }
    await n1.until(() => n1.peers.has('n2'));
    let sent = 0;
    while (sent < 10_000 && n1.net.send('n2', propose(sent, 500_000))) sent++;
    // What the kernel took at once does not count; nothing was read, so the rest is here and bounded.
    expect(sent).toBeGreaterThanOrEqual(7);
    expect(sent).toBeLessThan(100);
    expect(n1.count('rpc FORWARD_PROPOSE send_buffer_full')).toBe(1);
    expect(n1.net.send('n2', readIndex(1))).toBe(true);
    expect(n1.net.send('n2', propose(1, 5_000_000))).toBe(false);
  });

  it('refuses a message over the frame limit', async () => {
    const [, worker] = await pair();
    expect(worker.net.send('c1', propose(1, 4 * 1024 * 1024))).toBe(false);
    expect(worker.count('rpc FORWARD_PROPOSE frame_too_large')).toBe(1);
    expect(worker.warnings[0]).toMatch(/frame limit/);
  });

  it('keeps an idle link alive, and drops one that is silent', async () => {
    const limits = { keepAliveMs: { control: 20, bulk: 20 }, idleMsMax: { control: 200, bulk: 200 } };
    const [coordinator, worker] = await pair({ limits });
    const silent: Promise<void>[] = [];
    const listening = node('n3', { limits });
    const target = await listening.listen();
    for (const lane of ['control', 'bulk']) {
      const socket = await raw(target);
      socket.write(frame(hello('mute', lane)));
      socket.resume();
      silent.push(closed(socket));
    }
    await Promise.all(silent);
    expect(listening.events).toEqual(['up mute', 'down mute: idle_timeout']);
    expect(listening.count('tcp idle_timeout')).toBeGreaterThanOrEqual(1);
    await worker.until(() => worker.count('rpc KEEPALIVE') > 30);
    expect(coordinator.events).toEqual(['up w1']);
    expect(worker.received).toEqual([]);
  });
});
