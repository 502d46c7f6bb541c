/** Which coordinators are members, seen from outside: by the newest change of the members that any of them has applied. */
import { type Membership, members, quorum } from '../core/raft/membership.ts';
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
    return [this.current, ...memberships].every((membership) => quorum(membership, holds));
  }
}
