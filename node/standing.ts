/**
 * What this coordinator is in the cluster: a member, one that waits to be added, one that was removed, or one whose disk
 * is not the one that joined under its id. Its own log may be behind, so others tell it (`NOT_A_MEMBER`).
 *
 * Invariants
 * 1. Who is told by a newer membership than its own asks for no votes until its log has brought one that lists it.
 *    It goes on giving them: whether they count is decided by those who count (`isDiskOf`).
 * 2. Only a committed membership is told of, and only one that is committed makes a node stand back.
 */
import { isDiskOf, memberInfo, members } from './core/raft/membership.ts';
import type { Raft } from './core/raft/raft.ts';
import type { Body } from './core/tlv/messages.ts';

export type Place = 'member' | 'joining' | 'removed' | 'wrong disk';

export class Standing {
  readonly #raft: Raft;
  readonly #nodeId: string;
  readonly #dataUuid: string | undefined;
  #told: Body<'NOT_A_MEMBER'> | undefined;
  #wasMember = false;
  #place: Place | undefined;

  constructor(raft: Raft, nodeId: string, dataUuid: string | undefined) {
    this.#raft = raft;
    this.#nodeId = nodeId;
    this.#dataUuid = dataUuid;
    this.look();
  }

  get place(): Place {
    return this.#place ?? 'joining';
  }

  /** Somebody has spoken for a cluster that this node is not in. */
  get hearsOfCluster(): boolean {
    return this.#told !== undefined;
  }

  /** In words, with the way out; undefined for a member. */
  get text(): string | undefined {
    const id = this.#nodeId;
    switch (this.place) {
      case 'member':
        return undefined;
      case 'joining':
        return `${id} waits to be added: distric members add ${id} --address HOST:PORT`;
      case 'removed':
        return `${id} is removed from the cluster: stop it, or add it again: distric members add ${id} --address HOST:PORT`;
      case 'wrong disk':
        return `the disk of ${id} is not the one that joined: replace the member: distric members replace ${id}`;
    }
  }

  told(body: Body<'NOT_A_MEMBER'>): void {
    if (body.membershipIndex >= (this.#told?.membershipIndex ?? 0)) this.#told = body;
  }

  /** True when the place has changed. */
  look(): boolean {
    const place = this.#find();
    if (place === this.#place) return false;
    this.#place = place;
    this.#raft.standBack(place === 'removed' || place === 'wrong disk');
    return true;
  }

  #find(): Place {
    const { membership, membershipIndex, commitIndex } = this.#raft;
    const isListed = members(membership).includes(this.#nodeId);
    this.#wasMember ||= isListed;
    const told = this.#told;
    if (told !== undefined && told.membershipIndex > membershipIndex) {
      const isOther = told.dataUuid !== undefined && told.dataUuid !== this.#dataUuid;
      if (isOther) return 'wrong disk';
      if (told.dataUuid === undefined) return this.#wasMember ? 'removed' : 'joining';
    }
    if (!isListed && !this.#wasMember) return 'joining';
    // Until its removal is committed, here or as it was told, it may be the only one that can get that done (§4.2.2).
    if (!isListed) return Math.max(commitIndex, told?.membershipIndex ?? 0) < membershipIndex ? 'member' : 'removed';
    return isDiskOf(membership, this.#nodeId, this.#dataUuid) ? 'member' : 'wrong disk';
  }

  /** What to tell `peer`, which speaks as a member with the disk `dataUuid`; undefined: it is one, or nobody can say yet. */
  answerTo(peer: string, dataUuid: string | undefined): Body<'NOT_A_MEMBER'> | undefined {
    const { membership, membershipIndex, commitIndex } = this.#raft;
    if (membershipIndex === 0 || membershipIndex > commitIndex) return undefined;
    if (!members(membership).includes(peer)) return { membershipIndex };
    if (isDiskOf(membership, peer, dataUuid)) return undefined;
    const { dataUuid: known, formerUuid } = memberInfo(membership, peer);
    const disk = known ?? formerUuid;
    return { membershipIndex, ...(disk === undefined ? {} : { dataUuid: disk }) };
  }
}
