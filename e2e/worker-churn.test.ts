/**
 * A fleet of real worker processes, one task slot each, executes tasks while some are killed (−9), some join and some
 * are drained, in random order: each task has one committed result, none is lost, and whoever is idle gets work soon.
 *
 * DISTRIC_CHURN_WORKERS: how many; a fifth of them is killed, as many join, as many are drained. Figures are printed.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { AcceptedMessage, InstanceResource } from '../api/rest.ts';
import type { WorkerList } from '../api/workers.ts';
import { Random } from '../base/random.ts';
import { metricValue, scrape } from './exposition.ts';
import { call, get, put } from './rest-call.ts';
import { TestCluster } from './test-cluster.ts';
import { until } from './until.ts';

const SEED = 6_174;
const WORKERS = Number(process.env['DISTRIC_CHURN_WORKERS'] ?? 24);
const EACH = Math.round(WORKERS / 5);
/** Tasks that wait at any time, about: for some seconds of all workers. */
const WAITING_MIN = WORKERS * 6;
/** After the last change: until even what that one did is over. */
const SETTLE_MS = 4_000;
const TASK_MS = 500;
/** So many processes start at a time. */
const WAVE = 8;
const GRACE = '1s';
const TIMEOUT_MS = 120_000 + WORKERS * 5_000;
/** Idle workers get work within a second; the slowest of all may have met a moment when the whole machine stood still. */
const IDLE_MS_MAX = 1_000;
const IDLE_SHARE_MIN = 0.98;

type Change = 'kill' | 'join' | 'drain';

let cluster: TestCluster;
let server: string;

beforeAll(async () => {
  cluster = await TestCluster.start({
    coordinators: 1,
    workers: Math.min(WAVE, WORKERS),
    profile: 'fast',
    workerSettings: { concurrency: 1 },
    readyTimeoutMs: TIMEOUT_MS,
  });
  server = cluster.servers[0]!;
  while (workerIds().length < WORKERS) await cluster.processes.addWorkers(Math.min(WAVE, WORKERS - workerIds().length));
  const task = { id: 'wait', type: 'delay', config: { ms: TASK_MS }, timeout: '10m' };
  await put(server, '/workflow-definitions/wait', { id: 'wait', tasks: [task] });
  const conditions = { field: 'event_type', op: 'equals', value: 'wait' };
  await put(server, '/rules/wait', { id: 'wait', conditions, actions: [{ workflow: 'wait' }] });
}, TIMEOUT_MS);

afterAll(async () => {
  await cluster.end();
}, TIMEOUT_MS);

function workerIds(): string[] {
  return cluster.processes.nodes.filter(({ role }) => role === 'worker').map(({ id }) => id);
}

async function workers(): Promise<WorkerList['workers']> {
  return (await get<WorkerList>(server, '/workers')).workers;
}

/** Tasks that wait all the time, so that nobody is idle for want of them. */
class Backlog {
  readonly instances: string[] = [];
  #ended = false;
  #running: Promise<void> | undefined;

  async start(): Promise<void> {
    await this.#send(2 * WAITING_MIN);
    this.#running = this.#keep();
  }

  /** Gives the wall clock, ms, until when there was more to do than anybody could. */
  async end(): Promise<number> {
    this.#ended = true;
    await this.#running;
    return Date.now();
  }

  async #keep(): Promise<void> {
    while (!this.#ended) {
      const { counts } = await cluster.status('coordinator-1');
      if (counts.tasks_ready < WAITING_MIN) await this.#send(WAITING_MIN);
      await delay(50);
    }
  }

  async #send(count: number): Promise<void> {
    const body = JSON.stringify(Array.from({ length: count }, () => ({ event_type: 'wait' })));
    const answer = await call<{ items: AcceptedMessage[] }>(server, 'POST', '/messages', { body });
    expect(answer.status).toBe(202);
    this.instances.push(...answer.body.items.flatMap(({ instances }) => instances));
  }
}

/** What was done to whom, and when. */
interface Churn {
  killed: Set<string>;
  joined: Set<string>;
  /** With the wall clock, ms, after which it is given nothing. */
  drained: Map<string, number>;
}

async function churn(random: Random): Promise<Churn> {
  const order: Change[] = [];
  const left: Record<Change, number> = { kill: EACH, join: EACH, drain: EACH };
  for (;;) {
    const kinds = (Object.keys(left) as Change[]).filter((kind) => left[kind] > 0);
    if (kinds.length === 0) break;
    const kind = random.pick(kinds);
    left[kind]--;
    order.push(kind);
  }
  const done: Churn = { killed: new Set(), joined: new Set(), drained: new Map() };
  for (const change of order) {
    if (change === 'join') for (const id of await cluster.processes.addWorkers(1)) done.joined.add(id);
    else {
      // On a machine that is too busy one may have been silent for too long, and be about to register again.
      const alive = new Set((await workers()).filter(({ status }) => status === 'alive').map(({ id }) => id));
      const untouched = workerIds().filter(
        (id) => alive.has(id) && ![done.killed, done.joined, done.drained].some((set) => set.has(id)),
      );
      const id = random.pick(untouched);
      if (change === 'kill') {
        done.killed.add(id);
        await cluster.processes.kill(id);
      } else {
        const { status } = await call(server, 'POST', `/workers/${id}/drain`, {
          body: JSON.stringify({ grace: GRACE }),
        });
        expect(status).toBe(200);
        done.drained.set(id, Date.now());
      }
    }
    await delay(random.integer(0, 150));
  }
  return done;
}

