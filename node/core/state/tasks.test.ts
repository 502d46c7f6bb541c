import { beforeEach, describe, expect, it } from '@jest/globals';
import { nodeHost } from '../../io/host.ts';
import { REDISPATCHES_MAX } from '../workflow/schedule.ts';
import { taskAssignment } from './attempt-context.ts';
import { COMMAND, DrainWorker } from './commands.ts';
import { DUE_PER_ENTRY_MAX } from './machine.ts';
import { ruleOf, TestReplica, workflowOf } from './test-replica.ts';

let replica: TestReplica;

function start(id: string, rule = 'r'): string {
  replica.send([{ id, body: `{"of":"${id}"}`, rules: [`${rule}@1`] }]);
  return `${id}-1`;
}

/** Assigns to worker w1; gives the fencing token. */
function assign(instanceId: string, taskId: string, workerId = 'w1', session = 's1'): number {
  replica.assign({ instanceId, taskId, workerId, session });
  return replica.machine.appliedIndex;
}

function taskOf(instanceId: string, position: number) {
  return replica.machine.instances.get(instanceId)!.tasks[position]!;
}

function readyTasks(): string[] {
  return [...replica.machine.instances.ready.values()].flatMap(({ tasks }) => [...tasks.keys()]).sort();
}

beforeEach(() => {
  replica = new TestReplica(nodeHost);
  const tasks = [
    { id: 'first', type: 'log' },
    { id: 'second', type: 'http', depends_on: ['first'], retry: 1, timeout: 10 },
  ];
  replica.putWorkflow(workflowOf('w', tasks));
  replica.putRule(ruleOf('r', ['w']));
  replica.register('w1', 's1', ['log', 'http']);
});

