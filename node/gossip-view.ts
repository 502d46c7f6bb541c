/**
 * What gossip tells of the nodes of the cluster, as the loop of a coordinator sees it. News comes in as inputs, so a
 * simulated run repeats to the letter. It feeds the worker pool and the status, and never the membership of Raft.
 */
import type { MemberView } from './core/swim/swim-ports.ts';

export type GossipStatus = MemberView['status'];

/**
 * `off`: this node takes no part, and knows of nobody. `blocked`: members answer over connections only, so that datagrams
 * do not come through; nobody is accused for that.
 */
export type GossipState = 'off' | 'on' | 'blocked';

export interface GossipNews {
  state: GossipState;
  /** Those that are new or have changed, or with `whole` all there are. */
  members: readonly MemberView[];
  whole: boolean;
}

export interface GossipChange {
  /** Undefined: not known before. */
  before: GossipStatus | undefined;
  member: MemberView;
}

interface Known {
  readonly member: MemberView;
  readonly sinceMs: number;
}

export class GossipView {
  #known = new Map<string, Known>();
  #state: GossipState = 'off';

  get state(): GossipState {
    return this.#state;
  }

  /** Undefined: gossip does not know that node (yet, or any more), or is off. */
  statusOf(nodeId: string): GossipStatus | undefined {
    return this.#known.get(nodeId)?.member.status;
  }

  /** What the node tells of itself. */
  detailsOf(nodeId: string): MemberView['details'] {
    return this.#known.get(nodeId)?.member.details;
  }

  /** Every node known, this one included, with how long it has been so. */
  members(nowMs: number): MemberView[] {
    return Array.from(this.#known.values(), ({ member, sinceMs }) => ({
      ...member,
      forMs: Math.max(0, nowMs - sinceMs),
    }));
  }

  /** Returns the members whose status is another one now. */
  hear({ state, members, whole }: GossipNews, nowMs: number): GossipChange[] {
    this.#state = state;
    const earlier = this.#known;
    if (whole) this.#known = new Map();
    const changes: GossipChange[] = [];
    for (const member of members) {
      const before = earlier.get(member.id)?.member.status;
      this.#known.set(member.id, { member, sinceMs: nowMs - member.forMs });
      if (before !== member.status) changes.push({ before, member });
    }
    return changes;
  }
}
