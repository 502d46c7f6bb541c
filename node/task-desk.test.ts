import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Rule } from '../api/rule.ts';
import type { Workflow } from '../api/workflow.ts';
import type { InstanceStatus } from './core/workflow/instance.ts';
import { CONTEXT_BYTES_MAX } from './core/state/attempt-context.ts';
import { nodeHost } from './io/host.ts';
import { OUTPUT_BYTES_MAX } from './task-desk.ts';
import { TestCluster, type TestWorker, WORKER_LOSS_MS } from './test-cluster.ts';

const TASKS: Workflow['tasks'] = [
  { id: 'first', type: 'log' },
  { id: 'second', type: 'log', depends_on: ['first'] },
];

function rule(workflow: string): Rule {
  const conditions = { field: 'event_type', op: 'equals', value: workflow } as const;
  return { id: workflow, version: 1, priority: 0, enabled: true, conditions, actions: [{ workflow }] };
}

let group: TestCluster;

function define(id: string, tasks: Workflow['tasks']): void {
  group.change({ kind: 'putWorkflow', workflow: { id, version: 1, tasks }, mode: 'upsert' });
  group.change({ kind: 'putRule', rule: rule(id), mode: 'upsert' });
  group.run(200);
}

/** Starts instances of a workflow; gives their ids. */
function start(workflow: string, count = 1): string[] {
  const messages = Array.from({ length: count }, () => ({ event_type: workflow }));
  const answer = group.submit(group.leader(), messages);
  group.until(() => answer.outcomes !== undefined);
  return answer.outcomes!.flatMap((outcome) => ('accepted' in outcome ? outcome.accepted.instances : []));
}

function state() {
  return group.at(group.leader()).core.state;
}

function statusOf(id: string | undefined): InstanceStatus {
  return state().instances.get(id!)!.status;
}

function joined(id: string, types = ['log'], capacity = 2): TestWorker {
  const worker = group.addWorker(id, types, capacity);
  group.until(() => worker.node.registeredWith === group.leader());
  return worker;
}

beforeEach(() => {
  group = new TestCluster(nodeHost, ['a', 'b', 'c']);
  define('w', TASKS);
});

