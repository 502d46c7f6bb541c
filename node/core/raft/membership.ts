/**
 * Who decides. Changes of the voters go through a joint configuration (Raft dissertation §4.3): while `outgoing` is not
 * empty, every decision needs a majority of the voters and a majority of the outgoing ones.
 */
import { assert } from '../../../base/assert.ts';
import { decodeText, encodeText, type Host } from '../../../base/host.ts';

/** Kind byte of a log entry that carries a membership; the kinds of the state machine stay below. */
export const MEMBERSHIP_KIND = 255;
export const MEMBERS_MAX = 32;

/** Where a member is reached, `host:port`, and which disk it is: an id alone may stand for one disk after another. */
export interface MemberInfo {
  readonly address?: string | undefined;
  readonly httpAddress?: string | undefined;
  /** Recorded when the leader first hears of it. Once it is known, answers from another disk under this id do not count. */
  readonly dataUuid?: string | undefined;
  /** Of the disk that this id had before, until the new one is recorded. */
  readonly formerUuid?: string | undefined;
}

export interface Membership {
  readonly voters: readonly string[];
  /** The voters being replaced; empty unless a change is under way. */
  readonly outgoing: readonly string[];
  /** Get the log, and have no say. */
  readonly learners: readonly string[];
  /** By id; absent in a cluster of an earlier release, until its leader has recorded it. */
  readonly about?: Readonly<Record<string, MemberInfo>>;
  /** Learners with a new disk, once this joint membership is settled: until then their id is that of the disk that leaves. */
  readonly returning?: Readonly<Record<string, MemberInfo>>;
}

/** Who ordered a change of the members; see core/state/commands.ts. */
export interface MembershipOrder {
  readonly actor: { kind: string; id: string; name: string; role: string };
  /** As the audit log names it: `member.add`, and `member/c4`. */
  readonly action: string;
  readonly target: string;
}

export function membershipOf(voters: readonly string[]): Membership {
  return { voters, outgoing: [], learners: [] };
}

export function isJoint({ outgoing }: Membership): boolean {
  return outgoing.length > 0;
}

export function isVoter({ voters, outgoing }: Membership, id: string): boolean {
  return voters.includes(id) || outgoing.includes(id);
}

export function memberInfo({ about }: Membership, id: string): MemberInfo {
  return about !== undefined && Object.hasOwn(about, id) ? (about[id] ?? {}) : {};
}

/** Whether what comes from `id` on the disk `dataUuid` is from the member: no other disk was recorded for it. */
export function isDiskOf(membership: Membership, id: string, dataUuid: string | undefined): boolean {
  const { dataUuid: recorded, formerUuid } = memberInfo(membership, id);
  if (recorded === undefined) return dataUuid === undefined || dataUuid !== formerUuid;
  return recorded === dataUuid;
}

/** Everybody the log goes to, each once. */
export function members({ voters, outgoing, learners }: Membership): string[] {
  return [...new Set([...voters, ...outgoing, ...learners])];
}

function majority(ids: readonly string[], holds: (id: string) => boolean): boolean {
  return ids.filter(holds).length * 2 > ids.length;
}

/** Do enough of them hold for a decision? Nobody decides in an empty configuration. */
export function quorum({ voters, outgoing }: Membership, holds: (id: string) => boolean): boolean {
  if (!majority(voters, holds)) return false;
  return outgoing.length === 0 || majority(outgoing, holds);
}

/** The highest value that a quorum has reached: of match indexes, the one that may commit. */
export function quorumValue({ voters, outgoing }: Membership, valueOf: (id: string) => number): number {
  const reached = (ids: readonly string[]): number => {
    const values = ids.map(valueOf).sort((a, b) => b - a);
    return values[Math.floor(values.length / 2)] ?? 0;
  };
  return outgoing.length === 0 ? reached(voters) : Math.min(reached(voters), reached(outgoing));
}

