import { describe, expect, it } from '@jest/globals';
import type { Action, KubeObject, Observed } from './model.ts';
import { plan } from './plan.ts';
import {
  CLUSTER_ID,
  claimOf,
  diskOf,
  IMAGE,
  memberOf,
  node,
  nodeOf,
  NOW_MS,
  observedOf,
  podOf,
  raftOf,
} from './test-observed.ts';

const DAY_MS = 86_400_000;
const GI = 2 ** 30;

/** What is done beside applying what is there already. */
function moves(observed: Observed): Action[] {
  return plan(observed).actions.filter(({ kind }) => kind !== 'apply' && kind !== 'event');
}

function applied(observed: Observed, kind: string): KubeObject[] {
  const actions = plan(observed).actions.flatMap((action) => (action.kind === 'apply' ? [action.object] : []));
  return actions.filter((object) => object.kind === kind);
}

function condition(observed: Observed, type: string) {
  return plan(observed).status.conditions?.find((one) => one.type === type);
}

const oldPods = (change: Parameters<typeof podOf>[1] = {}) => [0, 1, 2].map((ordinal) => podOf(ordinal, change));
const spec5 = { coordinators: { replicas: 5 } };

describe('a cluster that is as it is to be', () => {
  it('is left alone, and says so', () => {
    const observed = observedOf({ workers: [{ name: 'default', replicas: 2 }] });
    expect(moves(observed)).toEqual([]);
    const { status, requeueMs } = plan(observed);
    expect(status).toMatchObject({ phase: 'Ready', leader: node(0), term: '3', clusterID: CLUSTER_ID });
    expect(condition(observed, 'Ready')).toMatchObject({ status: 'True', observedGeneration: 2 });
    expect(requeueMs).toBeGreaterThan(10_000);
  });

  it('keeps the times of its conditions', () => {
    const first = observedOf();
    const { conditions = [] } = plan(first).status;
    const later = observedOf({}, { nowMs: NOW_MS + DAY_MS });
    later.resource.status = { conditions };
    expect(plan(later).status.conditions).toEqual(conditions);
  });

  it('is looked at and not touched while it is paused', () => {
    const observed = observedOf({ managementPolicy: 'Paused' }, { pods: oldPods(), statefulSet: undefined });
    expect(plan(observed).actions).toEqual([]);
    expect(plan(observed).status.phase).toBe('Paused');
  });
});

describe('founding', () => {
  const fresh = { founding: undefined, raft: undefined };
  const joining = (ordinal: number) => nodeOf(ordinal, { standing: 'joining', clusterId: '', leader: undefined });

  it('puts the first disk on record, and gives no order in the same breath', () => {
    const observed = observedOf({}, { ...fresh, nodes: new Map([[node(0), joining(0)]]) });
    const [create, ...rest] = moves(observed);
    expect(create).toMatchObject({
      kind: 'create',
      object: { metadata: { name: 'prod-founding' }, stringData: { clusterId: 'new-id', dataUuid: diskOf(0) } },
    });
    expect(rest).toEqual([]);
  });

  it('orders the very disk on record to begin', () => {
    const observed = observedOf({}, { raft: undefined, nodes: new Map([[node(0), joining(0)]]) });
    expect(moves(observed)).toEqual([
      { kind: 'found', minVoters: 3, clusterId: CLUSTER_ID, dataUuid: diskOf(0), node: node(0) },
    ]);
  });

  it('never founds a second cluster on an empty disk', () => {
    const wiped = nodeOf(0, { standing: 'joining', clusterId: '', dataUuid: 'another' });
    const observed = observedOf({}, { raft: undefined, nodes: new Map([[node(0), wiped]]) });
    expect(moves(observed)).toEqual([]);
    expect(condition(observed, 'Stalled')).toMatchObject({ status: 'True' });
  });

  it('goes on with volumes that outlived their cluster', () => {
    const observed = observedOf({}, { ...fresh, nodes: new Map([[node(1), nodeOf(1)]]) });
    expect(moves(observed)).toMatchObject([{ kind: 'create', object: { stringData: { clusterId: CLUSTER_ID } } }]);
  });

  it('waits for the first coordinator to answer', () => {
    const observed = observedOf({}, { ...fresh, nodes: new Map([[node(1), joining(1)]]) });
    expect(moves(observed)).toEqual([]);
    expect(condition(observed, 'Reconciling')?.message).toContain(node(0));
  });
});