describe('a worker', () => {
  it('registers with the leader and runs what it is given, in the order of the workflow', () => {
    const worker = joined('w1');
    const [id] = start('w');
    group.until(() => worker.begun.length === 1);
    expect(worker.begun[0]).toMatchObject({ instanceId: id, taskId: 'first', attempt: 1, type: 'log' });
    worker.finish(0, 'ok', Buffer.from('{"n":1}'));
    group.until(() => worker.begun.length === 2);
    expect(JSON.parse(Buffer.from(worker.begun[1]!.context).toString())).toMatchObject({
      outputs: { first: { n: 1 } },
    });
    expect(worker.begun[1]!.token).toBeGreaterThan(worker.begun[0]!.token);
    worker.finish(1);
    group.until(() => statusOf(id) === 'COMPLETED');
    const leader = group.at(group.leader());
    expect(leader.metrics.of('instance COMPLETED')).toBe(1);
    // Acknowledged: the worker holds nothing any more and reports nothing again.
    const before = group.sent.length;
    group.run(5_000);
    expect(group.sent.slice(before).filter(({ message }) => message.kind === 'TASK_RESULT')).toEqual([]);
  });

  it('is not given a context that no frame carries: the task fails and says why', () => {
    const parts = Array.from({ length: 20 }, (_, n) => `part${String(n)}`);
    define('wide', [...parts.map((id) => ({ id, type: 'log' })), { id: 'join', type: 'log', depends_on: parts }]);
    const worker = joined('w1', ['log'], 20);
    const [id] = start('wide');
    group.until(() => worker.begun.length === parts.length);
    parts.forEach((_, n) => worker.finish(n, 'ok', Buffer.from(JSON.stringify('x'.repeat(OUTPUT_BYTES_MAX - 2)))));
    group.until(() => statusOf(id) !== 'RUNNING', 5_000);
    expect(state().instances.get(id!)!.tasks.at(-1)).toMatchObject({
      status: 'FAILED',
      error: expect.stringContaining(String(CONTEXT_BYTES_MAX)) as unknown,
    });
    expect(worker.begun).toHaveLength(parts.length);
  });

  it.each([
    ['w1', 'x'.repeat(2_000)],
    ['w1', 'prüfung'],
    ['w 1', 'log'],
  ])('whose names fit no key of the state is not registered (%#)', (workerId, type) => {
    const worker = group.addWorker(workerId, [type]);
    group.run(3_000);
    expect(worker.node.registeredWith).toBeUndefined();
    expect(state().workers.workers.size).toBe(0);
    const other = joined('w2');
    start('w');
    group.until(() => other.begun.length === 1);
  });

  it('may report an error of any length, and the log keeps its beginning', () => {
    const worker = joined('w1');
    const [id] = start('w');
    group.until(() => worker.begun.length === 1);
    const { instanceId, taskId, token } = worker.begun[0]!;
    const result = { instanceId, taskId, token, status: 'terminal', error: 'e'.repeat(3_000_000) };
    worker.inputs.push({ kind: 'finished', result });
    group.until(() => statusOf(id) === 'FAILED');
    const { log } = group.at(group.leader()).core.raft;
    const sizes = Array.from({ length: log.lastIndex }, (_, n) => log.entry(n + 1).bytes.length);
    expect(Math.max(...sizes)).toBeLessThan(10_000);
  });

  it('never has more than it takes, and the rest waits', () => {
    const worker = joined('w1', ['log'], 3);
    start('w', 10);
    group.run(500);
    expect(worker.begun).toHaveLength(3);
    expect(state().instances.runningCount).toBe(3);
    for (let n = 0; n < 3; n++) worker.finish(n);
    group.run(500);
    expect(worker.begun).toHaveLength(6);
  });

  it('shares the load with others, by capacity', () => {
    const small = joined('w1', ['log'], 1);
    const large = joined('w2', ['log'], 4);
    start('w', 5);
    group.run(500);
    expect([small.begun.length, large.begun.length]).toEqual([1, 4]);
  });

  it('gets only the types that it has, and a task of a type nobody has waits for one', () => {
    define('other', [{ id: 't', type: 'rare' }]);
    const worker = joined('w1');
    const [id] = start('other');
    group.run(500);
    expect(worker.begun).toEqual([]);
    const able = joined('w2', ['rare']);
    group.until(() => able.begun.length === 1);
    able.finish(0);
    group.until(() => statusOf(id) === 'COMPLETED');
  });

  it('is not kept from one type of task by an endless queue of another', () => {
    define('other', [{ id: 't', type: 'rare' }]);
    const worker = joined('w1', ['log', 'rare'], 1);
    start('w', 10);
    const [id] = start('other');
    for (let n = 0; statusOf(id) !== 'COMPLETED'; n++) {
      group.until(() => worker.begun.length > n);
      if (n % 2 === 0 && n < 8) start('w', 1);
      worker.finish(n);
      group.run(50);
      expect(n).toBeLessThan(13);
    }
    expect(statusOf(id)).toBe('COMPLETED');
  });

  it('whose connection is back in time keeps its attempts, and gets again what was lost on the way', () => {
    const worker = joined('w1');
    start('w');
    group.until(() => worker.begun.length === 1);
    const other = start('w');
    group.turn();
    group.isolate('w1');
    group.run(WORKER_LOSS_MS - 500);
    group.rejoin('w1');
    group.until(() => worker.node.registeredWith !== undefined);
    group.run(500);
    expect(worker.begun.map(({ attempt }) => attempt)).toEqual([1, 1]);
    expect(worker.begun[1]).toMatchObject({ instanceId: other[0] });
    expect(group.at(group.leader()).metrics.of('redispatched')).toBe(0);
  });

  it('that is gone too long loses its attempts to another, and its late result changes nothing', () => {
    const worker = joined('w1');
    const [id] = start('w');
    group.until(() => worker.begun.length === 1);
    group.isolate('w1');
    const other = joined('w2');
    group.run(WORKER_LOSS_MS + 500);
    expect(other.begun).toMatchObject([{ instanceId: id, taskId: 'first', attempt: 2 }]);
    worker.finish(0);
    group.rejoin('w1');
    group.run(3_000);
    const leader = group.at(group.leader());
    expect(leader.metrics.of('stale')).toBe(1);
    expect(state().instances.get(id!)!.tasks[0]).toMatchObject({ status: 'RUNNING', redispatches: 1 });
    other.finish(0);
    group.run(500);
    expect(state().instances.get(id!)!.tasks[0]).toMatchObject({ status: 'COMPLETED', worker: 'w2' });
  });

  it('that was started anew has lost what it ran before', () => {
    const worker = joined('w1');
    start('w');
    group.until(() => worker.begun.length === 1);
    group.isolate('w1');
    group.workers.delete('w1');
    const again = group.addWorker('w1', ['log'], 2, { session: 'w1-2' });
    group.until(() => again.begun.length === 1);
    expect(again.begun[0]).toMatchObject({ taskId: 'first', attempt: 2 });
  });

  it('is told to stop what was cancelled', () => {
    const worker = joined('w1');
    const [id] = start('w');
    group.until(() => worker.begun.length === 1);
    group.change({ kind: 'cancelInstance', id: id! });
    group.run(100);
    expect(worker.cancelled).toEqual([worker.begun[0]!.token]);
    expect(statusOf(id)).toBe('CANCELLED');
  });

  it('that drains gets nothing new, finishes, and is gone at once when it has left', () => {
    const worker = joined('w1');
    const [id] = start('w');
    group.until(() => worker.begun.length === 1);
    worker.inputs.push({ kind: 'drain' });
    group.run(300);
    expect(state().workers.workers.get('w1')!.draining).toBe(true);
    worker.finish(0);
    group.run(300);
    expect(worker.begun).toHaveLength(1);
    expect(worker.node.left).toBe(true);
    expect(state().workers.workers.has('w1')).toBe(false);
    const other = joined('w2');
    group.until(() => other.begun.length === 1);
    expect(other.begun[0]).toMatchObject({ instanceId: id, taskId: 'second' });
  });
});

