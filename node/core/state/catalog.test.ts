import { beforeEach, describe, expect, it } from '@jest/globals';
import { nodeHost } from '../../io/host.ts';
import { COMMAND, Bootstrap } from './commands.ts';
import { ruleOf, TestReplica, workflowOf } from './test-replica.ts';

const LOG = [{ id: 't', type: 'log' }];

let replica: TestReplica;

beforeEach(() => {
  replica = new TestReplica(nodeHost);
});

describe('a rule', () => {
  it('is stored with its revision and moves the catalog version, only when it changes', () => {
    replica.putWorkflow(workflowOf('w', LOG));
    const created = replica.putRule(ruleOf('r', ['w']));
    expect(JSON.parse(created.result.resource!)).toMatchObject({ id: 'r', revision: 1, change: 'created' });
    expect(created.events).toEqual([{ kind: 'catalogChanged' }]);
    expect(replica.machine.catalog.version).toBe(1);

    const again = replica.putRule(ruleOf('r', ['w']));
    expect(JSON.parse(again.result.resource!)).toMatchObject({ revision: 1, change: 'unchanged' });
    expect(again.events).toEqual([]);
    expect(replica.machine.catalog.version).toBe(1);

    const changed = replica.putRule(ruleOf('r', ['w'], { priority: 9 }));
    expect(JSON.parse(changed.result.resource!)).toMatchObject({ priority: 9, revision: 2, change: 'configured' });
    expect(replica.machine.catalog.version).toBe(2);
  });

  it('that names unknown workflows is refused, each with its place', () => {
    replica.putWorkflow(workflowOf('w', LOG));
    const { hash } = replica.machine;
    const { result } = replica.putRule(ruleOf('r', ['nope', 'w', 'neither']));
    expect(result).toMatchObject({ errorCode: 'UNKNOWN_WORKFLOW' });
    expect(result.errorFields.map(({ field }) => field)).toEqual(['actions[0].workflow', 'actions[2].workflow']);
    expect(result.errorText).toContain('"neither"');
    expect(replica.machine.hash).toBe(hash);
    expect(replica.machine.catalog.rules.size).toBe(0);
  });

  it('is created once, and deleted once', () => {
    replica.putWorkflow(workflowOf('w', LOG));
    expect(replica.putRule(ruleOf('r', ['w']), 'create').result.errorCode).toBeUndefined();
    const second = replica.putRule(ruleOf('r', ['w'], { priority: 5 }), 'create').result;
    expect(second).toMatchObject({ errorCode: 'ALREADY_EXISTS', errorFields: [{ field: 'id' }] });
    expect(replica.deleteRule('r').result.errorCode).toBeUndefined();
    expect(replica.machine.catalog.version).toBe(2);
    expect(replica.deleteRule('r').result.errorCode).toBe('NOT_FOUND');
    expect(replica.machine.catalog.version).toBe(2);
  });
});

describe('what somebody owns', () => {
  const managedBy = 'kubernetes/shop/Rule/r';

  it('is changed and deleted by its owner, and by others only when they insist', () => {
    const owned = { ...workflowOf('w', LOG), managedBy };
    replica.putWorkflow(owned);
    replica.putRule(ruleOf('r', ['w'], { managedBy }));
    expect(replica.putRule(ruleOf('r', ['w'], { managedBy, priority: 2 })).result.errorCode).toBeUndefined();

    const refused = replica.putRule(ruleOf('r', ['w'], { priority: 3 })).result;
    expect(refused).toMatchObject({ errorCode: 'MANAGED' });
    expect(refused.errorText).toContain(managedBy);
    expect(replica.putWorkflow(workflowOf('w', LOG)).result.errorCode).toBe('MANAGED');
    expect(replica.deleteRule('r').result.errorCode).toBe('MANAGED');
    expect(replica.machine.catalog.rules.get('r')!.document.priority).toBe(2);

    expect(replica.putRule(ruleOf('r', ['w'], { priority: 3 }), 'upsert', true).result.errorCode).toBeUndefined();
    expect(replica.machine.catalog.rules.get('r')!.document.managedBy).toBeUndefined();
    expect(replica.deleteRule('r').result.errorCode).toBeUndefined();
    expect(replica.deleteWorkflow('w').result.errorCode).toBe('MANAGED');
    expect(replica.deleteWorkflow('w', true).result.errorCode).toBeUndefined();
  });
});

describe('a workflow', () => {
  it('changes without moving the catalog version: no rule has changed', () => {
    replica.putWorkflow(workflowOf('w', LOG));
    replica.putWorkflow(workflowOf('w', [...LOG, { id: 'u', type: 'log' }]));
    expect(replica.machine.catalog.version).toBe(0);
    expect(replica.machine.catalog.workflows.get('w')!.revision).toBe(2);
  });

  it('that a rule starts is not deleted', () => {
    replica.putWorkflow(workflowOf('w', LOG));
    replica.putRule(ruleOf('r', ['w']));
    expect(replica.deleteWorkflow('w').result).toMatchObject({ errorCode: 'IN_USE' });
    replica.deleteRule('r');
    expect(replica.deleteWorkflow('w').result.errorCode).toBeUndefined();
    expect(replica.deleteWorkflow('w').result.errorCode).toBe('NOT_FOUND');
    expect(replica.machine.catalog.currentPlan('w')).toBeUndefined();
  });

  it('is pinned by the instances that run it: they end as they began', () => {
    replica.putWorkflow(workflowOf('w', [...LOG, { id: 'u', type: 'log', depends_on: ['t'] }]));
    replica.putRule(ruleOf('r', ['w']));
    replica.register('w1', 's1', ['log']);
    replica.send([{ id: 'm1', rules: ['r@1'] }]);
    replica.putWorkflow(workflowOf('w', LOG));
    replica.send([{ id: 'm2', rules: ['r@1'] }]);
    replica.deleteRule('r');
    replica.deleteWorkflow('w');
    replica.commit();
    replica = replica.reopened();
    for (const [instanceId, taskIds] of [
      ['m1-1', ['t', 'u']],
      ['m2-1', ['t']],
    ] as const) {
      for (const taskId of taskIds) {
        expect(replica.machine.instances.get(instanceId)!.status).toBe('RUNNING');
        replica.assign({ instanceId, taskId, workerId: 'w1', session: 's1' });
        replica.report(instanceId, taskId, replica.machine.appliedIndex, 'ok');
      }
      expect(replica.machine.instances.get(instanceId)!.status).toBe('COMPLETED');
    }
  });

  it('deleted and made again goes on counting its revisions', () => {
    replica.putWorkflow(workflowOf('w', LOG));
    replica.putWorkflow(workflowOf('w', LOG, { version: 2 }));
    replica.deleteWorkflow('w');
    replica.putWorkflow(workflowOf('w', LOG, { version: 3 }));
    expect(replica.machine.catalog.workflows.get('w')!.revision).toBe(3);
    expect(replica.machine.catalog.plan('w', 1).revision).toBe(1);
  });
});

describe('a cluster', () => {
  it('is named once', () => {
    replica.apply(COMMAND.bootstrap, Bootstrap, { clusterId: 'one', clusterName: 'x' });
    replica.apply(COMMAND.bootstrap, Bootstrap, { clusterId: 'two', clusterName: 'x' });
    expect(replica.machine.clusterId).toBe('one');
    replica.commit();
    expect(replica.reopened().machine.clusterId).toBe('one');
  });
});