describe('members', () => {
  it.each<[string, Observed, Action[]]>([
    [
      'join one at a time',
      observedOf(
        {},
        {
          raft: raftOf([memberOf(0)]),
          nodes: new Map([0, 1, 2].map((i) => [node(i), nodeOf(i, i === 0 ? {} : { standing: 'joining' })])),
        },
      ),
      [{ kind: 'addLearner', node: node(1) }],
    ],
    [
      'are promoted as a pair',
      observedOf(
        {},
        { raft: raftOf([memberOf(0), memberOf(1, { role: 'learner' }), memberOf(2, { role: 'learner' })]) },
      ),
      [{ kind: 'promote', nodes: [node(1), node(2)] }],
    ],
    [
      'wait for the second learner, so that the number of voters stays odd',
      observedOf(
        {},
        { raft: raftOf([memberOf(0), memberOf(1, { role: 'learner' }), memberOf(2, { role: 'learner', lag: 5_000 })]) },
      ),
      [],
    ],
    [
      'wait while another change is under way',
      observedOf(spec5, {
        raft: raftOf(
          [0, 1, 2].map((i) => memberOf(i)),
          { isChanging: true },
        ),
      }),
      [],
    ],
    [
      'leave by their ids, two at a time',
      observedOf({}, { raft: raftOf([0, 1, 2, 3, 4].map((i) => memberOf(i))) }),
      [{ kind: 'remove', nodes: [node(4), node(3)] }],
    ],
    [
      'hand the leadership on before they leave',
      observedOf(
        {},
        {
          raft: raftOf(
            [0, 1, 2, 3, 4].map((i) => memberOf(i)),
            { leader: node(4) },
          ),
        },
      ),
      [{ kind: 'transfer', to: node(0) }],
    ],
    [
      'stay when those who stay could not decide alone',
      observedOf({}, { raft: raftOf([0, 1, 2, 3, 4].map((i) => memberOf(i, { isActive: i === 0 || i > 2 }))) }),
      [],
    ],
  ])('%s', (_name, observed, expected) => {
    expect(moves(observed)).toEqual(expected);
  });

  it('with a lost disk are replaced while a majority is left without them', () => {
    const nodes = new Map(
      [0, 1, 2].map((i) => [node(i), nodeOf(i, i === 2 ? { dataUuid: 'new', standing: 'wrong disk' } : {})]),
    );
    expect(moves(observedOf({}, { nodes }))).toEqual([{ kind: 'renew', node: node(2) }]);
    const weak = raftOf([memberOf(0), memberOf(1, { isActive: false }), memberOf(2)]);
    expect(moves(observedOf({}, { nodes, raft: weak }))).toEqual([]);
    expect(condition(observedOf({}, { nodes, raft: weak }), 'Stalled')?.status).toBe('True');
    const manual = observedOf({ coordinators: { memberReplacement: 'Manual' } }, { nodes });
    expect(moves(manual)).toEqual([]);
    expect(condition(manual, 'Stalled')?.message).toContain('distric members replace');
  });
});

describe('replicas', () => {
  const replicasOf = (observed: Observed) =>
    applied(observed, 'StatefulSet').map(({ spec }) => (spec as { replicas: number }).replicas);

  it('are more at once, with their certificates first', () => {
    const observed = observedOf(spec5);
    observed.statefulSet!.replicas = 3;
    const small = { ...observed, pki: { ...observed.pki, nodes: new Map([...observed.pki.nodes].slice(0, 3)) } };
    const { actions } = plan(small);
    const issue = actions.findIndex(({ kind }) => kind === 'issueNodes');
    const apply = actions.findIndex((action) => action.kind === 'apply' && action.object.kind === 'StatefulSet');
    expect(issue).toBeGreaterThanOrEqual(0);
    expect(issue).toBeLessThan(apply);
    expect(replicasOf(small)).toEqual([5]);
  });

  it('are fewer only once nobody of those is a member', () => {
    const shrinking = (members: number[]) => {
      const observed = observedOf({}, { raft: raftOf(members.map((i) => memberOf(i))) });
      observed.statefulSet!.replicas = 5;
      return observed;
    };
    expect(replicasOf(shrinking([0, 1, 2, 3, 4]))).toEqual([5]);
    expect(replicasOf(shrinking([0, 1, 2]))).toEqual([3]);
    expect(replicasOf({ ...shrinking([0, 1, 2]), raft: undefined })).toEqual([5]);
  });

  it('give their volumes up then, unless they are to be kept', () => {
    const claims = [0, 1, 2, 3].map((ordinal) => claimOf(ordinal, { isUsed: ordinal < 3 }));
    const ref = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name: 'data-prod-coordinator-3' };
    expect(moves(observedOf({}, { claims }))).toEqual([{ kind: 'delete', ref }]);
    const kept = { coordinators: { volumeRetention: { whenScaled: 'Retain' } } };
    expect(moves(observedOf(kept, { claims }))).toEqual([]);
    const member = raftOf([0, 1, 2, 3].map((i) => memberOf(i, { role: i === 3 ? 'learner' : 'voter' })));
    expect(moves(observedOf({}, { claims, raft: member })).map(({ kind }) => kind)).not.toContain('delete');
  });
});

