/**
 * The asking side of `bench rpc`, a process of its own. Takes an RpcLoadPlan as JSON in its only argument, prints an
 * RpcLoadResult as one line of JSON.
 */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { encodeFrame, FrameReader } from '../../node/core/tlv/frame.ts';
import { encodeMessage, MESSAGES, type Message } from '../../node/core/tlv/messages.ts';
import { nodeHost } from '../../node/io/host.ts';
import { CallerNet } from '../../node/io/net/caller-net.ts';
import { NO_LOG, NO_METRICS } from '../../node/io/net/net-metrics.ts';
import { PeerNet } from '../../node/io/net/peer-net.ts';
import { TcpPool } from '../../node/io/net/tcp-pool.ts';
import type { RpcClient } from '../../node/io/net/rpc-client.ts';
import { Latencies } from '../latency.ts';
import type { RpcLoadPlan, RpcLoadResult } from '../rpc-plan.ts';

const PAYLOAD = Buffer.alloc(128, 0x61);
const ASK: Message = { kind: 'CLIENT_RESULT', body: { result: PAYLOAD } };
const FRESH_CALLERS = 16;
const OPENED_AT_ONCE = 100;
const HEARTBEAT_MS = 10;
/** Heartbeats that are on their way when the time is up. */
const UNANSWERED_MAX = 10;

const plan = JSON.parse(process.argv[2] ?? '{}') as RpcLoadPlan;
const address = `127.0.0.1:${plan.port}`;
const callers = new CallerNet({
  host: nodeHost,
  name: 'bench',
  clusterName: 'bench',
  metrics: NO_METRICS,
  log: NO_LOG,
});

/** Runs `count` loops of `call` until the time is up; what ends inside the counted time counts. */
async function loops(count: number, call: (loop: number) => Promise<unknown>, pauseMs = 0): Promise<RpcLoadResult> {
  const latencies = new Latencies();
  const startMs = performance.now() + plan.warmupMs;
  const endMs = startMs + plan.durationMs;
  let counted = 0;
  let errors = 0;
  const loop = async (number: number): Promise<void> => {
    if (pauseMs > 0) await delay((pauseMs * number) / count);
    for (;;) {
      const sentMs = performance.now();
      if (sentMs >= endMs) return;
      try {
        await call(number);
        const answeredMs = performance.now();
        if (answeredMs >= startMs && answeredMs <= endMs) {
          counted++;
          if ((counted & 15) === 0 || pauseMs > 0) latencies.record(answeredMs - sentMs);
        }
      } catch {
        errors++;
        await delay(1);
      }
      if (pauseMs > 0) await delay(Math.max(0, pauseMs - (performance.now() - sentMs)));
    }
  };
  await Promise.all(Array.from({ length: count }, (_, number) => loop(number)));
  const perSecond = (1_000 * counted) / plan.durationMs;
  return { perSecond, p50Ms: latencies.percentileMs(0.5), p99Ms: latencies.percentileMs(0.99), errors };
}

async function oneConnection(): Promise<RpcLoadResult> {
  const client = callers.dial(address);
  await client.opened;
  return loops(plan.callers, () => client.call(ASK));
}

/** The same window over the bare echo: a frame goes out for each that comes back. */
async function bareEcho(): Promise<RpcLoadResult> {
  const { code } = MESSAGES.CLIENT_RESULT;
  const { payload } = encodeMessage(nodeHost, ASK);
  const socket = connect({ port: plan.port, host: '127.0.0.1', noDelay: true });
  const reader = new FrameReader(nodeHost);
  const startMs = performance.now() + plan.warmupMs;
  const endMs = startMs + plan.durationMs;
  let id = 0;
  let counted = 0;
  const send = (count: number): void => {
    const frames = Array.from({ length: count }, () =>
      encodeFrame(nodeHost, code, 0, ++id, Date.now() * 1_000, payload),
    );
    socket.write(Buffer.concat(frames));
  };
  await new Promise<void>((resolve) => {
    socket.on('data', (chunk) => {
      let count = 0;
      reader.push(chunk, () => count++);
      const nowMs = performance.now();
      if (nowMs >= startMs && nowMs <= endMs) counted += count;
      if (nowMs > endMs) resolve();
      else if (count > 0) send(count);
    });
    socket.once('connect', () => send(plan.callers));
  });
  socket.destroy();
  return { perSecond: (1_000 * counted) / plan.durationMs, p50Ms: 0, p99Ms: 0, errors: 0 };
}

