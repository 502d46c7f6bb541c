import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Workflow } from '../api/workflow.ts';
import type { MemberView } from './core/swim/swim-ports.ts';
import { nodeHost } from './io/host.ts';
import type { Query } from './requests.ts';
import { TestCluster, type TestWorker, WORKER_LOSS_MS } from './test-cluster.ts';
import { MASS_FAILURE_WAIT_MS } from './worker-losses.ts';
import type { WorkerConfig } from './worker.ts';

let group: TestCluster;

function define(id: string, tasks: Workflow['tasks']): void {
  group.change({ kind: 'putWorkflow', workflow: { id, version: 1, tasks }, mode: 'upsert' });
  const conditions = { field: 'event_type', op: 'equals', value: id } as const;
  const rule = { id, version: 1, priority: 0, enabled: true, conditions, actions: [{ workflow: id }] };
  group.change({ kind: 'putRule', rule, mode: 'upsert' });
  group.run(200);
}

function start(workflow: string, count: number): void {
  const answer = group.submit(
    group.leader(),
    Array.from({ length: count }, () => ({ event_type: workflow })),
  );
  group.until(() => answer.outcomes !== undefined);
  group.run(300);
}

function joined(id: string, capacity = 2, more: Partial<WorkerConfig> = {}): TestWorker {
  const worker = group.addWorker(id, ['log'], capacity, more);
  group.until(() => worker.node.registeredWith === group.leader());
  return worker;
}

function begun(): Record<string, number> {
  return Object.fromEntries([...group.workers].map(([id, worker]) => [id, worker.begun.length]));
}

function state() {
  return group.at(group.leader()).core.state;
}

/** What gossip tells the leader of a worker. */
function gossip(id: string, status: MemberView['status']): void {
  const members = [{ id, incarnation: 1, status, details: undefined, forMs: 0 }];
  group.at(group.leader()).inputs.push({ kind: 'gossip', news: { state: 'on', members, whole: false } });
  group.run(50);
}

beforeEach(() => {
  group = new TestCluster(nodeHost, ['a', 'b', 'c']);
  define('w', [{ id: 't', type: 'log' }]);
});

describe('a worker ordered to drain', () => {
  it('gets nothing more, may finish what it runs, and is of use again when the order ends', () => {
    const worker = joined('w1');
    start('w', 1);
    expect(worker.begun).toHaveLength(1);
    group.change({ kind: 'orderDrain', workerId: 'w1', graceMs: 60_000 });
    start('w', 1);
    expect(worker.begun).toHaveLength(1);
    worker.finish(0);
    group.run(500);
    expect(worker.begun).toHaveLength(1);
    expect(state().instances.runningCount).toBe(0);
    group.change({ kind: 'endDrain', workerId: 'w1' });
    group.until(() => worker.begun.length === 2);
  });

  it('is called off at the grace limit, and another one has the task with a higher token', () => {
    const worker = joined('w1');
    start('w', 1);
    const other = joined('w2');
    group.change({ kind: 'orderDrain', workerId: 'w1', graceMs: 5_000 });
    group.run(4_000);
    expect(other.begun).toEqual([]);
    group.until(() => other.begun.length === 1);
    expect(worker.cancelled).toEqual([worker.begun[0]!.token]);
    expect(other.begun[0]!.token).toBeGreaterThan(worker.begun[0]!.token);
    worker.finish(0);
    other.finish(0);
    group.until(() => state().instances.active.size === 0);
  });
});

describe('a worker that gossip doubts', () => {
  it('gets only what nobody else has room for, as long as it is connected', () => {
    joined('w1');
    joined('w2');
    gossip('w1', 'suspected');
    start('w', 2);
    expect(begun()).toEqual({ w1: 0, w2: 2 });
    start('w', 1);
    expect(begun()).toEqual({ w1: 1, w2: 2 });
    gossip('w1', 'failed');
    group.run(WORKER_LOSS_MS + 1_000);
    expect(state().workers.workers.has('w1')).toBe(true);
  });

  it('and whose connection is gone is given up at once', () => {
    joined('w1');
    start('w', 1);
    const other = joined('w2');
    gossip('w1', 'failed');
    group.isolate('w1');
    group.run(WORKER_LOSS_MS / 2);
    expect(other.begun).toHaveLength(1);
  });
});