describe('the roller', () => {
  it('restarts followers one by one, the leader last', () => {
    expect(moves(observedOf({}, { pods: oldPods() }))).toMatchObject([
      { kind: 'delete', ref: { name: node(1), uid: 'p-1' } },
    ]);
    const current = observedOf().pods;
    const onlyLeader = [podOf(0), ...current.slice(1)];
    expect(moves(observedOf({}, { pods: onlyLeader }))).toEqual([{ kind: 'transfer', to: node(1) }]);
    const raft = raftOf(
      [0, 1, 2].map((i) => memberOf(i)),
      { leader: node(1) },
    );
    expect(moves(observedOf({}, { pods: onlyLeader, raft }))).toMatchObject([
      { kind: 'delete', ref: { name: node(0) } },
    ]);
  });

  it.each<[string, Partial<Observed>]>([
    ['one is restarting', { pods: [podOf(0), podOf(1, { isDeleting: true }), podOf(2)] }],
    ['one that is new is not ready yet', { pods: [podOf(0), podOf(1), { ...observedOf().pods[2]!, ready: false }] }],
    ['a follower lags', { pods: oldPods(), raft: raftOf([memberOf(0), memberOf(1, { lag: 9_999 }), memberOf(2)]) }],
    [
      'a follower does not answer',
      { pods: oldPods(), raft: raftOf([memberOf(0), memberOf(1, { isActive: false }), memberOf(2)]) },
    ],
    ['nobody leads', { pods: oldPods(), raft: undefined }],
  ])('waits while %s', (_name, change) => {
    expect(moves(observedOf({}, change)).filter(({ kind }) => kind === 'delete')).toEqual([]);
  });

  it('stops at the first pod of a bad image, and starts there when it is put right', () => {
    const stuck = { ready: false, waiting: 'ImagePullBackOff' };
    const raft = raftOf([memberOf(0), memberOf(1), memberOf(2, { isActive: false })]);
    const bad = [podOf(0), podOf(1), { ...observedOf().pods[2]!, ...stuck }];
    expect(moves(observedOf({}, { pods: bad, raft }))).toEqual([]);
    expect(condition(observedOf({}, { pods: bad, raft }), 'Reconciling')?.message).toContain('ImagePullBackOff');
    const good = [podOf(0), podOf(1), podOf(2, stuck)];
    expect(moves(observedOf({}, { pods: good, raft }))).toMatchObject([{ kind: 'delete', ref: { name: node(2) } }]);
  });

  it('recovers a cluster that never began for a bad image', () => {
    const pods = oldPods({ ready: false, waiting: 'ErrImagePull' });
    const observed = observedOf({}, { pods, raft: undefined, founding: undefined, nodes: new Map() });
    expect(moves(observed)).toHaveLength(3);
  });

  it('restarts nothing for a new release of the operator that builds pods otherwise', () => {
    const observed = observedOf();
    const earlier = { spec: { containers: [{ name: 'as it was' }] } };
    observed.statefulSet!.template = earlier;
    expect(moves(observed)).toEqual([]);
    expect(applied(observed, 'StatefulSet')).toMatchObject([{ spec: { template: earlier } }]);
  });

  it('restarts nothing for replicas, certificates or the size of volumes', () => {
    const before = observedOf().statefulSet!.hash;
    const changed = observedOf({ ...spec5, coordinators: { replicas: 5, memberReplacement: 'Manual' } });
    expect(changed.statefulSet!.hash).toBe(before);
    expect(observedOf({ image: { tag: '2' } }).statefulSet!.hash).not.toBe(before);
    expect(observedOf({ parameters: { raft: { profile: 'fast' } } }).statefulSet!.hash).not.toBe(before);
  });
});

