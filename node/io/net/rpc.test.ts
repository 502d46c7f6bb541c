import { afterEach, describe, expect, it } from '@jest/globals';
import { DistricError } from '../../../base/errors.ts';
import { Random } from '../../../base/random.ts';
import { encodeFrame, FRAME_FLAGS, FrameReader } from '../../core/tlv/frame.ts';
import { decodeMessage, encodeMessage, type Message } from '../../core/tlv/messages.ts';
import { nodeHost } from '../host.ts';
import { CallerNet, type CallerNetOptions } from './caller-net.ts';
import { NO_LOG, NO_METRICS } from './net-metrics.ts';
import { RpcServer, type CallAnswer, type CallDesk, type IncomingCall, type RpcServerLimits } from './rpc-server.ts';
import { closeAll, closed, closeLater, frame, hello, node, raw, readAll } from './test-peers.ts';
import { countingMetrics, type TestNode } from './test-node.ts';

/** Answers when told to, and keeps what it was asked. */
class TestDesk implements CallDesk<string> {
  readonly calls: IncomingCall[] = [];
  readonly sessions = new Set<string>();
  refusal: DistricError | undefined;
  onCall: (call: IncomingCall) => void = (call) => call.done(echo(call));

  open({ nodeId }: { nodeId: string }): { session: string } | { error: DistricError } {
    if (this.refusal !== undefined) return { error: this.refusal };
    this.sessions.add(nodeId);
    return { session: nodeId };
  }

  call(_session: string, call: IncomingCall): void {
    this.calls.push(call);
    this.onCall(call);
  }

  closed(session: string): void {
    this.sessions.delete(session);
  }
}

function echo({ message }: IncomingCall): CallAnswer {
  const result = message.kind === 'CLIENT_QUERY' ? message.body.query : '';
  return { message: { kind: 'CLIENT_RESULT', body: { result: Buffer.from(result) } } };
}

function ask(text: string): Message {
  return { kind: 'CLIENT_QUERY', body: { query: text, consistency: 'stale' } };
}

function textOf(message: Message): string {
  return message.kind === 'CLIENT_RESULT' ? Buffer.from(message.body.result).toString() : message.kind;
}

interface Served {
  desk: TestDesk;
  server: RpcServer<string>;
  node: TestNode;
  address: string;
}

async function serve(limits: Partial<RpcServerLimits> = {}, options: Parameters<typeof node>[1] = {}): Promise<Served> {
  const desk = new TestDesk();
  // The node is there a line later, and counts for both.
  const tcpError = (errorType: string): void => served.note(`tcp ${errorType}`);
  const metrics = { ...countingMetrics(() => undefined), tcpError };
  const server = new RpcServer({ host: nodeHost, desk, metrics, log: NO_LOG, limits });
  const served = node('c1', { ...options, clients: server });
  return { desk, server, node: served, address: await served.listen() };
}

function caller(options: Partial<CallerNetOptions> = {}): CallerNet {
  const base = { host: nodeHost, name: 'caller', clusterName: 'test', metrics: NO_METRICS, log: NO_LOG };
  const net = new CallerNet({ ...base, limits: { sweepMs: 10 }, ...options });
  closeLater(() => net.close());
  return net;
}

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'resolved',
    (error: unknown) => (error instanceof DistricError ? error.code : String(error)),
  );
}

afterEach(closeAll);

describe('a caller that stays', () => {
  it('has to come anew after a while, and has its answers first', async () => {
    const { desk, address } = await serve({}, { limits: { linkAgeMsMax: 30, sweepMs: 5 } });
    desk.onCall = () => undefined;
    const net = caller();
    const ended = Promise.withResolvers<string>();
    const first = net.dial(address, { closed: (_, reason) => ended.resolve(reason) });
    await first.opened;
    const answer = first.call(ask('late'));
    while (first.usable) await new Promise((resolve) => setTimeout(resolve, 5));
    const second = net.dial(address);
    await second.opened;
    for (const call of desk.calls) call.done(echo(call));
    expect(textOf(await answer)).toBe('late');
    expect(await ended.promise).toBe('drained');
  });
});