describe('a new leader', () => {
  it('takes over workers and attempts: nothing is run twice, nothing is forgotten', () => {
    const worker = joined('w1');
    const [id] = start('w');
    group.until(() => worker.begun.length === 1);
    const old = group.leader();
    group.isolate(old);
    worker.finish(0);
    group.until(() => worker.begun.length === 2);
    expect(group.leader()).not.toBe(old);
    worker.finish(1);
    group.until(() => statusOf(id) === 'COMPLETED');
    expect(worker.begun.map(({ attempt }) => attempt)).toEqual([1, 1]);
    expect(group.at(group.leader()).metrics.of('redispatched')).toBe(0);
  });

  it('gives every worker its whole time to come back', () => {
    const worker = joined('w1');
    start('w');
    group.until(() => worker.begun.length === 1);
    group.isolate('w1');
    group.run(WORKER_LOSS_MS - 300);
    group.isolate(group.leader());
    group.run(WORKER_LOSS_MS - 500);
    expect(state().workers.workers.has('w1')).toBe(true);
    group.run(WORKER_LOSS_MS);
    expect(state().workers.workers.has('w1')).toBe(false);
  });
});

describe('a report', () => {
  it('that is retryable is tried again after its delay', () => {
    define('again', [{ id: 't', type: 'log', retry: 1 }]);
    const worker = joined('w1');
    const [id] = start('again');
    group.until(() => worker.begun.length === 1);
    worker.finish(0, 'retryable');
    group.run(500);
    expect(worker.begun).toHaveLength(1);
    group.run(1_500);
    expect(worker.begun).toMatchObject([{ attempt: 1 }, { attempt: 2 }]);
    worker.finish(1, 'terminal');
    group.until(() => statusOf(id) === 'FAILED');
  });

  it('with too much output, or with what is not JSON, fails the task for good and says why', () => {
    for (const [output, reason] of [
      [Buffer.alloc(OUTPUT_BYTES_MAX + 1, 0x31), 'limit'],
      [Buffer.from('{"half":'), 'JSON'],
      [Buffer.from(''), 'JSON'],
    ] as const) {
      const worker = group.workers.get('w1') ?? joined('w1');
      const [id] = start('w');
      const n = worker.begun.length;
      group.until(() => worker.begun.length > n || worker.begun[n - 1]?.instanceId === id);
      worker.finish(worker.begun.length - 1, 'ok', output);
      group.until(() => statusOf(id) === 'FAILED');
      const read = group.query(group.leader(), { kind: 'instance', id: id! });
      group.until(() => read.outcome !== undefined);
      expect(read.outcome).toMatchObject({
        result: { tasks: [{ status: 'FAILED', error: expect.stringContaining(reason) }, {}] },
      });
    }
  });

  it('sent twice before it is applied becomes one entry', () => {
    const worker = joined('w1');
    const [id] = start('w');
    group.until(() => worker.begun.length === 1);
    const { instanceId, taskId, token } = worker.begun[0]!;
    const leader = group.leader();
    const report = { session: 'w1-1', results: [{ instanceId, taskId, token, status: 'ok' }] };
    for (let i = 0; i < 3; i++) group.send('w1', leader, { kind: 'TASK_RESULT', body: report });
    group.run(300);
    const { log } = group.at(leader).core.raft;
    const entries = Array.from({ length: log.lastIndex }, (_, i) => log.entry(i + 1)).filter(({ kind }) => kind === 12);
    expect(entries).toHaveLength(1);
    expect(state().instances.get(id!)!.tasks[0]!.status).toBe('COMPLETED');
    expect(group.at(leader).metrics.of('stale')).toBe(0);
  });
});

describe('a full send buffer', () => {
  it('delays an attempt and holds up nothing else', () => {
    const worker = joined('w1');
    group.bufferFull = (_from, to, { kind }) => to === 'w1' && kind === 'TASK_ASSIGN';
    const [id] = start('w');
    group.run(500);
    expect(worker.begun).toEqual([]);
    expect(state().instances.get(id!)!.tasks[0]!.status).toBe('RUNNING');
    group.bufferFull = () => false;
    group.run(100);
    expect(worker.begun).toMatchObject([{ attempt: 1 }]);
  });
});
