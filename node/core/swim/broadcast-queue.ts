/**
 * Claims to be told to others, each a bounded number of times, those told least often first (SWIM §4.1).
 * One claim per member: a later one takes the place of the earlier.
 */
import type { MemberClaim } from '../tlv/messages.ts';

interface Item {
  readonly claim: MemberClaim;
  readonly bytes: number;
}

/** No claim is smaller: what is left of a message then is not worth a look. */
const CLAIM_BYTES_MIN = 40;

export class BroadcastQueue {
  readonly #bytesOf: (claim: MemberClaim) => number;
  /** By how often they were told, in order of arrival. */
  readonly #rounds: Map<string, Item>[] = [];
  readonly #roundOf = new Map<string, number>();

  constructor(bytesOf: (claim: MemberClaim) => number) {
    this.#bytesOf = bytesOf;
  }

  get size(): number {
    return this.#roundOf.size;
  }

  add(claim: MemberClaim): void {
    const { details } = claim.details === undefined ? (this.#remove(claim.id)?.claim ?? claim) : claim;
    this.#remove(claim.id);
    // Details still under way go on with what is said of the member now.
    const told = details === undefined ? claim : { ...claim, details };
    this.#put({ claim: told, bytes: this.#bytesOf(told) }, 0);
  }

  /**
   * As many as fit into `bytesMax`, but for those of the members in `except`; each for the last time once it was taken
   * `timesMax` times.
   */
  take(bytesMax: number, timesMax: number, except: readonly MemberClaim[]): MemberClaim[] {
    const taken: { item: Item; round: number }[] = [];
    let bytesLeft = bytesMax;
    for (const [round, items] of this.#rounds.entries()) {
      for (const item of items.values()) {
        if (bytesLeft < CLAIM_BYTES_MIN) break;
        if (item.bytes > bytesLeft || except.some(({ id }) => id === item.claim.id)) continue;
        taken.push({ item, round });
        bytesLeft -= item.bytes;
      }
    }
    for (const { item, round } of taken) {
      this.#remove(item.claim.id);
      if (round + 1 < timesMax) this.#put(item, round + 1);
    }
    return taken.map(({ item }) => item.claim);
  }

  #put(item: Item, round: number): void {
    while (this.#rounds.length <= round) this.#rounds.push(new Map());
    this.#rounds[round]?.set(item.claim.id, item);
    this.#roundOf.set(item.claim.id, round);
  }

  #remove(id: string): Item | undefined {
    const round = this.#rounds[this.#roundOf.get(id) ?? -1];
    const item = round?.get(id);
    round?.delete(id);
    this.#roundOf.delete(id);
    return item;
  }
}