describe('volumes', () => {
  const larger = { coordinators: { storage: { size: '40Gi' } } };

  it('grow before anything waits for health', () => {
    const claims = [0, 1, 2].map((ordinal) => claimOf(ordinal));
    const observed = observedOf(larger, { claims, raft: undefined, nodes: new Map() });
    observed.statefulSet!.claimBytes = 20 * GI;
    const actions = moves(observed);
    expect(actions.slice(0, 3)).toMatchObject(
      [0, 1, 2].map((i) => ({ kind: 'patch', ref: { name: claimOf(i).name } })),
    );
    expect(actions[3]).toMatchObject({ kind: 'delete', orphan: true, ref: { kind: 'StatefulSet', uid: 's-1' } });
  });

  it('belong to the resource when they are to go with it', () => {
    const observed = observedOf({ coordinators: { volumeRetention: { whenDeleted: 'Delete' } } });
    expect(moves(observed)).toHaveLength(3);
    expect(moves(observed)[0]).toMatchObject({ patch: { metadata: { ownerReferences: [{ uid: 'u-1' }] } } });
  });
});

describe('workers', () => {
  const pool = { name: 'default', autoscaling: { maxReplicas: 5, targetQueuedTasksPerWorker: 10 } };
  const scaled = (queuedTasks: number, change: object = {}, now = NOW_MS) => {
    const raft = raftOf(
      [0, 1, 2].map((i) => memberOf(i)),
      { queuedTasks },
    );
    const observed = observedOf({ workers: [pool] }, { raft, nowMs: now });
    Object.assign(observed.deployments[0]!, change);
    return observed;
  };

  it('follow the queue up, within their bounds', () => {
    expect(moves(scaled(35))).toMatchObject([{ subresource: 'scale', patch: { spec: { replicas: 4 } } }]);
    expect(moves(scaled(900))).toMatchObject([{ patch: { spec: { replicas: 5 } } }]);
  });

  it('become fewer only when fewer were enough for long', () => {
    expect(moves(scaled(0, { replicas: 4 }))).toMatchObject([
      { patch: { metadata: { annotations: { 'distric.io/fewer-since': String(NOW_MS) } } } },
    ]);
    expect(moves(scaled(0, { replicas: 4, fewerSinceMs: NOW_MS - 60_000 }))).toEqual([]);
    const late = moves(scaled(0, { replicas: 4, fewerSinceMs: NOW_MS - 301_000 }));
    expect(late).toMatchObject([{ patch: { metadata: {} } }, { patch: { spec: { replicas: 1 } } }]);
  });

  it('are left to whoever scales them when nobody says how many', () => {
    const observed = observedOf({ workers: [{ name: 'default' }] });
    observed.deployments[0]!.replicas = 7;
    expect(moves(observed)).toEqual([]);
    expect(applied(observed, 'Deployment')[0]!['spec']).not.toHaveProperty('replicas');
  });

  it('that have least to do go first', () => {
    const observed = observedOf({ workers: [{ name: 'default', replicas: 1 }] });
    observed.deployments[0]!.replicas = 2;
    const worker = (name: string) => podOf(0, { name, role: 'worker', pool: 'default' });
    const busy = raftOf(observed.raft!.members, { workers: [{ id: 'w1', status: 'alive', running: 3, capacity: 8 }] });
    const actions = moves({ ...observed, raft: busy, pods: [...observed.pods, worker('w1'), worker('w2')] });
    expect(actions).toMatchObject([
      {
        ref: { name: 'w1' },
        patch: { metadata: { annotations: { 'controller.kubernetes.io/pod-deletion-cost': '3' } } },
      },
      { subresource: 'scale' },
    ]);
  });

  it('come after the cluster, and go when their pool does', () => {
    const early = observedOf({ workers: [pool] }, { deployments: [], raft: undefined });
    expect(applied(early, 'Deployment')).toEqual([]);
    const gone = observedOf({}, { deployments: observedOf({ workers: [pool] }).deployments });
    expect(moves(gone)).toMatchObject([
      { kind: 'delete', ref: { kind: 'Deployment', name: 'prod-worker-default' } },
      { kind: 'delete', ref: { kind: 'ConfigMap' } },
      { kind: 'delete', ref: { kind: 'PodDisruptionBudget' } },
    ]);
  });
});

