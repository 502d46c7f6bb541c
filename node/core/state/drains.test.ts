import { beforeEach, describe, expect, it } from '@jest/globals';
import { nodeHost } from '../../io/host.ts';
import { ruleOf, START_MS, TestReplica, WALL_OFFSET_MS, workflowOf } from './test-replica.ts';

let replica: TestReplica;

/** Starts an instance of one task and assigns it; gives the fencing token. */
function run(message: string, workerId = 'w1', session = 's1'): number {
  replica.send([{ id: message, rules: ['r@1'] }]);
  replica.assign({ instanceId: `${message}-1`, taskId: 't', workerId, session });
  return replica.machine.appliedIndex;
}

function taskOf(message: string) {
  return replica.machine.instances.get(`${message}-1`)!.tasks[0]!;
}

beforeEach(() => {
  replica = new TestReplica(nodeHost);
  replica.putWorkflow(workflowOf('w', [{ id: 't', type: 'log', timeout: '1h' }]));
  replica.putRule(ruleOf('r', ['w']));
  replica.register('w1', 's1', ['log']);
  replica.register('w2', 's2', ['log']);
});

describe('an order to drain a worker', () => {
  it('voids every later assignment to it, and leaves alone what runs', () => {
    const token = run('m1');
    replica.drain('w1', 60_000);
    run('m2');
    expect(taskOf('m2')).toMatchObject({ status: 'READY', attempts: 0 });
    replica.report('m1-1', 't', token, 'ok', '{}');
    expect(taskOf('m1').status).toBe('COMPLETED');
  });

  it('calls back what still runs when its time is over: other workers get it, with a higher token', () => {
    const token = run('m1');
    replica.drain('w1', 60_000);
    replica.advance(59_999);
    expect(taskOf('m1').status).toBe('RUNNING');
    expect(replica.machine.nextDueMs()).toBe(START_MS + 60_000);
    const { events } = replica.advance(1);
    expect(events).toContainEqual({
      ...{ kind: 'attemptCancelled', session: 's1', instanceId: 'm1-1', taskId: 't', token },
    });
    expect(taskOf('m1')).toMatchObject({ status: 'READY', redispatches: 1, failures: 0 });
    replica.assign({ instanceId: 'm1-1', taskId: 't', workerId: 'w2', session: 's2' });
    expect(taskOf('m1').token).toBeGreaterThan(token);
    expect(replica.report('m1-1', 't', token, 'ok', '{}').events).toMatchObject([{ accepted: false }]);
    // Once for an order.
    expect(replica.machine.workers.nextDueMs).toBe(Infinity);
  });

  it('holds for whatever session the worker has, and over its loss, until it is taken back', () => {
    replica.drain('w1', 60_000);
    replica.register('w1', 's3', ['log']);
    run('m1', 'w1', 's3');
    expect(taskOf('m1').status).toBe('READY');
    replica.lose('w1', 's3');
    replica.register('w1', 's4', ['log']);
    replica.assign({ instanceId: 'm1-1', taskId: 't', workerId: 'w1', session: 's4' });
    expect(taskOf('m1').status).toBe('READY');
    replica.undrain('w1');
    replica.assign({ instanceId: 'm1-1', taskId: 't', workerId: 'w1', session: 's4' });
    expect(taskOf('m1').status).toBe('RUNNING');
    replica.advance(120_000);
    expect(taskOf('m1')).toMatchObject({ status: 'RUNNING', redispatches: 0 });
  });

  it('ends with the worker that leaves', () => {
    replica.drain('w1', 60_000);
    replica.lose('w1', 's1', true);
    replica.register('w1', 's3', ['log']);
    run('m1', 'w1', 's3');
    expect(taskOf('m1').status).toBe('RUNNING');
    expect(replica.machine.nextDueMs()).toBeGreaterThan(START_MS + 60_000);
  });

  it('is on record, with who gave it, as is its end', () => {
    expect(JSON.parse(replica.drain('w1', 60_000).result.resource!)).toEqual({
      ...{ id: 'w1', draining: true, grace_ms: 60_000 },
      ordered_at: new Date(WALL_OFFSET_MS + START_MS).toISOString(),
    });
    expect(JSON.parse(replica.undrain('w1').result.resource!)).toEqual({ id: 'w1', draining: false });
    const { entries } = replica.machine.audit.list({ limit: 10 }, undefined, undefined) as { entries: unknown[] };
    expect(entries).toMatchObject([
      { action: 'worker.undrain', target: 'worker/w1', outcome: 'ok', before: { draining: true } },
      { action: 'worker.drain', actor: { name: 'ops' }, before: { draining: false }, after: { draining: true } },
    ]);
  });

  it('is refused for a worker that nobody knows', () => {
    expect(replica.drain('w9', 0).result.errorCode).toBe('NOT_FOUND');
    expect(replica.undrain('w9').result.errorCode).toBe('NOT_FOUND');
    expect(replica.undrain('w1').result.errorCode).toBeUndefined();
  });
});