export type MembershipChange =
  | ({ kind: 'addLearner'; id: string } & MemberInfo)
  /** Several at once, so that no even number of voters lasts. */
  | { kind: 'promote'; ids: readonly string[] }
  | { kind: 'remove'; ids: readonly string[] }
  /** A voter whose disk or machine is gone makes room for a learner, in one step. */
  | { kind: 'replace'; out: string; in: string }
  /** A member comes back with another disk under its id: the old disk leaves, the new one begins as a learner. */
  | ({ kind: 'renew'; id: string } & Pick<MemberInfo, 'address' | 'httpAddress'>)
  /** What the leader has learnt of its members; the members stay the same. */
  | { kind: 'record'; about: Readonly<Record<string, MemberInfo>> };

/** The membership to propose, or in words why the change makes no sense. */
export function changed(from: Membership, change: MembershipChange): Membership | { reason: string } {
  if (isJoint(from)) return { reason: 'another change of the members is under way' };
  const to = target(from, change);
  if ('reason' in to) return to;
  // An even number decides no better than one fewer, and stands still when any two halves lose touch.
  // With a lost disk out of the way it decides no worse than with it, and the disk that follows will be promoted.
  const isEven = isJoint(to) && to.voters.length % 2 === 0 && change.kind !== 'renew';
  if (isEven)
    return { reason: `${String(to.voters.length)} voters: promote, remove or replace so that their number is odd` };
  return to;
}

function target(from: Membership, change: MembershipChange): Membership | { reason: string } {
  // Nobody may be counted twice.
  if ('ids' in change && (change.ids.length === 0 || new Set(change.ids).size < change.ids.length)) {
    return { reason: 'name each member to change, and each once' };
  }
  switch (change.kind) {
    case 'addLearner':
      if (members(from).includes(change.id)) return { reason: `"${change.id}" is a member already` };
      if (members(from).length >= MEMBERS_MAX) return { reason: `there are ${String(MEMBERS_MAX)} members, the limit` };
      return withInfo({ ...from, learners: [...from.learners, change.id] }, change.id, infoOf(change));
    case 'promote': {
      const stranger = change.ids.find((id) => !from.learners.includes(id));
      if (stranger !== undefined) return { reason: `"${stranger}" is no learner` };
      return {
        ...from,
        voters: [...from.voters, ...change.ids],
        outgoing: from.voters,
        learners: from.learners.filter((id) => !change.ids.includes(id)),
      };
    }
    case 'remove': {
      const stranger = change.ids.find((id) => !members(from).includes(id));
      if (stranger !== undefined) return { reason: `"${stranger}" is no member` };
      const learners = from.learners.filter((id) => !change.ids.includes(id));
      const voters = from.voters.filter((id) => !change.ids.includes(id));
      if (voters.length === 0) return { reason: 'a cluster keeps at least one voter' };
      const outgoing = voters.length === from.voters.length ? [] : from.voters;
      return withoutStrangers({ ...from, voters, outgoing, learners });
    }
    case 'replace':
      if (!from.voters.includes(change.out)) return { reason: `"${change.out}" is no voter` };
      if (!from.learners.includes(change.in)) return { reason: `"${change.in}" is no learner` };
      return {
        ...from,
        voters: from.voters.map((id) => (id === change.out ? change.in : id)),
        outgoing: from.voters,
        learners: from.learners.filter((id) => id !== change.in),
      };
    case 'renew': {
      const { id } = change;
      if (from.learners.includes(id)) return withInfo(from, id, renewed(from, change));
      if (!from.voters.includes(id)) return { reason: `"${id}" is no member` };
      const voters = from.voters.filter((voter) => voter !== id);
      if (voters.length === 0) return { reason: 'a cluster keeps at least one voter' };
      return { ...from, voters, outgoing: from.voters, returning: { [id]: renewed(from, change) } };
    }
    case 'record':
      return { ...from, about: { ...from.about, ...change.about } };
  }
}

function withInfo(membership: Membership, id: string, info: MemberInfo): Membership {
  return Object.keys(info).length === 0 ? membership : { ...membership, about: { ...membership.about, [id]: info } };
}

