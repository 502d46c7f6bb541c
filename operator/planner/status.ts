/** What the resource says of its cluster. */
import type { ClusterResourceStatus } from '../../api/cluster-resource.ts';
import type { Condition } from '../../api/resources.ts';
import type { Observed, Step } from './model.ts';
import { LAG_MAX } from './members.ts';
import { imageOf } from './pod-template.ts';
import { certificatesUntilMs } from './tls.ts';
import { isoTime } from '../../base/iso-time.ts';

const STORAGE_SHARE_MAX = 0.8;

type Verdict = Pick<Condition, 'status' | 'reason' | 'message'>;
const verdict = (isTrue: boolean | undefined, reason: string, message: string): Verdict => ({
  status: isTrue === undefined ? 'Unknown' : isTrue ? 'True' : 'False',
  reason,
  message,
});

/** As before where nothing changed, so that a status that says the same is the same. */
export function withCondition(
  before: readonly Condition[],
  type: string,
  given: Verdict,
  nowMs: number,
  observedGeneration: number,
): Condition {
  const earlier = before.find((condition) => condition.type === type);
  const isSame = earlier?.status === given.status;
  const lastTransitionTime = isSame ? earlier.lastTransitionTime : `${isoTime(nowMs).slice(0, 19)}Z`;
  return { type, ...given, lastTransitionTime, observedGeneration };
}

export function statusOf(observed: Observed, steps: readonly Step[]): ClusterResourceStatus {
  const { resource, raft, pods, spec, nowMs, founding } = observed;
  const generation = resource.metadata.generation ?? 0;
  const before = resource.status?.conditions ?? [];
  const verdicts = conditionsOf(observed, steps);
  const conditions = Object.entries(verdicts).map(([type, given]) =>
    withCondition(before, type, given, nowMs, generation),
  );
  const ready = (role: string): number => pods.filter((pod) => pod.role === role && pod.ready).length;
  const clusterID = raft?.clusterId ?? founding?.clusterId;
  const untilMs = certificatesUntilMs(observed);
  return {
    observedGeneration: generation,
    phase: phaseOf(observed, verdicts),
    ...(clusterID === undefined ? {} : { clusterID }),
    ...(raft === undefined
      ? {}
      : {
          leader: raft.leader,
          term: String(raft.term),
          catalogVersion: String(raft.catalogVersion),
          queuedTasks: raft.queuedTasks,
        }),
    readyCoordinators: ready('coordinator'),
    readyWorkers: ready('worker'),
    image: pods.find(({ role }) => role === 'coordinator')?.image ?? imageOf(spec, observed.defaultImage),
    ...(untilMs === undefined ? {} : { certificatesUntil: isoTime(untilMs) }),
    members: membersOf(observed),
    workers: poolsOf(observed),
    conditions,
  };
}