describe('a mass failure', () => {
  const ids = ['w1', 'w2', 'w3'];

  beforeEach(() => {
    for (const id of ids) joined(id);
    start('w', 3);
    for (const id of ids) group.isolate(id);
    group.run(WORKER_LOSS_MS + 1_000);
  });

  it('is waited out, and said: who comes back goes on with what it has', () => {
    const { metrics, core } = group.at(group.leader());
    expect(metrics.of('losses suspended')).toBe(1);
    expect(state().workers.workers.size).toBe(3);
    group.run(10_000);
    for (const id of ids) group.rejoin(id);
    group.run(3_000);
    expect(metrics.of('losses resumed')).toBe(1);
    for (const id of ids) group.workers.get(id)!.finish(0);
    group.until(() => core.state.instances.active.size === 0);
    expect(metrics.of('redispatched')).toBe(0);
    expect(begun()).toEqual({ w1: 1, w2: 1, w3: 1 });
  });

  it('ends after a while: whoever is left has the tasks', () => {
    const other = joined('w4', 3);
    group.run(MASS_FAILURE_WAIT_MS - WORKER_LOSS_MS - 3_000);
    expect(other.begun).toEqual([]);
    group.run(5_000);
    expect(other.begun).toHaveLength(3);
    expect(group.at(group.leader()).metrics.of('losses resumed')).toBe(1);
  });
});

describe('what a task and a worker say of each other', () => {
  it('decides by labels, and a task that nobody fits waits without holding up others', () => {
    define('gpu', [{ id: 't', type: 'log', selector: { gpu: ['a100', 'h100'], zone: 'z1' } }]);
    joined('w1', 8, { labels: ['gpu=a100'], zone: 'z2' });
    start('gpu', 2);
    start('w', 1);
    expect(begun()).toEqual({ w1: 1 });
    joined('w2', 2, { labels: ['gpu=h100'], zone: 'z1' });
    group.run(300);
    expect(begun()).toEqual({ w1: 1, w2: 2 });
  });

  it('keeps reserved slots for the workflow they are for', () => {
    define('urgent', [{ id: 't', type: 'log' }]);
    joined('w1', 4, { reserved: [{ of: 'workflow', name: 'urgent', slots: 3 }] });
    start('w', 3);
    expect(begun()).toEqual({ w1: 1 });
    start('urgent', 4);
    expect(begun()).toEqual({ w1: 4 });
  });
});

describe('a strategy of the configuration', () => {
  it('prefers workers of the leader’s zone, and spills over when they are full', () => {
    group = new TestCluster(nodeHost, ['a'], { config: { strategy: 'locality-aware', zone: 'z1' } });
    define('w', [{ id: 't', type: 'log' }]);
    joined('far', 4, { zone: 'z2' });
    joined('near', 4, { zone: 'z1' });
    start('w', 4);
    expect(begun()).toEqual({ far: 0, near: 4 });
    start('w', 2);
    expect(begun()).toEqual({ far: 2, near: 4 });
  });
});

describe('what is told of workers', () => {
  function ask(query: Query): unknown {
    const answer = group.query(group.leader(), query);
    group.until(() => answer.outcome !== undefined);
    return answer.outcome !== undefined && 'result' in answer.outcome ? answer.outcome.result : answer.outcome;
  }

  it('is what they can do, how busy they are, and what they run', () => {
    const labels = ['disk=ssd'];
    const worker = joined('w1', 4, { labels, zone: 'z1', softwareVersion: '1.2.3' });
    start('w', 1);
    const summary = {
      ...{ id: 'w1', status: 'alive', load: 0.25, running: 1, capacity: 4, labels, zone: 'z1', version: '1.2.3' },
      ...{ types: [{ name: 'log', version: '1' }], cpu: 0.5, memory: 0.25 },
    };
    group.send('w1', group.leader(), {
      kind: 'WORKER_USAGE',
      body: { session: 'w1-1', cpuParts: 500, memoryParts: 250 },
    });
    group.run(50);
    expect(ask({ kind: 'workers' })).toMatchObject({ workers: [summary] });
    const { instanceId: instance, token } = worker.begun[0]!;
    const attempts = [{ instance, token, workflow: 'w', task: 't', type: 'log' }];
    expect(ask({ kind: 'worker', id: 'w1' })).toMatchObject({ ...summary, attempts });
    expect(ask({ kind: 'worker', id: 'w9' })).toMatchObject({ error: { code: 'NOT_FOUND' } });
  });

  it('is also whether they are drained, suspected or failed', () => {
    for (const id of ['w1', 'w2', 'w3', 'w4']) joined(id);
    group.change({ kind: 'orderDrain', workerId: 'w1', graceMs: 0 });
    gossip('w2', 'suspected');
    group.run(500);
    expect(ask({ kind: 'workers' })).toMatchObject({
      workers: [
        { status: 'draining', drain: { grace_ms: 0, handed_back: true } },
        { status: 'suspected' },
        { status: 'alive' },
        {},
      ],
    });
    for (const id of ['w2', 'w3', 'w4']) group.isolate(id);
    group.run(WORKER_LOSS_MS + 500);
    const failed = { status: 'failed' };
    expect(ask({ kind: 'workers' })).toMatchObject({ workers: [{ status: 'draining' }, failed, failed, failed] });
    expect(ask({ kind: 'clusterStatus' })).toMatchObject({ losses_suspended: { missing: 3, workers: 4 } });
  });
});