describe('an attempt', () => {
  it('carries the log position of its assignment as fencing token, and completes the task once', () => {
    const id = start('m1');
    const token = assign(id, 'first');
    expect(taskOf(id, 0)).toMatchObject({ status: 'RUNNING', token, worker: 'w1', attempts: 1 });
    expect(replica.report(id, 'first', token, 'ok', '{"n":1}').events).toMatchObject([
      { kind: 'taskEnded', type: 'log', status: 'COMPLETED' },
      { kind: 'resultJudged', token, accepted: true },
    ]);
    expect(readyTasks()).toEqual([`${id}/1`]);
    const { hash } = replica.machine;
    expect(replica.report(id, 'first', token, 'ok', '{"n":2}').events).toMatchObject([{ accepted: false }]);
    expect(replica.machine.hash).toBe(hash);
    expect(Buffer.from(replica.machine.reader.get(`o/${id}/first`)!).toString()).toBe('{"n":1}');
  });

  it('is void for a session that is gone, a task that is not ready, and what does not exist', () => {
    const id = start('m1');
    replica.lose('w1', 's1');
    const before = replica.machine.hash;
    assign(id, 'first');
    replica.register('w1', 's2', ['log']);
    assign(id, 'first', 'w1', 's1');
    const registered = replica.machine.hash;
    assign(id, 'second', 'w1', 's2');
    assign(id, 'third', 'w1', 's2');
    assign('nobody-1', 'first', 'w1', 's2');
    expect(replica.machine.hash).toBe(registered);
    expect(registered).not.toBe(before);
    expect(readyTasks()).toEqual([`${id}/0`]);
    expect(replica.machine.instances.runningCount).toBe(0);
  });

  it('of a stale token changes nothing, whatever it reports', () => {
    const id = start('m1');
    const token = assign(id, 'first');
    const { hash } = replica.machine;
    for (const status of ['ok', 'retryable', 'terminal', 'lost']) {
      for (const wrong of [0, token - 1, token + 1]) {
        expect(replica.report(id, 'first', wrong, status).events).toMatchObject([{ accepted: false }]);
      }
      expect(replica.report(id, 'unknown', token, status).events).toMatchObject([{ accepted: false }]);
      expect(replica.report('nobody-1', 'first', token, status).events).toMatchObject([{ accepted: false }]);
    }
    expect(replica.machine.hash).toBe(hash);
  });

  it('that fails is retried after its delay, by cluster time, with a higher token', () => {
    const id = start('m1');
    replica.report(id, 'first', assign(id, 'first'), 'ok');
    const token = assign(id, 'second');
    expect(replica.report(id, 'second', token, 'retryable').events).toMatchObject([{ kind: 'taskRetried' }, {}]);
    expect(taskOf(id, 1)).toMatchObject({ status: 'RETRYING', error: 'it was retryable', failures: 1 });
    expect(readyTasks()).toEqual([]);
    replica.advance(800);
    expect(readyTasks()).toEqual([]);
    replica.advance(400);
    expect(readyTasks()).toEqual([`${id}/1`]);
    expect(assign(id, 'second')).toBeGreaterThan(token);
    replica.report(id, 'second', replica.machine.appliedIndex, 'retryable');
    expect(replica.machine.instances.get(id)).toMatchObject({
      status: 'FAILED',
      error: 'task failed: it was retryable',
    });
  });

  it('over its time-out is called back and retried, and its late result is stale', () => {
    const id = start('m1');
    replica.report(id, 'first', assign(id, 'first'), 'ok');
    const token = assign(id, 'second');
    expect(replica.machine.nextDueMs()).toBe(replica.timeMs + 10_000);
    expect(replica.advance(9_999).events).toEqual([]);
    expect(replica.advance(1).events).toContainEqual({
      kind: 'attemptCancelled',
      session: 's1',
      instanceId: id,
      taskId: 'second',
      token,
    });
    expect(taskOf(id, 1).status).toBe('RETRYING');
    expect(replica.machine.instances.runningCount).toBe(0);
    expect(replica.report(id, 'second', token, 'ok').events).toMatchObject([{ accepted: false }]);
  });

  it('sees the message, its config and the outputs of its dependencies', () => {
    replica.putWorkflow(
      workflowOf('w', [
        { id: 'a', type: 'log' },
        { id: 'b', type: 'log' },
        { id: 'c', type: 'log', config: { say: 'hi' }, depends_on: ['a', 'b'], timeout: 7 },
      ]),
    );
    replica.putRule(ruleOf('p', ['w'], { actions: [{ workflow: 'w', params: { x: 1 } }] }));
    const id = start('m1', 'p');
    replica.report(id, 'a', assign(id, 'a'), 'ok', '[1]');
    replica.report(id, 'b', assign(id, 'b'), 'ok');
    const token = assign(id, 'c');
    const body = taskAssignment(nodeHost, replica.machine, id, 2)!;
    expect(body).toMatchObject({ instanceId: id, taskId: 'c', token, attempt: 1, type: 'log', timeoutMs: 7_000 });
    expect(JSON.parse(Buffer.from(body.context).toString())).toEqual({
      workflow: 'w',
      revision: 2,
      message_id: 'm1',
      config: { say: 'hi' },
      params: { x: 1 },
      message: { of: 'm1' },
      outputs: { a: [1], b: null },
    });
    replica.report(id, 'c', token, 'ok');
    expect(taskAssignment(nodeHost, replica.machine, id, 2)).toBeUndefined();
  });
});

describe('a worker', () => {
  it('that is lost gives its attempts back without using up a retry', () => {
    const id = start('m1');
    const token = assign(id, 'first');
    expect(replica.lose('w1', 's1').events).toMatchObject([
      { kind: 'taskRedispatched', type: 'log' },
      { kind: 'workerLost', workerId: 'w1' },
    ]);
    expect(taskOf(id, 0)).toMatchObject({ status: 'READY', redispatches: 1, failures: 0, session: null });
    expect(replica.machine.workers.workers.has('w1')).toBe(false);
    expect(replica.report(id, 'first', token, 'ok').events).toMatchObject([{ accepted: false }]);
  });

  it('of another session is not lost by a late notice', () => {
    replica.register('w1', 's2', ['log']);
    expect(replica.lose('w1', 's1').events).toEqual([]);
    expect(replica.machine.workers.workers.get('w1')).toMatchObject({ session: 's2' });
  });

  it('that comes back with a new session has lost what the old one ran', () => {
    const id = start('m1');
    assign(id, 'first');
    replica.register('w1', 's2', ['log']);
    expect(taskOf(id, 0)).toMatchObject({ status: 'READY', redispatches: 1 });
    // The same session again (the answer was lost) keeps everything.
    assign(id, 'first', 'w1', 's2');
    replica.register('w1', 's2', ['log']);
    expect(taskOf(id, 0)).toMatchObject({ status: 'RUNNING', redispatches: 1 });
  });

  it('cannot be killed by one task for ever: lost too often, the task fails', () => {
    const id = start('m1');
    for (let i = 0; i <= REDISPATCHES_MAX; i++) {
      expect(taskOf(id, 0).status).toBe('READY');
      assign(id, 'first', 'w1', `s${String(i + 1)}`);
      replica.register('w1', `s${String(i + 2)}`, ['log']);
    }
    expect(replica.machine.instances.get(id)).toMatchObject({ status: 'FAILED' });
    expect(taskOf(id, 0).error).toContain('lost with its worker');
  });

  it('is marked as draining for its session alone', () => {
    replica.apply(COMMAND.drainWorker, DrainWorker, { workerId: 'w1', session: 'other' });
    expect(replica.machine.workers.workers.get('w1')!.draining).toBe(false);
    replica.apply(COMMAND.drainWorker, DrainWorker, { workerId: 'w1', session: 's1' });
    expect(replica.machine.workers.workers.get('w1')!.draining).toBe(true);
  });

  it('registers its types, each once', () => {
    const { hash } = replica.machine;
    expect([...replica.machine.workers.types.keys()]).toEqual(['log', 'http']);
    replica.register('w2', 's9', ['log']);
    expect(replica.machine.hash).not.toBe(hash);
    expect(replica.machine.workers.types.size).toBe(2);
  });
});

