/** Who may campaign, who may go on leading, and whose membership a node acts on: by what it got, sent and wrote. */
import { decodeEntry } from '../../core/raft/entry.ts';
import { decodeMembership, type Membership, MEMBERSHIP_KIND, quorum } from '../../core/raft/membership.ts';
import type { SequencedWrite } from '../../core/raft/outbox.ts';
import type { Message } from '../../core/tlv/messages.ts';
import { nodeHost } from '../../io/host.ts';
import type { Counters } from '../counters.ts';
import type { Observer } from '../observer.ts';
import type { SimCoordinator } from '../sim-coordinator.ts';
import { demand } from '../violation.ts';

/** A slow loop takes an answer in that much later than it arrived. */
const SLACK_MS = 1_500;

interface Seen {
  term: number;
  /** By the term that was asked for: who would give its vote in it. Late ones may be of any term. */
  grants: Map<number, Set<string>>;
  /** Term of the leader that has told it to campaign. */
  orderedIn: number;
  /** Who has answered in this term since the last turn. */
  answered: Set<string>;
  /** When the loop took each peer's last answer in this term, on the node's clock. */
  contacts: Map<string, number>;
  leadsSinceMs: number | undefined;
  membership: Membership | undefined;
  membershipSinceMs: number;
}

export class ElectionChecks implements Observer {
  readonly #counters: Counters;
  readonly #electionMsMax: number;
  readonly #nodes = new Map<string, Seen>();
  /** Everything that any node ever wrote as the membership of an index. */
  readonly #memberships = new Map<number, Set<string>>();

  constructor(counters: Counters, electionMsMax: number) {
    this.#counters = counters;
    this.#electionMsMax = electionMsMax;
  }

  onBoot(node: SimCoordinator): void {
    this.#nodes.set(node.id, {
      ...{ term: node.coordinator?.raft.term ?? 0, grants: new Map<number, Set<string>>(), orderedIn: 0 },
      ...{ answered: new Set<string>(), contacts: new Map<string, number>(), leadsSinceMs: undefined },
      ...{ membership: node.coordinator?.raft.membership, membershipSinceMs: 0 },
    });
  }

  onReceive(node: SimCoordinator, from: string, message: Message): void {
    const seen = this.#nodes.get(node.id);
    if (seen === undefined) return;
    switch (message.kind) {
      case 'PRE_VOTE_RESPONSE': {
        const { term, granted } = message.body;
        if (!granted) return;
        seen.grants.set(term, (seen.grants.get(term) ?? new Set()).add(from));
        break;
      }
      case 'TIMEOUT_NOW':
        seen.orderedIn = message.body.term;
        break;
      case 'APPEND_ENTRIES_RESPONSE':
      case 'INSTALL_SNAPSHOT_RESPONSE':
        if (message.body.term === node.coordinator?.raft.term) seen.answered.add(from);
        break;
      default:
        break;
    }
  }

  onPersist(node: SimCoordinator, { entries }: SequencedWrite): void {
    const raft = node.coordinator?.raft;
    for (const { index, bytes } of entries) {
      const entry = decodeEntry(nodeHost, bytes);
      if (entry?.kind !== MEMBERSHIP_KIND) continue;
      const known = this.#memberships.get(index) ?? new Set();
      this.#memberships.set(index, known.add(textOf(decodeMembership(nodeHost, entry.payload))));
      if (raft?.role !== 'leader' || entry.term !== raft.term) continue;
      demand(raft.log.termAt(raft.commitIndex) === raft.term, 'memberSteps', () => {
        return `${node.id} changes the members at ${index} before it has committed anything in term ${raft.term}`;
      });
    }
  }

  onTurn(node: SimCoordinator): void {
    const raft = node.coordinator?.raft;
    const seen = this.#nodes.get(node.id);
    if (raft === undefined || seen === undefined) return;
    const nowMs = node.clock.now().monotonicMs;
    // An answer counts from when the loop has come to it, however long it lay there.
    for (const from of seen.answered) seen.contacts.set(from, nowMs);
    seen.answered.clear();
    const before = seen.membership ?? raft.membership;
    if (raft.membership !== seen.membership) {
      seen.membership = raft.membership;
      seen.membershipSinceMs = nowMs;
      const known = this.#memberships.get(raft.membershipIndex);
      demand(known?.has(textOf(raft.membership)) !== false, 'memberSteps', () => {
        return `${node.id} acts on ${textOf(raft.membership)}, which entry ${raft.membershipIndex} never was`;
      });
    }
    const isCampaign = raft.term > seen.term && raft.hardState.votedFor === node.id;
    if (isCampaign) this.#checkCampaign(node, seen, [before, raft.membership], raft.term);
    if (raft.term !== seen.term) seen.contacts.clear();
    if (seen.leadsSinceMs !== undefined && raft.role !== 'leader' && node.logDisk.flusher.stalled)
      this.#counters.add('leader with a stalled disk deposed');
    if (raft.role !== 'leader') seen.leadsSinceMs = undefined;
    else if (seen.leadsSinceMs === undefined || raft.term !== seen.term) seen.leadsSinceMs = nowMs;
    seen.term = raft.term;
    if (raft.role === 'leader' && node.ticked) this.#checkQuorum(node, seen, raft.membership, nowMs);
  }

  #checkCampaign(node: SimCoordinator, seen: Seen, memberships: readonly Membership[], term: number): void {
    const { grants, orderedIn } = seen;
    if (orderedIn === term - 1) return;
    const granted = grants.get(term) ?? new Set();
    const holds = (id: string): boolean => id === node.id || granted.has(id);
    demand(
      memberships.some((membership) => quorum(membership, holds)),
      'preVote',
      () => `${node.id} campaigns in term ${term}, for which it has the word of ${[...granted].join() || 'nobody'}`,
    );
  }

  #checkQuorum(node: SimCoordinator, seen: Seen, membership: Membership, nowMs: number): void {
    const sinceMs = Math.max(seen.leadsSinceMs ?? nowMs, seen.membershipSinceMs);
    const holds = (id: string): boolean => {
      const contactMs = Math.max(seen.contacts.get(id) ?? 0, sinceMs);
      return id === node.id || nowMs - contactMs < this.#electionMsMax + SLACK_MS;
    };
    demand(quorum(membership, holds), 'checkQuorum', () => {
      return `${node.id} leads on at ${nowMs}, answers came at ${JSON.stringify([...seen.contacts])}`;
    });
  }
}

function textOf({ voters, outgoing, learners }: Membership): string {
  return JSON.stringify([voters, outgoing, learners]);
}
