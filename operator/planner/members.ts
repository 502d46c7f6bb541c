/**
 * Who is a member, against who is to be: joins, promotions, disks that were lost, departures. One change at a time,
 * always by member id, and none that the voters who are there could not carry.
 */
import type { MemberView, Observed, RaftView, Step } from './model.ts';
import { nodeNames, ordinalOf, ownerOf } from './names.ts';

/** As the coordinators themselves have it: a learner is caught up within so many entries. */
export const LAG_MAX = 1_000;

const isCaughtUp = ({ isActive, lag }: MemberView): boolean => isActive && lag !== undefined && lag <= LAG_MAX;

/** Would a majority of the voters that are there and caught up be left without `id`? */
export function hasQuorumWithout(raft: RaftView, id: string): boolean {
  const voters = raft.members.filter(({ role }) => role !== 'learner');
  const left = voters.filter((member) => member.id !== id && isCaughtUp(member)).length;
  return left * 2 > voters.length;
}

export function membership(observed: Observed): Step {
  const { raft, spec } = observed;
  if (raft === undefined) return { actions: [] };
  if (raft.isChanging) return { actions: [], doing: 'the voters are being changed', isBlocking: true };
  const wanted = nodeNames(ownerOf(observed).name, spec.coordinators.replicas);
  return (
    lostDisk(observed, raft) ??
    joined(observed, raft, wanted) ??
    promoted(raft, wanted) ??
    departed(raft, wanted) ?? { actions: [] }
  );
}

function lostDisk({ nodes, spec }: Observed, raft: RaftView): Step | undefined {
  const lost = raft.members.find(({ id, dataUuid }) => {
    const own = nodes.get(id)?.dataUuid;
    return dataUuid !== undefined && own !== undefined && own !== dataUuid;
  });
  if (lost === undefined) return undefined;
  const { id } = lost;
  if (spec.coordinators.memberReplacement === 'Manual') {
    return { actions: [], stalled: `the volume of ${id} was lost: distric members replace ${id}`, isBlocking: true };
  }
  if (lost.role !== 'learner' && !hasQuorumWithout(raft, id)) {
    return {
      actions: [],
      stalled: `the volume of ${id} was lost, and without it there is no majority`,
      isBlocking: true,
    };
  }
  const message = `${id} came back with another volume: it begins as a learner`;
  const event = { kind: 'event', type: 'Warning', reason: 'MemberReplaced', message } as const;
  return { actions: [{ kind: 'renew', node: id }, event], doing: `replaces the volume of ${id}`, isBlocking: true };
}

function joined({ nodes }: Observed, raft: RaftView, wanted: readonly string[]): Step | undefined {
  const missing = wanted.filter((node) => !raft.members.some(({ id }) => id === node));
  if (missing.length === 0) return undefined;
  const there = missing.find((node) => ['joining', 'removed'].includes(nodes.get(node)?.standing ?? ''));
  if (there === undefined) return { actions: [], doing: `waits for ${missing.join(' and ')} to start` };
  const message = `${there} joins as a learner`;
  const event = { kind: 'event', type: 'Normal', reason: 'MemberAdded', message } as const;
  return { actions: [{ kind: 'addLearner', node: there }, event], doing: message, isBlocking: true };
}

/** So many at once that the number of voters stays odd. */
function promoted(raft: RaftView, wanted: readonly string[]): Step | undefined {
  const learners = raft.members.filter(({ id, role }) => role === 'learner' && wanted.includes(id));
  if (learners.length === 0) return undefined;
  const voters = raft.members.filter(({ role }) => role === 'voter').length;
  const ready = learners.filter(isCaughtUp).map(({ id }) => id);
  const count = (voters + ready.length) % 2 === 1 ? ready.length : ready.length - 1;
  if (count <= 0) {
    return {
      actions: [],
      doing: `waits for ${learners.map(({ id }) => id).join(' and ')} to catch up`,
      isBlocking: true,
    };
  }
  const nodes = ready.slice(0, count);
  return { actions: [{ kind: 'promote', nodes }], doing: `${nodes.join(' and ')} become voters`, isBlocking: true };
}

function departed(raft: RaftView, wanted: readonly string[]): Step | undefined {
  const leaving = raft.members.filter(({ id }) => !wanted.includes(id)).map(({ id }) => id);
  if (leaving.length === 0) return undefined;
  if (leaving.includes(raft.leader)) {
    const to = raft.members.find(
      (member) => member.role === 'voter' && wanted.includes(member.id) && isCaughtUp(member),
    );
    if (to === undefined) return { actions: [], doing: 'waits for a voter that can lead on', isBlocking: true };
    return { actions: [{ kind: 'transfer', to: to.id }], doing: `hands the leadership to ${to.id}`, isBlocking: true };
  }
  const staying = raft.members.filter(({ id, role }) => role === 'voter' && wanted.includes(id));
  if (staying.filter(isCaughtUp).length * 2 <= staying.length) {
    return { actions: [], doing: 'waits for those who stay to catch up', isBlocking: true };
  }
  // Two voters at a time, the last ordinals first, so that their number stays odd.
  const nodes = leaving.sort((a, b) => (ordinalOf(b) ?? 0) - (ordinalOf(a) ?? 0)).slice(0, 2);
  const message = `${nodes.join(' and ')} leave the cluster`;
  const event = { kind: 'event', type: 'Normal', reason: 'MembersRemoved', message } as const;
  return { actions: [{ kind: 'remove', nodes }, event], doing: message, isBlocking: true };
}
