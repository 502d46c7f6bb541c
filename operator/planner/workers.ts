/** Pools of workers: a Deployment each, their number by the resource, by the queue, or by somebody else. */
import type { WorkerPool } from '../../api/cluster-resource.ts';
import { frozenTemplate } from './coordinators.ts';
import type { Action, DeploymentView, KubeObject, Observed, Step } from './model.ts';
import {
  FEWER_SINCE_ANNOTATION,
  HASH_ANNOTATION,
  labelsOf,
  ownedMetadata,
  ownerOf,
  selectorOf,
  TEMPLATE_ANNOTATION,
  workerName,
} from './names.ts';
import { workerTemplate } from './pod-template.ts';

const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost';

export function workers(observed: Observed): Step {
  const { spec, deployments, raft } = observed;
  const owner = ownerOf(observed);
  const actions: Action[] = [];
  const doing: string[] = [];
  for (const pool of spec.workers) {
    const there = deployments.find(({ pool: name }) => name === pool.name);
    // Workers get their certificates from coordinators: before there is a cluster they would only fail.
    if (there === undefined && raft === undefined) {
      doing.push(`workers of ${pool.name} wait for the cluster`);
      continue;
    }
    actions.push({ kind: 'apply', object: deployment(observed, pool, there) });
    if (there === undefined) continue;
    const wanted = wantedReplicas(observed, pool, there);
    if (wanted.mark !== undefined) actions.push(wanted.mark);
    if (wanted.replicas === undefined || wanted.replicas === there.replicas) continue;
    if (wanted.replicas < there.replicas) actions.push(...deletionCosts(observed, pool.name));
    actions.push({
      kind: 'patch',
      ref: { apiVersion: 'apps/v1', kind: 'Deployment', name: there.name },
      subresource: 'scale',
      patch: { spec: { replicas: wanted.replicas } },
    });
    doing.push(`${pool.name}: ${String(there.replicas)} to ${String(wanted.replicas)} workers`);
  }
  for (const { name, pool } of deployments) {
    if (spec.workers.some((wanted) => wanted.name === pool)) continue;
    actions.push({ kind: 'delete', ref: { apiVersion: 'apps/v1', kind: 'Deployment', name } });
    for (const kind of ['ConfigMap', 'PodDisruptionBudget']) {
      const apiVersion = kind === 'ConfigMap' ? 'v1' : 'policy/v1';
      actions.push({ kind: 'delete', ref: { apiVersion, kind, name: workerName(owner.name, pool) } });
    }
  }
  return { actions, ...(doing.length > 0 ? { doing: doing.join('; ') } : {}) };
}

/** Without `replicas`: whoever scales it owns that field, be it this operator by the scale subresource or an autoscaler. */
function deployment(observed: Observed, pool: WorkerPool, there: DeploymentView | undefined): KubeObject {
  const owner = ownerOf(observed);
  const name = workerName(owner.name, pool.name);
  const built = frozenTemplate(workerTemplate(owner, observed.spec, pool, observed.defaultImage), there);
  const metadata = ownedMetadata(owner, name, labelsOf(owner.name, 'worker', pool.name));
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      ...metadata,
      annotations: { [HASH_ANNOTATION]: built.hash, [TEMPLATE_ANNOTATION]: JSON.stringify(built.template) },
    },
    spec: {
      selector: { matchLabels: selectorOf(owner.name, 'worker', pool.name) },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: '25%' } },
      revisionHistoryLimit: 5,
      template: built.template,
    },
  };
}

interface Wanted {
  /** Undefined: somebody else decides. */
  replicas: number | undefined;
  /** Puts on record since when fewer would do, or that they would not. */
  mark?: Action;
}

function wantedReplicas(observed: Observed, pool: WorkerPool, there: DeploymentView): Wanted {
  const { spec, raft, nowMs } = observed;
  // Workers without coordinators would only wait; they stop first, and come back last.
  if (spec.managementPolicy === 'Hibernated') return { replicas: 0 };
  if (pool.replicas !== undefined) return { replicas: pool.replicas };
  const { autoscaling } = pool;
  if (autoscaling === undefined) return { replicas: there.replicas === 0 ? 1 : undefined };
  if (raft === undefined) return { replicas: undefined };
  const { minReplicas, maxReplicas, targetQueuedTasksPerWorker, scaleDownStabilizationSeconds } = autoscaling;
  const tasks = raft.queuedTasks + runningIn(observed, pool.name);
  const enough = Math.min(maxReplicas, Math.max(minReplicas, Math.ceil(tasks / targetQueuedTasksPerWorker)));
  const { fewerSinceMs } = there;
  if (enough >= there.replicas) {
    return { replicas: enough, ...(fewerSinceMs === undefined ? {} : { mark: mark(there, null) }) };
  }
  if (fewerSinceMs === undefined) return { replicas: undefined, mark: mark(there, String(nowMs)) };
  if (nowMs - fewerSinceMs < 1_000 * scaleDownStabilizationSeconds) return { replicas: undefined };
  return { replicas: enough, mark: mark(there, null) };
}

function mark({ name }: DeploymentView, since: string | null): Action {
  const ref = { apiVersion: 'apps/v1', kind: 'Deployment', name };
  return { kind: 'patch', ref, patch: { metadata: { annotations: { [FEWER_SINCE_ANNOTATION]: since } } } };
}

function runningIn({ pods, raft }: Observed, pool: string): number {
  const ids = new Set(pods.filter((pod) => pod.pool === pool).map(({ name }) => name));
  return (raft?.workers ?? []).reduce((sum, { id, running }) => (ids.has(id) ? sum + running : sum), 0);
}

/** Those that have least to do go first. */
function deletionCosts({ pods, raft }: Observed, pool: string): Action[] {
  return pods.flatMap((pod): Action[] => {
    if (pod.pool !== pool || pod.isDeleting) return [];
    const running = raft?.workers.find(({ id }) => id === pod.name)?.running ?? 0;
    const cost = String(Math.min(running, 2 ** 31 - 1));
    if ((pod.deletionCost ?? '0') === cost) return [];
    const ref = { apiVersion: 'v1', kind: 'Pod', name: pod.name };
    return [{ kind: 'patch', ref, patch: { metadata: { annotations: { [DELETION_COST]: cost } } } }];
  });
}
