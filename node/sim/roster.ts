/** Which coordinators are members, seen from outside: by the newest change of the members that any of them has applied. */
import { isDiskOf, isJoint, memberInfo, type Membership, members, quorum } from '../core/raft/membership.ts';
import type { SimCoordinator } from './sim-coordinator.ts';

export class Roster {
  readonly nodes: readonly SimCoordinator[];
  #index = 0;
  current: Membership;

  constructor(nodes: readonly SimCoordinator[], current: Membership) {
    this.nodes = nodes;
    this.current = current;
  }

  changed(index: number, membership: Membership): void {
    if (index <= this.#index) return;
    this.#index = index;
    this.current = membership;
  }

  /** Coordinators that clients are told of. */
  get members(): readonly SimCoordinator[] {
    const ids = members(this.current);
    return this.nodes.filter(({ id }) => ids.includes(id));
  }

  /** The newest of them that leads, if any does. */
  get leader(): SimCoordinator | undefined {
    let newest: SimCoordinator | undefined;
    for (const node of this.nodes) {
      const raft = node.coordinator?.raft;
      if (raft?.role === 'leader' && raft.term > (newest?.coordinator?.raft.term ?? 0)) newest = node;
    }
    return newest;
  }

  /** Whether those for which `holds` is true can decide, whichever membership their leader turns out to act on. */
  decides(holds: (id: string) => boolean): boolean {
    const memberships = this.nodes.flatMap(({ coordinator, logDisk }) =>
      coordinator === undefined ? logDisk.memberships : [coordinator.raft.membership],
    );
    return [this.current, ...memberships].every((membership) => {
      return quorum(membership, (id) => holds(id) && isDiskOf(membership, id, this.#diskOf(id)));
    });
  }

  /** Whether `node` has another disk than the member has that it stands for. */
  isLost(node: SimCoordinator): boolean {
    const membership = this.leader?.coordinator?.raft.membership ?? this.current;
    return members(membership).includes(node.id) && !isDiskOf(membership, node.id, node.dataUuid);
  }

  /**
   * Whether `node` may lose its disk without anything being lost for good: the others decide, and every one of them has
   * it on its own disk which disks count. Until then the cluster is too young to tell one from another.
   */
  mayLoseDisk(node: SimCoordinator): boolean {
    if (!this.members.includes(node) || !this.decides((id) => id !== node.id)) return false;
    return this.members.every((member) => {
      const raft = member.coordinator?.raft;
      if (raft === undefined || isJoint(raft.membership) || raft.membershipIndex === 0) return false;
      if (raft.log.durableIndex < raft.membershipIndex || raft.commitIndex < raft.membershipIndex) return false;
      const { voters } = raft.membership;
      return voters.every((id) => memberInfo(raft.membership, id).dataUuid !== undefined);
    });
  }

  #diskOf(id: string): string | undefined {
    return this.nodes.find((node) => node.id === id)?.dataUuid;
  }
}