describe('calls', () => {
  it('answers a thousand calls on one connection, in any order', async () => {
    const { desk, address } = await serve();
    const random = new Random(7);
    desk.onCall = () => {
      if (desk.calls.length < 1_000) return;
      const rest = [...desk.calls];
      while (rest.length > 0) {
        const [one] = rest.splice(random.integer(0, rest.length - 1), 1);
        one?.done(echo(one));
      }
    };
    const client = caller().dial(address);
    const texts = Array.from({ length: 1_000 }, (_, i) => `call ${i}`);
    const answers = await Promise.all(texts.map((text) => client.call(ask(text))));
    expect(answers.map(textOf)).toEqual(texts);
  });

  it('never has more unanswered than the credit, and refuses what would wait without bound', async () => {
    const { desk, address } = await serve({ credit: { calls: 4, bytes: 1_000_000 } });
    let most = 0;
    desk.onCall = () => {
      const open = desk.calls.length;
      most = Math.max(most, open);
      if (open === 4) for (const call of desk.calls.splice(0)) call.done(echo(call));
    };
    const client = caller({ callLimits: { waitingCallsMax: 36 } }).dial(address);
    await client.opened;
    const outcomes = await Promise.all(Array.from({ length: 60 }, (_, i) => codeOf(client.call(ask(String(i))))));
    expect(most).toBe(4);
    expect(outcomes.filter((code) => code === 'resolved')).toHaveLength(40);
    expect(outcomes.filter((code) => code === 'QUEUE_FULL')).toHaveLength(20);
  });

  it('carries errors by code with their fields, and the trace context of the caller', async () => {
    const { desk, address } = await serve();
    const fields = [{ field: 'query.kind', reason: 'is unknown' }];
    desk.onCall = (call) => call.done({ error: new DistricError('INVALID_REQUEST', 'no such query', fields) });
    const client = caller().dial(address);
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await expect(client.call(ask('x'), { traceparent })).rejects.toMatchObject({ code: 'INVALID_REQUEST', fields });
    await expect(client.call(ask('x'))).rejects.toMatchObject({ message: 'no such query' });
    expect(desk.calls.map((call) => call.traceparent)).toEqual([traceparent, undefined]);
  });

  it('gives up at the deadline and at the signal, drops the late answer, and has the credit back with it', async () => {
    const { desk, address } = await serve({ credit: { calls: 1, bytes: 1_000_000 } });
    desk.onCall = () => undefined;
    const counts = new Map<string, number>();
    const metrics = countingMetrics((name) => counts.set(name, (counts.get(name) ?? 0) + 1));
    const client = caller({ metrics }).dial(address);
    expect(await codeOf(client.call(ask('slow'), { deadlineMs: 30 }))).toBe('OUTCOME_UNKNOWN');
    // Its credit is still held by the other end, so the next one is never sent.
    expect(await codeOf(client.call(ask('waits'), { deadlineMs: 30 }))).toBe('QUEUE_FULL');
    const abort = new AbortController();
    const aborted = codeOf(client.call(ask('aborted'), { signal: abort.signal }));
    abort.abort('enough');
    expect(await aborted).toBe('enough');
    expect(desk.calls).toHaveLength(1);
    desk.onCall = (call) => call.done(echo(call));
    const next = client.call(ask('next'));
    desk.calls[0]?.done({ error: new DistricError('INTERNAL', 'late') });
    expect(textOf(await next)).toBe('next');
    expect(counts.get('rpc RPC_ERROR late')).toBe(1);
  });

  it('says of each call that was under way when the connection broke whether it may have been carried out', async () => {
    const { desk, address } = await serve({ credit: { calls: 1, bytes: 1_000_000 } });
    const client = caller().dial(address);
    await client.opened;
    const outcomes = [codeOf(client.call(ask('sent'))), codeOf(client.call(ask('waiting')))];
    desk.onCall = () => undefined;
    desk.calls.length = 0;
    client.connection.destroy('cable cut');
    expect(await Promise.all(outcomes)).toEqual(['OUTCOME_UNKNOWN', 'NO_LEADER']);
    expect(await codeOf(client.call(ask('after')))).toBe('NO_LEADER');
  });
});

