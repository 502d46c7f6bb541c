/** What a leader has learnt of its members and the log does not say yet: which disk each has, and where it is reached. */
import { isDiskOf, type MemberInfo, memberInfo, type Membership, members } from './core/raft/membership.ts';

export class MemberNews {
  /** By id, since the membership last changed: the disk whose answers follow this log. */
  #heard = new Map<string, string>();
  #membershipIndex = -1;
  #changed = true;

  heard(id: string, dataUuid: string | undefined): void {
    if (dataUuid === undefined || this.#heard.get(id) === dataUuid) return;
    this.#heard.set(id, dataUuid);
    this.#changed = true;
  }

  /** For `record`; undefined when there is none. */
  since(
    membership: Membership,
    membershipIndex: number,
    addresses: ReadonlyMap<string, MemberInfo>,
  ): Record<string, MemberInfo> | undefined {
    if (membershipIndex !== this.#membershipIndex) {
      // Of an id that has a new disk since, only what that one says from now on is news.
      if (this.#membershipIndex !== -1) this.#heard.clear();
      this.#membershipIndex = membershipIndex;
      this.#changed = true;
    }
    if (!this.#changed) return undefined;
    this.#changed = false;
    const news: Record<string, MemberInfo> = {};
    for (const id of members(membership)) {
      const known = memberInfo(membership, id);
      const dataUuid = this.#heard.get(id);
      const isNewDisk = known.dataUuid === undefined && dataUuid !== undefined && isDiskOf(membership, id, dataUuid);
      const placed = known.address === undefined ? addresses.get(id) : undefined;
      if (!isNewDisk && placed === undefined) continue;
      const { formerUuid, ...kept } = known;
      news[id] = { ...kept, ...placed, ...(isNewDisk ? { dataUuid } : formerUuid === undefined ? {} : { formerUuid }) };
    }
    return Object.keys(news).length === 0 ? undefined : news;
  }
}
