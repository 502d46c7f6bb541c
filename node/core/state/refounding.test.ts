import { describe, expect, it } from '@jest/globals';
import { nodeHost } from '../../io/host.ts';
import { encodeEntry } from '../raft/entry.ts';
import { membershipOf } from '../raft/membership.ts';
import { encode } from '../tlv/struct.ts';
import { Bootstrap, COMMAND } from './commands.ts';
import { INDEX_JUMP, refound, type Refounding } from './refounding.ts';
import { ruleOf, TestReplica, workflowOf } from './test-replica.ts';

const ORDER: Refounding = {
  clusterId: 'new',
  membership: membershipOf(['c1']),
  action: 'cluster.restore',
  reason: 'the cluster was restored from a backup',
  actor: { kind: 'offline', id: '', name: 'ops', role: 'admin' },
  term: 8,
  timeMs: 0,
  wallMs: 5,
};

/** A replica with one attempt under way, whose token is returned. */
function running(): { replica: TestReplica; token: number } {
  const replica = new TestReplica(nodeHost);
  replica.apply(COMMAND.bootstrap, Bootstrap, { clusterId: 'old', clusterName: 'shop', minVotersForWrites: 3 });
  replica.putWorkflow(workflowOf('w', [{ id: 't', type: 'work' }]));
  replica.putRule(ruleOf('r', ['w']));
  replica.register('worker-1', 's1', ['work']);
  replica.send([{ id: 'm1', rules: ['r@1'] }]);
  replica.assign({ instanceId: 'm1-1', taskId: 't', workerId: 'worker-1', session: 's1' });
  return { replica, token: replica.machine.appliedIndex };
}

describe('refound', () => {
  it('goes on as another cluster of one voter, without a worker, behind a jump of the index', () => {
    const { replica, token } = running();
    const { machine } = replica;
    const entry = refound(nodeHost, machine, ORDER);
    expect(entry.index).toBe(token + INDEX_JUMP);
    expect(entry.term).toBe(8);
    expect(machine.appliedIndex).toBe(entry.index);
    expect(machine.clusterId).toBe('new');
    expect(machine.membership).toEqual(membershipOf(['c1']));
    expect(machine.membershipIndex).toBe(entry.index);
    expect(machine.minVotersForWrites).toBe(0);
    expect(machine.workers.workers.size).toBe(0);
    expect(machine.messages.count).toBe(1);
    expect(machine.audit.list({ limit: 1 }, undefined, undefined)).toMatchObject({
      entries: [
        { index: entry.index, action: 'cluster.restore', target: 'cluster/new', before: { cluster_id: 'old' } },
      ],
    });
  });

  it('refuses results of the old attempt, and gives the task again under a higher token', () => {
    const { replica, token } = running();
    const { machine } = replica;
    refound(nodeHost, machine, ORDER);
    replica.timeMs = machine.timeMs;
    expect(machine.instances.get('m1-1')?.tasks[0]?.status).toBe('READY');
    replica.report('m1-1', 't', token, 'ok');
    expect(machine.instances.get('m1-1')?.status).toBe('RUNNING');

    replica.register('worker-1', 's2', ['work']);
    replica.assign({ instanceId: 'm1-1', taskId: 't', workerId: 'worker-1', session: 's2' });
    const issued = machine.instances.get('m1-1')?.tasks[0]?.token ?? 0;
    expect(issued).toBeGreaterThan(token + INDEX_JUMP);
    replica.report('m1-1', 't', token, 'ok');
    expect(machine.instances.get('m1-1')?.status).toBe('RUNNING');
    replica.report('m1-1', 't', issued, 'ok');
    expect(machine.instances.get('m1-1')?.status).toBe('COMPLETED');
  });

  it('is found again after a restart', () => {
    const { replica } = running();
    refound(nodeHost, replica.machine, ORDER);
    replica.commit();
    const { machine } = replica.reopened();
    expect(machine.clusterId).toBe('new');
    expect(machine.appliedIndex).toBe(replica.machine.appliedIndex);
    expect(machine.hash).toBe(replica.machine.hash);
    expect(machine.instances.readyCount).toBe(1);
    expect(machine.instances.runningCount).toBe(0);
  });

  it('is refused when no index is left for another jump', () => {
    const replica = new TestReplica(nodeHost);
    const index = Number.MAX_SAFE_INTEGER - 2 * INDEX_JUMP + 1;
    const { payload } = refound(nodeHost, new TestReplica(nodeHost).machine, ORDER);
    const head = { term: 1, index, timeMs: 0, wallMs: 0, kind: COMMAND.refound, previousChecksum: 0 };
    replica.machine.apply(encodeEntry(nodeHost, head, payload));
    expect(() => refound(nodeHost, replica.machine, { ...ORDER, clusterId: 'newer' })).toThrow(/indexes are used up/);
  });

  it('is the only entry that may leave a gap', () => {
    const { replica } = running();
    const payload = encode(nodeHost, Bootstrap, { clusterId: 'x', clusterName: 'x' });
    const index = replica.machine.appliedIndex + 2;
    const head = { term: 1, index, timeMs: replica.timeMs, wallMs: 0, kind: COMMAND.bootstrap, previousChecksum: 0 };
    expect(() => replica.machine.apply(encodeEntry(nodeHost, head, payload))).toThrow(/in order/);
  });
});