describe('an instance', () => {
  it('that ends takes all its tasks out of every index', () => {
    replica.putWorkflow(
      workflowOf('w', [
        { id: 'a', type: 'log' },
        { id: 'b', type: 'log' },
        { id: 'c', type: 'http' },
      ]),
    );
    const id = start('m1');
    assign(id, 'a');
    const { events, result } = replica.cancel(id);
    expect(JSON.parse(result.resource!)).toEqual({ id, status: 'CANCELLED' });
    expect(events.map(({ kind }) => kind)).toEqual([
      'attemptCancelled',
      'taskEnded',
      'taskEnded',
      'taskEnded',
      'instanceEnded',
    ]);
    const { instances } = replica.machine;
    expect([instances.readyCount, instances.runningCount, instances.active.size, instances.due.size]).toEqual([
      0, 0, 0, 0,
    ]);
    expect(JSON.parse(replica.cancel(id).result.resource!)).toEqual({ id, status: 'CANCELLED' });
    expect(replica.cancel('nobody').result.errorCode).toBe('NOT_FOUND');
  });

  it('ends at its deadline', () => {
    replica.putWorkflow(workflowOf('w', [{ id: 'a', type: 'log' }], { timeout: '1h' }));
    const id = start('m1');
    replica.advance(3_600_000 - 1);
    expect(replica.machine.instances.get(id)!.status).toBe('RUNNING');
    replica.advance(1);
    expect(replica.machine.instances.get(id)!.status).toBe('TIMED_OUT');
    expect(replica.machine.nextDueMs()).toBe(Infinity);
  });

  it('takes time-out and retries of the rule where the workflow says nothing', () => {
    replica.putRule(ruleOf('p', ['w'], { actions: [{ workflow: 'w', timeout: '5m', retry: 3 }] }));
    const id = start('m1', 'p');
    expect(replica.machine.instances.get(id)).toMatchObject({ retryDefault: 3, deadlineMs: replica.timeMs + 300_000 });
  });

  it('that fails in the very turn in which another of its tasks became due leaves nothing ready behind', () => {
    replica.putWorkflow(
      workflowOf('w', [
        { id: 'again', type: 'log', retry: 3 },
        { id: 'late', type: 'log', timeout: 1 },
      ]),
    );
    const id = start('m1');
    const token = assign(id, 'again');
    assign(id, 'late');
    replica.report(id, 'again', token, 'retryable');
    replica.advance(60_000);
    expect(replica.machine.instances.get(id)!.status).toBe('FAILED');
    expect(readyTasks()).toEqual([]);
    expect(replica.machine.instances.readyCount).toBe(0);
  });

  it('is one of many that are due: each entry handles a bounded number', () => {
    replica.putWorkflow(workflowOf('w', [{ id: 'a', type: 'log' }], { timeout: 1 }));
    for (let i = 0; i < DUE_PER_ENTRY_MAX + 5; i++) start(`m${String(i)}`);
    replica.advance(1_000);
    expect(replica.machine.instances.active.size).toBe(5);
    replica.advance(0);
    expect(replica.machine.instances.active.size).toBe(0);
  });
});