describe('certificates', () => {
  const pkiOf = (change: Partial<Observed['pki']>) => observedOf({}, { pki: { ...observedOf().pki, ...change } });

  it('are made before pods need them, the authority first', () => {
    const none = pkiOf({ authorityUntilMs: undefined, trusted: 0, nodes: new Map() });
    expect(plan(none).actions).toEqual([{ kind: 'makeAuthority', step: 'create' }]);
  });

  it('are made anew when a third of their life is left', () => {
    const nodes = new Map([0, 1, 2].map((i) => [node(i), NOW_MS + (i === 1 ? 29 : 80) * DAY_MS]));
    expect(moves(pkiOf({ nodes }))).toEqual([{ kind: 'issueNodes', nodes: [node(0), node(1), node(2)] }]);
    expect(moves(pkiOf({ operatorUntilMs: NOW_MS + DAY_MS }))).toEqual([{ kind: 'issueOperator' }]);
    expect(moves(pkiOf({ joinTokenUntilMs: NOW_MS + DAY_MS }))).toEqual([{ kind: 'issueJoinToken' }]);
  });

  it('of a new authority follow in steps that leave time between', () => {
    const ending = { authorityUntilMs: NOW_MS + 100 * DAY_MS };
    expect(moves(pkiOf(ending))).toEqual([{ kind: 'makeAuthority', step: 'trust' }]);
    expect(moves(pkiOf({ ...ending, trusted: 2, changedMs: NOW_MS - 1_000 }))).toEqual([]);
    const waited = { trusted: 2, changedMs: NOW_MS - 600_000 };
    expect(moves(pkiOf({ ...ending, ...waited }))).toEqual([{ kind: 'makeAuthority', step: 'switch' }]);
    expect(moves(pkiOf(waited))).toEqual([{ kind: 'makeAuthority', step: 'drop' }]);
  });

  it('and secrets that are missing are made, and nothing else before', () => {
    const observed = observedOf({}, { secrets: new Set(['prod-gossip']) });
    expect(plan(observed).actions).toEqual([
      { kind: 'makeSecret', secret: 'admin', name: 'prod-admin' },
      { kind: 'makeSecret', secret: 'join', name: 'prod-join' },
    ]);
    const given = observedOf(
      { auth: { adminSecretRef: { name: 'mine' } }, tls: { mode: 'Disabled' } },
      { secrets: new Set(['prod-gossip']) },
    );
    expect(moves(given)).toEqual([]);
  });
});

describe('hibernation', () => {
  const asleep = { managementPolicy: 'Hibernated', workers: [{ name: 'default', replicas: 2 }] };

  it('stops the workers, then the coordinators, and keeps the volumes', () => {
    const observed = observedOf(asleep);
    const worker = podOf(9, { name: 'w', role: 'worker', pool: 'default' });
    const first = { ...observed, pods: [...observed.pods, worker] };
    expect(moves(first).at(-1)).toMatchObject({ subresource: 'scale', patch: { spec: { replicas: 0 } } });
    expect(applied(first, 'StatefulSet')).toEqual([]);
    expect(applied(observed, 'StatefulSet')).toMatchObject([{ spec: { replicas: 0 } }]);
    expect(plan(observed).status.phase).toBe('Hibernated');
    expect(moves(observed).filter(({ kind }) => kind === 'delete')).toEqual([]);
  });
});

describe('objects', () => {
  it('have no disruption budget for one replica', () => {
    expect(applied(observedOf(), 'PodDisruptionBudget')).toHaveLength(1);
    expect(applied(observedOf({ coordinators: { replicas: 1 } }), 'PodDisruptionBudget')).toEqual([]);
  });

  it('fit the restricted Pod Security level', () => {
    const observed = observedOf({ workers: [{ name: 'default', replicas: 1, plugins: [{ configMap: 'mine' }] }] });
    const makers = [...applied(observed, 'StatefulSet'), ...applied(observed, 'Deployment')];
    expect(makers).toHaveLength(2);
    for (const { spec } of makers) {
      expect(spec).toMatchObject({
        template: {
          spec: {
            automountServiceAccountToken: false,
            securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
            containers: [
              {
                image: IMAGE,
                securityContext: {
                  allowPrivilegeEscalation: false,
                  readOnlyRootFilesystem: true,
                  capabilities: { drop: ['ALL'] },
                },
              },
            ],
          },
        },
      });
    }
  });

  it('for Prometheus are made where their kinds are known', () => {
    const wanted = { monitoring: { serviceMonitor: { enabled: true }, prometheusRule: { enabled: true } } };
    expect(applied(observedOf(wanted), 'PodMonitor')).toEqual([]);
    const knownKinds = new Set(['PodMonitor', 'PrometheusRule']);
    expect(applied(observedOf(wanted, { knownKinds }), 'PodMonitor')).toHaveLength(1);
    expect(applied(observedOf(wanted, { knownKinds }), 'PrometheusRule')).toHaveLength(1);
  });
});
