/** What an operator orders the leader to do: change the members, hand the leadership on. */
import { DistricError } from '../base/errors.ts';
import { changed, type Membership, type MembershipChange } from './core/raft/membership.ts';
import type { Raft } from './core/raft/raft.ts';
import type { Input, Reply } from './ports.ts';

type Order = Extract<Input, { kind: 'changeMembers' | 'transferLeadership' }>;

export class Administration {
  readonly #raft: Raft;
  readonly #reply: (reply: Reply) => void;
  /** Appends the membership; `administered` follows once that is applied. */
  readonly #propose: (membership: Membership, requestId: number) => void;

  constructor(raft: Raft, reply: (reply: Reply) => void, propose: (membership: Membership, requestId: number) => void) {
    this.#raft = raft;
    this.#reply = reply;
    this.#propose = propose;
  }

  /** `serving`: this node leads and may append. */
  order(order: Order, serving: boolean): void {
    const { requestId } = order;
    if (!serving) this.refuse(requestId, new DistricError('NO_LEADER', 'this coordinator does not lead (yet)'));
    else if (order.kind === 'changeMembers') this.#changeMembers(requestId, order.change);
    else if (this.#raft.transferTo(order.target)) this.done(requestId);
    else {
      const text = `"${order.target}" is no other voter, or does not answer`;
      this.refuse(requestId, new DistricError('INVALID_REQUEST', text));
    }
  }

  /**
   * For a shutdown: begins to hand the leadership to the voter that has most of the log. False when this node does not
   * lead, or no other voter answers.
   */
  handOver(): boolean {
    const raft = this.#raft;
    if (raft.role !== 'leader') return false;
    const matchIndexOf = (id: string): number => raft.matchIndexOf(id) ?? 0;
    const others = raft.membership.voters.filter((id) => raft.matchIndexOf(id) !== undefined && raft.peerActive(id));
    const [furthest] = others.sort((a, b) => matchIndexOf(b) - matchIndexOf(a));
    return furthest !== undefined && raft.transferTo(furthest);
  }

  #changeMembers(requestId: number, change: MembershipChange): void {
    const busy = this.#raft.membershipBusy();
    if (busy !== undefined) {
      this.refuse(requestId, new DistricError('QUEUE_FULL', busy));
      return;
    }
    const to = changed(this.#raft.membership, change);
    if ('reason' in to) {
      this.refuse(requestId, new DistricError('INVALID_REQUEST', to.reason));
      return;
    }
    const fault = this.#raft.promotionFault(to);
    if (fault === undefined) this.#propose(to, requestId);
    else this.refuse(requestId, new DistricError('INVALID_REQUEST', fault));
  }

  done(requestId: number): void {
    this.#reply({ kind: 'administered', requestId, refusal: undefined });
  }

  refuse(requestId: number, refusal: DistricError): void {
    this.#reply({ kind: 'administered', requestId, refusal });
  }
}