interface Span {
  from: number;
  to: number;
}

/** When each worker had something to do, by its committed results. */
function spansOf(instances: readonly InstanceResource[]): Map<string, Span[]> {
  const spans = new Map<string, Span[]>();
  for (const { tasks } of instances) {
    const { worker = '', started_at: from = '', ended_at: to = '' } = tasks[0]!;
    const own = spans.get(worker) ?? [];
    own.push({ from: Date.parse(from), to: Date.parse(to) });
    spans.set(worker, own);
  }
  for (const own of spans.values()) own.sort((a, b) => a.from - b.from);
  return spans;
}

/** How long workers had nothing to do while tasks waited, from the end of each task to the start of the next. */
function idleTimes(
  spans: ReadonlyMap<string, Span[]>,
  sinceMs: ReadonlyMap<string, number>,
  untilMs: number,
): number[] {
  const idle: number[] = [];
  for (const [id, own] of spans) {
    let freeMs = sinceMs.get(id) ?? own[0]!.from;
    for (const { from, to } of own) {
      if (freeMs < untilMs) idle.push(from - freeMs);
      freeMs = to;
    }
  }
  return idle.sort((a, b) => a - b);
}

function memoryMb(id: string): number {
  const status = readFileSync(`/proc/${cluster.processes.node(id).pid!}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

describe('a fleet under churn', () => {
  it(
    `has one result of each task, while ${EACH} of ${WORKERS} workers are killed, ${EACH} join and ${EACH} are drained`,
    async () => {
      await until('all are registered', 60_000, async () => (await workers()).length === WORKERS || undefined);
      const startedMs = performance.now();
      const backlog = new Backlog();
      await backlog.start();
      const { killed, joined, drained } = await churn(Random.stream(SEED, 'churn'));
      const churnS = (performance.now() - startedMs) / 1_000;
      await delay(SETTLE_MS);
      // Read before the end: `registered_at` is told of those that are there.
      const registered = new Map((await workers()).map(({ id, registered_at: at = '' }) => [id, Date.parse(at)]));
      const busyUntilMs = await backlog.end();
      const ids = backlog.instances;
      const tasks = ids.length;
      expect(new Set(ids).size).toBe(tasks);
      await until('all tasks have ended', TIMEOUT_MS, async () => {
        const { counts } = await cluster.status('coordinator-1');
        return counts.instances_active === 0 || undefined;
      });
      const totalS = (performance.now() - startedMs) / 1_000;

      const instances: InstanceResource[] = [];
      for (const id of ids) instances.push(await get<InstanceResource>(server, `/workflows/${id}?consistency=stale`));
      expect(instances.filter(({ status }) => status !== 'COMPLETED')).toEqual([]);
      expect(instances.filter((one) => one.tasks[0]!.status !== 'COMPLETED' || one.tasks.length !== 1)).toEqual([]);
      // A result is the one of its attempt: counted once each, however many attempts there were.
      const ended = metricValue(await scrape(cluster.observability('coordinator-1')), 'distric_tasks_ended_total', {
        type: 'delay',
        status: 'COMPLETED',
      });
      expect(ended).toBe(tasks);
      const redispatched = instances.reduce((sum, one) => sum + one.tasks[0]!.redispatches, 0);
      expect(redispatched).toBeGreaterThan(0);

      const spans = spansOf(instances);
      for (const id of joined) expect(spans.get(id)?.length ?? 0).toBeGreaterThan(0);
      for (const [id, atMs] of drained) {
        const late = (spans.get(id) ?? []).filter(({ from }) => from > atMs);
        expect(late).toEqual([]);
      }
      // On a busy machine one may be in doubt for a moment.
      await until('the drained and the killed are told of as such', 30_000, async () => {
        const rows = new Map((await workers()).map((worker) => [worker.id, worker]));
        const isDrained = (id: string): boolean => rows.get(id)?.status === 'draining' && rows.get(id)?.running === 0;
        const isGone = (id: string): boolean => (rows.get(id)?.status ?? 'failed') === 'failed';
        return ([...drained.keys()].every(isDrained) && [...killed].every(isGone)) || undefined;
      });

      // What was lost with a worker is no idle time of it; what began since it joined is.
      const since = new Map([...joined].map((id) => [id, registered.get(id) ?? 0]));
      const idle = idleTimes(spans, since, busyUntilMs);
      const at = (share: number): number => idle[Math.min(idle.length - 1, Math.floor(idle.length * share))]!;
      const memory = workerIds()
        .filter((id) => cluster.processes.isRunning(id))
        .map(memoryMb);
      process.stdout.write(
        `${tasks} tasks on ${WORKERS} workers in ${totalS.toFixed(1)} s, churn ${churnS.toFixed(1)} s, ${redispatched} re-dispatched; ` +
          `idle in ms: median ${at(0.5)}, p98 ${at(IDLE_SHARE_MIN)}, longest ${at(1)}; ` +
          `a worker process has ${Math.round(memory.reduce((a, b) => a + b, 0) / memory.length)} MiB\n`,
      );
      expect(at(IDLE_SHARE_MIN)).toBeLessThan(IDLE_MS_MAX);
    },
    TIMEOUT_MS,
  );
});
