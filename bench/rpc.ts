/** Calls over the frames, beside a bare `node:net` echo of the same frames from the same run. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { BenchRun } from './bench-run.ts';
import { stopChild } from './children.ts';
import { atLeast, atMost, comparison, figure, type Row } from './report.ts';
import type { RpcLoadPlan, RpcLoadResult } from './rpc-plan.ts';

const WINDOW = 1_000;
const CALLS_MIN = 50_000;
const CONNECTIONS = 10_000;
/** Files that a process has open beside its connections. */
const SPARE_FILES = 200;
const HEARTBEAT_P99_MS_MAX = 20;
const IDLE_MS = 5_000;
const KIB = 1_024;

interface Condition {
  rss: number;
  delayP99Ms: number;
  callers: number;
}

/** A load process or the answerer: both say lines of JSON. */
class Child {
  readonly process: ChildProcess;
  readonly #lines: Interface;

  constructor(script: string, args: readonly string[] = []) {
    const file = join(import.meta.dirname, 'load', script);
    this.process = spawn(process.execPath, ['--expose-gc', file, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    const { stdout } = this.process;
    if (stdout === null) throw new Error('a pipe was asked for');
    this.#lines = createInterface({ input: stdout });
  }

  async line(): Promise<string> {
    const ended = once(this.process, 'exit').then(() => {
      throw new Error('a load process ended early');
    });
    ended.catch(() => undefined);
    const [text] = (await Promise.race([once(this.#lines, 'line'), ended])) as [string];
    return text;
  }

  async ask<T>(): Promise<T> {
    const line = this.line();
    this.process.stdin?.write('\n');
    return JSON.parse(await line) as T;
  }
}

export async function measureRpc(run: BenchRun): Promise<Row[]> {
  const rows = await answered(async (_, { port, barePort }) => [
    ...(await measureCalls(run, port, barePort)),
    ...(await measureLanes(run, port)),
  ]);
  // A process of its own, in whose memory nothing of the calls before is left.
  rows.push(...(await answered((answerer, { port }) => measureConnections(run, port, answerer))));
  return rows;
}

interface Ports {
  port: number;
  barePort: number;
}

async function answered(measure: (answerer: Child, ports: Ports) => Promise<Row[]>): Promise<Row[]> {
  const answerer = new Child('rpc-answerer.ts');
  try {
    return await measure(answerer, JSON.parse(await answerer.line()) as Ports);
  } finally {
    await stopChild(answerer.process);
  }
}

async function measureCalls(run: BenchRun, port: number, barePort: number): Promise<Row[]> {
  const bare = await load(run, 'bare', barePort);
  const one = await load(run, 'one', port);
  const pooled = await load(run, 'pooled', port);
  const fresh = await load(run, 'fresh', port);
  const name = `rpc, one connection, 128-byte payloads, window ${WINDOW}`;
  const echo = { name: 'bare node:net echo of the frames', value: bare.perSecond };
  return [
    atLeast(name, one.perSecond, 'calls/s', CALLS_MIN),
    comparison(`${name}, beside the echo`, one.perSecond, 'calls/s', echo),
    figure(`${name}, p99`, one.p99Ms, 'ms'),
    comparison('rpc, 16 callers, connections of a pool', pooled.perSecond, 'calls/s', {
      name: 'a fresh connection for each call',
      value: fresh.perSecond,
    }),
  ];
}

async function measureLanes(run: BenchRun, port: number): Promise<Row[]> {
  const { perSecond, p50Ms, p99Ms } = await load(run, 'lanes', port);
  return [
    figure('rpc, entries of 1 MiB on the bulk lane meanwhile', perSecond, 'MiB/s'),
    figure('rpc, heartbeat round trip on the control lane, p50', p50Ms, 'ms'),
    atMost('rpc, heartbeat round trip on the control lane, p99', p99Ms, 'ms', HEARTBEAT_P99_MS_MAX),
  ];
}

async function measureConnections(run: BenchRun, port: number, answerer: Child): Promise<Row[]> {
  const count = Math.min(CONNECTIONS, openFilesMax() - SPARE_FILES);
  if (count < CONNECTIONS) run.progress(`only ${count} connections: the limit of open files (ulimit -n) is too low`);
  run.progress(`rpc, ${count} connections`);
  const before = await answerer.ask<Condition>();
  const plan: RpcLoadPlan = { kind: 'many', port, callers: count, warmupMs: 1_000, durationMs: run.durationMs };
  const asker = new Child('rpc-load.ts', [JSON.stringify(plan)]);
  try {
    await asker.line();
    await answerer.ask<Condition>();
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
    const idle = await answerer.ask<Condition>();
    if (idle.callers !== count) run.fail(`rpc: ${idle.callers} of ${count} connections are there`);
    const result = await asker.ask<RpcLoadResult>();
    const active = await answerer.ask<Condition>();
    if (result.errors > 0) run.fail(`rpc, ${count} connections: ${result.errors} calls failed`);
    const where = `rpc, ${count} connections`;
    return [
      figure(`${where}, memory of each`, (idle.rss - before.rss) / count / KIB, 'KiB'),
      figure(`${where}, idle, event loop p99`, idle.delayP99Ms, 'ms'),
      figure(`${where}, each active once a second`, result.perSecond, 'calls/s'),
      figure(`${where}, each active once a second, event loop p99`, active.delayP99Ms, 'ms'),
      figure(`${where}, each active once a second, p99 of a call`, result.p99Ms, 'ms'),
    ];
  } finally {
    await stopChild(asker.process);
  }
}

async function load(run: BenchRun, kind: RpcLoadPlan['kind'], port: number): Promise<RpcLoadResult> {
  run.progress(`rpc, ${kind}`);
  const { warmupMs, durationMs } = run;
  const plan: RpcLoadPlan = { kind, port, callers: WINDOW, warmupMs, durationMs };
  const child = new Child('rpc-load.ts', [JSON.stringify(plan)]);
  try {
    const result = JSON.parse(await child.line()) as RpcLoadResult;
    if (result.errors > 0) run.fail(`rpc, ${kind}: ${result.errors} calls failed`);
    return result;
  } finally {
    await stopChild(child.process);
  }
}

/** The soft limit of this process, which its children have too. Where the system does not tell, enough is assumed. */
function openFilesMax(): number {
  try {
    const [, limit = ''] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return limit === '' ? Infinity : Number(limit);
  } catch {
    return Infinity;
  }
}
