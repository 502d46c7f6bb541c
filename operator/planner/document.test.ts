import { describe, expect, it } from '@jest/globals';
import { documentStatus, moveFor, type Outcome, ownerName, type Wanted, wantedOf } from './document.ts';
import type { KubeObject } from './model.ts';

const OWNER = 'kubernetes/shop/Rule/large';
const NOW_MS = 1_800_000_000_000;

function rule(spec: object = {}, status?: object): KubeObject {
  return {
    apiVersion: 'distric.io/v1alpha1',
    kind: 'Rule',
    metadata: { name: 'large', namespace: 'shop', generation: 3 },
    spec: {
      clusterRef: { name: 'prod' },
      deletionPolicy: 'Delete',
      conditions: { field: 'amount', op: 'greater_than', value: 100 },
      actions: [{ workflow: 'review' }],
      ...spec,
    },
    ...(status === undefined ? {} : { status }),
  };
}

const wanted = (spec?: object): Wanted => wantedOf(rule(spec)) as Wanted;

describe('a document', () => {
  it('is the spec under the name of the resource, with its owner', () => {
    expect(wanted()).toMatchObject({
      id: 'large',
      document: { id: 'large', priority: 0, enabled: true, managedBy: OWNER },
    });
    expect(wanted().document).not.toHaveProperty('clusterRef');
    expect(wanted({ id: 'Large_Order' }).id).toBe('Large_Order');
    expect(ownerName(rule())).toBe(OWNER);
  });

  it('that the cluster would refuse is known with its reason', () => {
    const refused = wantedOf(rule({ conditions: { field: 'a', op: 'regex', value: '(' } }));
    expect('reason' in refused ? refused.reason : '').toContain('conditions');
  });

  it('has a hash that follows its content and nothing else', () => {
    expect(wanted().hash).toBe(wanted({ deletionPolicy: 'Retain' }).hash);
    expect(wanted().hash).not.toBe(wanted({ priority: 1 }).hash);
  });
});

describe('moveFor', () => {
  const there = { ...wanted().document, revision: 4, change: 'unchanged' };

  it('puts what is missing or differs', () => {
    expect(moveFor(wanted(), undefined, undefined)).toEqual({ kind: 'put', isDrift: false });
    expect(moveFor(wanted({ priority: 7 }), there, undefined)).toEqual({ kind: 'put', isDrift: false });
  });

  it('leaves alone what is there, whatever the coordinator tells beside it', () => {
    expect(moveFor(wanted(), there, undefined)).toEqual({ kind: 'none' });
  });

  it('knows a change behind its back', () => {
    const status = { appliedHash: wanted().hash };
    expect(moveFor(wanted(), { ...there, priority: 9 }, status)).toEqual({ kind: 'put', isDrift: true });
    expect(moveFor(wanted(), undefined, status)).toEqual({ kind: 'put', isDrift: true });
  });

  it('takes nothing from another owner, and takes over what has none', () => {
    expect(moveFor(wanted(), { ...there, managedBy: 'somebody' }, undefined)).toEqual({
      kind: 'taken',
      by: 'somebody',
    });
    const free = Object.fromEntries(Object.entries(wanted().document).filter(([name]) => name !== 'managedBy'));
    expect(moveFor(wanted(), free, undefined)).toEqual({ kind: 'put', isDrift: false });
  });
});

describe('documentStatus', () => {
  const conditionsOf = (outcome: Outcome, before?: object) => {
    const { conditions = [] } = documentStatus(rule({}, before), outcome, NOW_MS);
    return Object.fromEntries(conditions.map(({ type, status, reason }) => [type, `${status} ${reason}`]));
  };

  it.each<[string, Outcome, Record<string, string>]>([
    [
      'synced',
      { kind: 'synced', hash: 'h', remote: { revision: 2 } },
      { Accepted: 'True Accepted', Synced: 'True Synced', Ready: 'True Ready', Stalled: 'False Fine' },
    ],
    [
      'waiting for a type',
      { kind: 'synced', hash: 'h', remote: { waiting_for_types: ['ml'] } },
      { Accepted: 'True Accepted', Synced: 'True Synced', Ready: 'False WaitingForType', Stalled: 'False Fine' },
    ],
    [
      'rejected',
      { kind: 'rejected', reason: 'no such op' },
      { Accepted: 'False Rejected', Synced: 'False Rejected', Ready: 'False Rejected', Stalled: 'True Rejected' },
    ],
    [
      'waiting for its workflow',
      { kind: 'waiting', reason: 'WaitingForWorkflow', message: 'there is no workflow' },
      {
        Accepted: 'Unknown WaitingForWorkflow',
        Synced: 'False WaitingForWorkflow',
        Ready: 'False WaitingForWorkflow',
        Stalled: 'False Fine',
      },
    ],
  ])('says %s', (_name, outcome, expected) => {
    expect(conditionsOf(outcome)).toEqual(expected);
  });

  it('keeps what was applied while it waits', () => {
    const waiting: Outcome = { kind: 'waiting', reason: 'ClusterUnavailable', message: 'no leader' };
    const before = { appliedHash: 'h', remoteVersion: '2' };
    expect(documentStatus(rule({}, before), waiting, NOW_MS)).toMatchObject({ ...before, observedGeneration: 3 });
  });
});