function infoOf({ address, httpAddress, dataUuid, formerUuid }: MemberInfo): MemberInfo {
  return {
    ...(address === undefined ? {} : { address }),
    ...(httpAddress === undefined ? {} : { httpAddress }),
    ...(dataUuid === undefined ? {} : { dataUuid }),
    ...(formerUuid === undefined ? {} : { formerUuid }),
  };
}

/** Without the disk, and where nothing else is said under the same addresses. */
function renewed(from: Membership, change: { id: string } & Pick<MemberInfo, 'address' | 'httpAddress'>): MemberInfo {
  const { address, httpAddress, dataUuid, formerUuid = dataUuid } = memberInfo(from, change.id);
  return infoOf({ address: change.address ?? address, httpAddress: change.httpAddress ?? httpAddress, formerUuid });
}

function withoutStrangers(membership: Membership): Membership {
  const { about } = membership;
  if (about === undefined) return membership;
  const known = members(membership).filter((id) => Object.hasOwn(about, id));
  return { ...membership, about: Object.fromEntries(known.map((id) => [id, memberInfo(membership, id)])) };
}

/** What follows a joint membership once it is committed. */
export function settled(membership: Membership): Membership {
  assert(isJoint(membership), 'only a joint membership is settled');
  const { returning = {}, ...rest } = membership;
  const learners = [...rest.learners, ...Object.keys(returning)];
  const about = rest.about === undefined ? {} : { about: { ...rest.about, ...returning } };
  return withoutStrangers({ ...rest, outgoing: [], learners, ...about });
}

/** `order`: on whose behalf, for the audit log. */
export function encodeMembership(host: Host, membership: Membership, order?: MembershipOrder): Uint8Array {
  const { voters, outgoing, learners, about, returning } = membership;
  return encodeText(host, JSON.stringify({ voters, outgoing, learners, about, returning, order }));
}

/** Of an entry that passed its checksum: the leader wrote it. */
export function decodeMembership(host: Host, payload: Uint8Array): Membership {
  return decodeMembershipEntry(host, payload).membership;
}

export function decodeMembershipEntry(
  host: Host,
  payload: Uint8Array,
): { membership: Membership; order: MembershipOrder | undefined } {
  const { order, ...membership } = JSON.parse(decodeText(host, payload)) as Membership & { order?: MembershipOrder };
  return { membership, order };
}

/**
 * The memberships that the log holds, newest last: a node always acts on the newest it has, committed or not (§4.1), and
 * goes back to the one before when that entry is truncated.
 */
export class MembershipHistory {
  #entries: { index: number; membership: Membership }[];

  /** `index` is that of the entry which carried `membership`, 0 for the one a cluster is born with. */
  constructor(index: number, membership: Membership) {
    this.#entries = [{ index, membership }];
  }

  get current(): Membership {
    return this.#last().membership;
  }

  /** Index of the entry that carries the current membership. */
  get index(): number {
    return this.#last().index;
  }

  /** A voter of the newest membership, or of one before it that may yet turn out to be the one that stands. */
  mayDecide(id: string, dataUuid: string | undefined): boolean {
    return this.#entries.some(({ membership }) => isVoter(membership, id) && isDiskOf(membership, id, dataUuid));
  }

  append(index: number, membership: Membership): void {
    assert(index > this.index, 'memberships follow the log');
    this.#entries.push({ index, membership });
  }

  truncateFrom(index: number): void {
    while (this.#entries.length > 1 && this.index >= index) this.#entries.pop();
  }

  /** Forgets what no truncation can reach: everything before the newest one at or below `commitIndex`. */
  committed(commitIndex: number): void {
    while (this.#entries.length > 1 && (this.#entries[1]?.index ?? Infinity) <= commitIndex) this.#entries.shift();
  }

  #last(): { index: number; membership: Membership } {
    const last = this.#entries.at(-1);
    assert(last !== undefined, 'there is always a membership');
    return last;
  }
}