async function pooled(): Promise<RpcLoadResult> {
  const pool = new TcpPool<RpcClient>({ open, limits: { perAddressMax: FRESH_CALLERS } });
  return loops(FRESH_CALLERS, async () => {
    const client = await pool.acquire(address);
    try {
      await client.call(ASK);
    } finally {
      pool.release(client);
    }
  });
}

async function fresh(): Promise<RpcLoadResult> {
  return loops(FRESH_CALLERS, async () => {
    const client = await open();
    await client.call(ASK);
    client.drain('done');
  });
}

async function open(): Promise<RpcClient> {
  const client = callers.dial(address);
  await client.opened;
  return client;
}

/** Opens all, says so, and goes on at each line of standard input: once idle, then each active once a second. */
async function many(): Promise<RpcLoadResult> {
  const clients: RpcClient[] = [];
  while (clients.length < plan.callers) {
    const count = Math.min(OPENED_AT_ONCE, plan.callers - clients.length);
    clients.push(...(await Promise.all(Array.from({ length: count }, open))));
  }
  console.log('open');
  await new Promise((resolve) => process.stdin.once('data', resolve));
  return loops(clients.length, (number) => clients[number]?.call(ASK) ?? Promise.resolve(), 1_000);
}

/** Heartbeats on the control lane, while the bulk lane is given more than it can take, in entries of 1 MiB. */
async function lanes(): Promise<RpcLoadResult> {
  const latencies = new Latencies();
  const sentMs = new Map<number, number>();
  const heartbeat = { term: 1, leaderId: 'asker', prevLogIndex: 0, prevLogTerm: 0, leaderCommit: 0, cutBefore: 0 };
  const up = Promise.withResolvers<undefined>();
  const net = new PeerNet({
    self: { nodeId: 'asker', role: 'coordinator', clusterName: 'bench' },
    host: nodeHost,
    onMessage: (_, { kind, body }) => {
      if (kind !== 'APPEND_ENTRIES_RESPONSE') return;
      const sent = sentMs.get(body.readRound);
      if (sent !== undefined) latencies.record(performance.now() - sent);
      sentMs.delete(body.readRound);
    },
    onPeerUp: () => up.resolve(undefined),
    onPeerDown: () => undefined,
    metrics: NO_METRICS,
    log: NO_LOG,
  });
  net.dial(address);
  await up.promise;
  const endMs = performance.now() + plan.durationMs;
  const entries = [Buffer.alloc(2 ** 20, 7)];
  let entriesSent = 0;
  let flooding = true;
  // One at a time: what is encoded for the bulk lane is time that a heartbeat can't be sent in.
  const flood = (): void => {
    if (net.send('answerer', { kind: 'APPEND_ENTRIES', body: { ...heartbeat, entries, readRound: 0 } })) entriesSent++;
    if (flooding) setImmediate(flood);
  };
  flood();
  for (let round = 1; performance.now() < endMs; round++) {
    sentMs.set(round, performance.now());
    net.send('answerer', { kind: 'APPEND_ENTRIES', body: { ...heartbeat, entries: [], readRound: round } });
    await delay(HEARTBEAT_MS);
  }
  flooding = false;
  const perSecond = (1_000 * entriesSent) / plan.durationMs;
  const errors = sentMs.size > UNANSWERED_MAX ? sentMs.size : 0;
  return { perSecond, p50Ms: latencies.percentileMs(0.5), p99Ms: latencies.percentileMs(0.99), errors };
}

const KINDS = { lanes, one: oneConnection, bare: bareEcho, pooled, fresh, many };
console.log(JSON.stringify(await KINDS[plan.kind]()));
process.exit(0);
