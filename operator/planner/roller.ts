/**
 * Restarts of coordinators that are out of date: first those that do not take part anyway, then followers one by one,
 * each only while a caught-up majority is there without it, and the leader last, after it handed over.
 */
import type { Action, Observed, PodView, Step } from './model.ts';
import { hasQuorumWithout, LAG_MAX } from './members.ts';

export function roller(observed: Observed, wantedHash: string): Step {
  const pods = observed.pods.filter(({ role }) => role === 'coordinator');
  const outdated = pods.filter(({ hash }) => hash !== wantedHash);
  const done = `${String(pods.length - outdated.length)} of ${String(pods.length)} coordinators are up to date`;
  if (outdated.length === 0) return { actions: [] };
  if (pods.some(({ isDeleting }) => isDeleting)) return { actions: [], doing: `${done}; one is restarting` };
  const unfit = pods.find((pod) => !pod.ready || !isCaughtUp(observed, pod));
  if (unfit !== undefined) {
    const why = unfit.waiting === undefined ? 'to be ready and caught up' : `(${unfit.waiting})`;
    return { actions: [], doing: `${done}; waits for ${unfit.name} ${why}` };
  }
  const { raft } = observed;
  if (raft === undefined) return { actions: [], doing: `${done}; waits for a leader` };
  const next = outdated.find(({ name }) => name !== raft.leader) ?? outdated[0];
  if (next === undefined) return { actions: [] };
  const isAlone = raft.members.filter(({ role }) => role === 'voter').length === 1;
  if (!isAlone && !hasQuorumWithout(raft, next.name)) {
    return { actions: [], doing: `${done}; waits for a majority without ${next.name}` };
  }
  if (next.name === raft.leader && !isAlone) {
    const to = raft.members.find(
      ({ id, role, lag }) => id !== next.name && role === 'voter' && lag !== undefined && lag <= LAG_MAX,
    );
    if (to !== undefined)
      return { actions: [{ kind: 'transfer', to: to.id }], doing: `${done}; ${to.id} takes the lead` };
  }
  return { actions: [restart(next)], doing: `${done}; restarts ${next.name}` };
}

/**
 * Outdated ones that do not run or take part: they can't be hurt, and what they were given may be what is wrong, so
 * nothing waits for them. A bad image is put right by naming a good one.
 */
export function brokenFirst(observed: Observed, wantedHash: string): Step {
  const broken = observed.pods.filter(
    (pod) =>
      pod.role === 'coordinator' &&
      pod.hash !== wantedHash &&
      !pod.ready &&
      !pod.isDeleting &&
      (pod.waiting !== undefined || (observed.raft !== undefined && !takesPart(observed, pod))),
  );
  if (broken.length === 0) return { actions: [] };
  return { actions: broken.map(restart), doing: `restarts ${broken.map(({ name }) => name).join(', ')}` };
}

function restart({ name, uid }: PodView): Action {
  return { kind: 'delete', ref: { apiVersion: 'v1', kind: 'Pod', name, uid } };
}

/** Its vote may be needed: the leader hears it. */
function takesPart({ raft }: Observed, { name }: PodView): boolean {
  return raft !== undefined && raft.members.some(({ id, isActive }) => id === name && isActive);
}

function isCaughtUp({ raft }: Observed, { name }: PodView): boolean {
  const member = raft?.members.find(({ id }) => id === name);
  return member === undefined || (member.isActive && (member.lag ?? Infinity) <= LAG_MAX);
}