function conditionsOf(observed: Observed, steps: readonly Step[]): Record<string, Verdict> {
  const { raft, spec, pki, nowMs } = observed;
  const doing = steps.flatMap((step) => step.doing ?? []);
  const stalled = steps.flatMap((step) => step.stalled ?? []);
  const voters = raft?.members.filter(({ role }) => role === 'voter') ?? [];
  const active = voters.filter(({ isActive }) => isActive).length;
  const late = (raft?.members ?? []).filter(({ isActive, lag }) => !isActive || (lag ?? Infinity) > LAG_MAX);
  const isQuorate = raft !== undefined && active * 2 > voters.length;
  const full = (raft?.members ?? []).filter(({ storageShare = 0 }) => storageShare >= STORAGE_SHARE_MAX);
  const isWhole = voters.length === spec.coordinators.replicas && late.length === 0;
  const isSleeping = spec.managementPolicy === 'Hibernated';
  const untilMs = certificatesUntilMs(observed);
  const isValid = spec.tls.mode === 'Disabled' || (untilMs !== undefined && untilMs > nowMs && pki.trusted > 0);
  const isReady = isQuorate && isWhole && !isSleeping;
  return {
    Ready: isSleeping
      ? verdict(false, 'Hibernated', 'the cluster sleeps; its volumes are kept')
      : verdict(
          isReady,
          isReady ? 'Ready' : stalled.length > 0 ? 'Stalled' : isQuorate ? 'NotWhole' : 'NoQuorum',
          stalled[0] ??
            doing[0] ??
            (isReady ? `${raft.leader} leads ${String(voters.length)} voters` : 'not all coordinators are in'),
        ),
    QuorumAvailable: verdict(
      isQuorate,
      isQuorate ? 'Quorum' : 'NoLeader',
      raft === undefined
        ? 'no coordinator in reach leads'
        : `${String(active)} of ${String(voters.length)} voters answer`,
    ),
    MembersInSync: verdict(
      raft === undefined ? undefined : late.length === 0,
      late.length === 0 ? 'InSync' : 'Lagging',
      late.length === 0 ? 'every member has the log' : `${late.map(({ id }) => id).join(', ')} lag or do not answer`,
    ),
    StorageHealthy: verdict(
      raft === undefined ? undefined : full.length === 0,
      full.length === 0 ? 'Room' : 'FillingUp',
      full.length === 0 ? 'there is room' : `${full.map(({ id }) => id).join(', ')}: over 80 % full`,
    ),
    CertificatesValid: verdict(
      isValid,
      spec.tls.mode === 'Disabled' ? 'Disabled' : isValid ? 'Valid' : 'Expired',
      spec.tls.mode === 'Disabled'
        ? 'nodes talk without TLS'
        : untilMs === undefined
          ? 'none yet'
          : `until ${isoTime(untilMs)}`,
    ),
    Reconciling: verdict(
      doing.length > 0,
      doing.length > 0 ? 'Working' : 'Settled',
      doing.length > 0 ? doing.join('; ') : 'everything is as it is to be',
    ),
    Stalled: verdict(
      stalled.length > 0,
      stalled.length > 0 ? 'NeedsHelp' : 'Fine',
      stalled.join('; ') || 'nothing needs help',
    ),
  };
}

function phaseOf({ spec }: Observed, verdicts: Record<string, Verdict>): string {
  if (spec.managementPolicy !== 'Managed') return spec.managementPolicy;
  if (verdicts['Stalled']?.status === 'True') return 'Stalled';
  if (verdicts['Reconciling']?.status === 'True')
    return verdicts['Ready']?.status === 'True' ? 'Updating' : 'Progressing';
  return verdicts['Ready']?.status === 'True' ? 'Ready' : 'Degraded';
}

const ROLES = { voter: 'Voter', learner: 'Learner', leaving: 'Leaving' } as const;

function membersOf({ raft, nodes }: Observed): NonNullable<ClusterResourceStatus['members']> {
  return (raft?.members ?? []).map(({ id, role, lag, isActive, storageShare, dataUuid }) => {
    const appliedIndex = nodes.get(id)?.appliedIndex;
    return {
      id: dataUuid ?? id,
      name: id,
      role: ROLES[role],
      state: id === raft?.leader ? 'leader' : isActive ? 'follower' : 'unreachable',
      // Rounded, or every message would be a change of the resource.
      ...(appliedIndex === undefined ? {} : { appliedIndex: String(appliedIndex - (appliedIndex % LAG_MAX)) }),
      ...(lag === undefined ? {} : { lag: String(lag > LAG_MAX ? lag : 0) }),
      ...(storageShare === undefined ? {} : { storagePercent: Math.round(100 * storageShare) }),
    };
  });
}

function poolsOf({ deployments, pods, raft }: Observed): NonNullable<ClusterResourceStatus['workers']> {
  return deployments.map(({ pool, replicas, readyReplicas }) => {
    const ids = new Set(pods.filter((pod) => pod.pool === pool).map(({ name }) => name));
    const own = (raft?.workers ?? []).filter(({ id }) => ids.has(id));
    const sum = (of: 'running' | 'capacity'): number => own.reduce((total, worker) => total + worker[of], 0);
    return { pool, replicas, ready: readyReplicas, running: sum('running'), capacity: sum('capacity') };
  });
}
