/** What happens to running tasks when their worker dies, leaves, or freezes and comes back. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { AcceptedMessage, InstanceResource, TaskResource } from '../api/rest.ts';
import { metricValue, scrape } from './exposition.ts';
import { call, get, put } from './rest-call.ts';
import { TestCluster } from './test-cluster.ts';
import { until } from './until.ts';

const TIMEOUT_MS = 120_000;
/** Far beyond every wait of these tests: nothing here may be explained by a task's time-out. */
const TASK_TIMEOUT = '10m';
const REDISPATCH_MS_MAX = 20_000;
const WORKERS = ['worker-1', 'worker-2'];

let cluster: TestCluster;
let server: string;

beforeAll(async () => {
  const pluginDirs = [fileURLToPath(new URL('plugins', import.meta.url))];
  cluster = await TestCluster.start({
    coordinators: 1,
    workers: 2,
    profile: 'fast',
    drainTimeoutMs: 15_000,
    pluginDirs,
  });
  server = cluster.servers[0]!;
  for (const ms of [1_500, 3_000]) {
    const task = { id: 'wait', type: 'delay', config: { ms }, timeout: TASK_TIMEOUT };
    await put(server, `/workflow-definitions/wait-${ms}`, { id: `wait-${ms}`, tasks: [task] });
    await put(server, `/rules/wait-${ms}`, {
      id: `wait-${ms}`,
      conditions: { field: 'ms', op: 'equals', value: ms },
      actions: [{ workflow: `wait-${ms}` }],
    });
  }
}, 60_000);

afterAll(async () => {
  await cluster.end();
}, 60_000);

beforeEach(async () => {
  for (const id of WORKERS) if (!cluster.processes.isRunning(id)) await cluster.processes.restart(id);
  await until(
    'both workers are registered',
    30_000,
    async () => (await workersAlive()).length === WORKERS.length || undefined,
  );
}, 60_000);

async function workersAlive(): Promise<string[]> {
  const { workers } = await cluster.status('coordinator-1');
  return workers.filter(({ status }) => status === 'alive').map(({ id }) => id);
}

/** Starts an instance of one `delay` task and gives its id. */
async function start(ms: 1_500 | 3_000): Promise<string> {
  const { status, body } = await call<AcceptedMessage>(server, 'POST', '/messages', { body: JSON.stringify({ ms }) });
  expect({ status, started: body.workflows_triggered }).toEqual({ status: 202, started: [`wait-${ms}`] });
  return body.instances[0]!;
}

async function instance(id: string): Promise<InstanceResource> {
  return get<InstanceResource>(server, `/workflows/${id}`);
}

async function running(id: string): Promise<TaskResource> {
  return until(`${id} runs`, 30_000, async () => {
    const task = (await instance(id)).tasks[0];
    return task?.status === 'RUNNING' ? task : undefined;
  });
}

async function ended(id: string): Promise<InstanceResource> {
  return until(`${id} ends`, 20_000, async () => {
    const found = await instance(id);
    return found.status === 'RUNNING' ? undefined : found;
  });
}

/** Process ids of the children of a process. */
function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((candidate) => parentOf(candidate) === pid);
}

function parentOf(pid: number): number | undefined {
  try {
    // The program's name, in parentheses, may hold spaces.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return fields[0] === 'Z' ? undefined : Number(fields[1]);
  } catch {
    return undefined;
  }
}

describe('a worker killed -9 in the middle of a task', () => {
  it(
    'has its task given to another one with a higher token, long before the time-out, and leaves no process behind',
    async () => {
      const id = await start(3_000);
      const before = await running(id);
      const victim = before.worker!;
      const children = childrenOf(cluster.processes.node(victim).pid!);
      expect(children.length).toBeGreaterThan(0);
      const killedMs = performance.now();
      await cluster.processes.kill(victim);

      const after = await until('the task runs elsewhere', 30_000, async () => {
        const task = (await instance(id)).tasks[0];
        return task?.status === 'RUNNING' && task.worker !== victim ? task : undefined;
      });
      expect(performance.now() - killedMs).toBeLessThan(REDISPATCH_MS_MAX);
      expect(after.token).toBeGreaterThan(before.token!);
      expect(after.redispatches).toBe(1);
      expect(await workersAlive()).toEqual([after.worker]);

      const { status, tasks } = await ended(id);
      expect(status).toBe('COMPLETED');
      expect(tasks).toMatchObject([{ token: after.token, worker: after.worker, output: { waited_ms: 3_000 } }]);
      await until('the plugin processes of the dead worker end', 30_000, () =>
        Promise.resolve(children.every((pid) => parentOf(pid) === undefined) || undefined),
      );
    },
    TIMEOUT_MS,
  );
});