describe('callers', () => {
  it('are refused with a typed error: by the desk, by their number, by cluster', async () => {
    const { desk, address, node: served } = await serve({ callersMax: 1 });
    expect(await codeOf(caller({ clusterName: 'other' }).dial(address).opened)).toBe('UNAUTHENTICATED');
    expect(served.warnings.some((line) => line.includes('wrong_cluster'))).toBe(true);
    desk.refusal = new DistricError('FORBIDDEN', 'no');
    expect(await codeOf(caller().dial(address).opened)).toBe('FORBIDDEN');
    desk.refusal = undefined;
    await caller().dial(address).opened;
    expect(await codeOf(caller().dial(address).opened)).toBe('QUEUE_FULL');
  });

  it('leave nothing behind when they go with calls under way', async () => {
    const { desk, server, address } = await serve();
    desk.onCall = () => undefined;
    const net = caller();
    const client = net.dial(address);
    await client.opened;
    client.call(ask('never answered')).catch(() => undefined);
    await new Promise<void>((resolve) => (desk.onCall = () => resolve()));
    await net.close();
    await server.drain();
    expect([server.callers, desk.sessions.size]).toEqual([0, 0]);
    // What was carried out meanwhile is answered to nobody.
    for (const call of desk.calls) call.done(echo(call));
  });

  it('get the answers under way before a drained server closes, and no new calls in', async () => {
    const { desk, server, address } = await serve();
    const client = caller().dial(address);
    await client.opened;
    const asked = new Promise<IncomingCall>((resolve) => (desk.onCall = resolve));
    const answer = client.call(ask('under way'));
    const call = await asked;
    const drained = server.drain();
    expect(await codeOf(caller().dial(address).opened)).toBe('SHUTTING_DOWN');
    call.done(echo(call));
    expect(textOf(await answer)).toBe('under way');
    await drained;
    expect(client.usable).toBe(false);
  });

  it('are closed when they send beyond their credit', async () => {
    const { desk, address } = await serve({ credit: { calls: 2, bytes: 1_000_000 } });
    desk.onCall = () => undefined;
    const socket = await raw(address);
    const received = readAll(socket);
    socket.write(frame(hello('greedy', 'bulk', 'test', 'client')));
    for (let id = 1; id <= 3; id++) socket.write(callFrame(id, ask('x')));
    const last = (await received).at(-1);
    expect(last).toEqual({ kind: 'GOAWAY', body: { reason: 'over_credit' } });
    expect(desk.calls).toHaveLength(2);
  });

  it('are told of a call that cannot be read', async () => {
    const { address } = await serve();
    const socket = await raw(address);
    const answers: { id: number; flags: number; message: Message | undefined }[] = [];
    const reader = new FrameReader(nodeHost);
    const refused = new Promise<void>((resolve) => {
      socket.on('data', (chunk) => {
        reader.push(chunk, ({ messageId, flags, typeCode, payload }) => {
          const message = decodeMessage(nodeHost, typeCode, payload);
          answers.push({ id: messageId, flags, message });
          if (message?.kind === 'RPC_ERROR') resolve();
        });
      });
    });
    socket.write(frame(hello('odd', 'bulk', 'test', 'client')));
    socket.write(encodeFrame(nodeHost, 0x4003, 0, 77, 1, Buffer.from('no fields')));
    await refused;
    const { id, flags, message } = answers.at(-1)!;
    expect([id, flags & FRAME_FLAGS.response, flags & FRAME_FLAGS.error]).toEqual([77, 8, 16]);
    expect(message).toMatchObject({ body: { code: 'INVALID_REQUEST' } });
  });

  it('that do not read their answers are not read either, and time out', async () => {
    const limits = { idleMsMax: { control: 6_000, bulk: 300 }, sendBufferBytesMax: 4 * 1024 * 1024 };
    const { desk, server, address, node: served } = await serve({ unreadBytesMax: 64 * 1024 }, { limits });
    const big = Buffer.alloc(512 * 1024);
    desk.onCall = (call) => call.done({ message: { kind: 'CLIENT_RESULT', body: { result: big } } });
    const socket = await raw(address);
    socket.pause();
    socket.write(frame(hello('deaf', 'bulk', 'test', 'client')));
    const calls = Array.from({ length: 1_000 }, (_, i) => callFrame(i + 1, ask('x')));
    for (const one of calls) socket.write(one);
    const gone = closed(socket);
    await served.until(() => served.count('tcp idle_timeout') + served.count('closed') > 0 && server.callers === 0);
    socket.resume();
    await gone;
    expect(desk.calls.length).toBeGreaterThan(0);
    expect(desk.calls.length).toBeLessThan(100);
  });

  it('that leave most unread are closed when all together leave too much, and the others served', async () => {
    const {
      desk,
      server,
      node: served,
      address,
    } = await serve({
      unreadBytesMax: 16 * 1024 * 1024,
      unreadBytesTotalMax: 12 * 1024 * 1024,
    });
    const big = Buffer.alloc(1024 * 1024);
    desk.onCall = (call) => call.done({ message: { kind: 'CLIENT_RESULT', body: { result: big } } });
    // What the kernel takes of a caller that does not read is a few MiB, so that the first one alone is under the limit.
    for (const [name, calls] of [
      ['modest', 4],
      ['greedy', 40],
    ] as const) {
      const socket = await raw(address);
      socket.pause();
      socket.write(frame(hello(name, 'bulk', 'test', 'client')));
      await served.until(() => desk.sessions.has(name));
      for (let id = 1; id <= calls; id++) socket.write(callFrame(id, ask('x')));
      await served.until(() => desk.calls.length >= calls || served.count('tcp unread_limit') > 0);
    }
    expect(served.count('tcp unread_limit')).toBe(1);
    expect([...desk.sessions]).toEqual(['modest']);
    expect(textOf(await caller().dial(address).call(ask('x')))).toHaveLength(big.length);
    expect(server.callers).toBe(2);
  });

  it('and wait with most calls are closed when all together wait with too much', async () => {
    const { desk, node: served, address } = await serve({ unreadBytesMax: 64 * 1024, heldBytesMax: 256 * 1024 });
    const big = Buffer.alloc(4 * 1024 * 1024 - 1024);
    const large = ask('x'.repeat(20_000));
    desk.onCall = (call) => call.done({ message: { kind: 'CLIENT_RESULT', body: { result: big } } });
    const sockets = [];
    for (let n = 0; n < 8; n++) {
      const socket = await raw(address);
      socket.pause();
      socket.write(frame(hello(`deaf ${n}`, 'bulk', 'test', 'client')));
      await served.until(() => desk.sessions.has(`deaf ${n}`));
      sockets.push(socket);
    }
    for (const socket of sockets) {
      if (served.count('tcp held_limit') > 0) break;
      for (let id = 1; id <= 30; id++) socket.write(callFrame(id, large));
    }
    await served.until(() => served.count('tcp held_limit') > 0);
    desk.onCall = (call) => call.done(echo(call));
    expect(textOf(await caller().dial(address).call(ask('served')))).toBe('served');
  });
});

function callFrame(id: number, message: Message): Uint8Array {
  const { code, payload } = encodeMessage(nodeHost, message);
  return encodeFrame(nodeHost, code, 0, id, 1, payload);
}