describe('SIGTERM to a worker', () => {
  it(
    'lets its tasks finish, gives it no new ones, and takes it off the list: none is lost or run twice',
    async () => {
      const ids = await Promise.all(Array.from({ length: 8 }, () => start(3_000)));
      const tasks = await Promise.all(ids.map(running));
      expect(new Set(tasks.map(({ worker }) => worker))).toEqual(new Set(WORKERS));

      const signalledAt = Date.now();
      await cluster.processes.kill('worker-1', 'SIGTERM');
      await until('worker-1 drains', 30_000, async () => {
        const { workers } = await cluster.status('coordinator-1');
        return workers.some((worker) => worker.id === 'worker-1' && worker.status === 'draining') || undefined;
      });
      const late = await start(1_500);

      await until('worker-1 has left', 30_000, async () => {
        const { workers } = await cluster.status('coordinator-1');
        return workers.every((worker) => worker.id !== 'worker-1') || undefined;
      });
      for (const [position, id] of ids.entries()) {
        const { worker, token } = tasks[position]!;
        const { status, tasks: results } = await ended(id);
        expect(status).toBe('COMPLETED');
        expect(results).toMatchObject([{ worker, token, attempts: 1, redispatches: 0 }]);
      }
      expect(await ended(late)).toMatchObject({
        status: 'COMPLETED',
        tasks: [{ worker: 'worker-2', redispatches: 0 }],
      });
      await until('the process ends', 30_000, () =>
        Promise.resolve(!cluster.processes.isRunning('worker-1') || undefined),
      );
      expect(await cluster.logged('worker-1', '"msg":"stopped"')).toHaveLength(1);
      const losses = await cluster.logged('coordinator-1', '"msg":"worker lost"');
      const ofWorker = losses.filter(({ worker, ts }) => worker === 'worker-1' && Number(ts) >= signalledAt);
      expect(ofWorker.map(({ reason }) => reason)).toEqual(['it left']);
    },
    TIMEOUT_MS,
  );
});

describe('a worker frozen (SIGSTOP) until it was given up', () => {
  it(
    'reports too late: STALE_ATTEMPT, one result, and it is of use again',
    async () => {
      const id = await start(3_000);
      const before = await running(id);
      const frozen = before.worker!;
      const staleBefore = await staleResults();
      await cluster.processes.kill(frozen, 'SIGSTOP');
      let done: InstanceResource;
      try {
        done = await ended(id);
      } finally {
        await cluster.processes.kill(frozen, 'SIGCONT');
      }
      expect(done).toMatchObject({ status: 'COMPLETED', tasks: [{ redispatches: 1, output: { waited_ms: 3_000 } }] });
      expect(done.tasks[0]!.worker).not.toBe(frozen);
      expect(done.tasks[0]!.token).toBeGreaterThan(before.token!);

      await until('the late result is judged', 30_000, async () => (await staleResults()) > staleBefore || undefined);
      await until('the worker hears of it', 30_000, async () => {
        const lines = await cluster.logged(frozen, 'STALE_ATTEMPT');
        return lines.some(({ instanceId }) => instanceId === id) || undefined;
      });
      expect(await instance(id)).toEqual(done);
      await until('it is registered again', 30_000, async () => (await workersAlive()).includes(frozen) || undefined);
    },
    TIMEOUT_MS,
  );
});

async function staleResults(): Promise<number> {
  return metricValue(await scrape(cluster.observability('coordinator-1')), 'distric_results_stale_total');
}
