/**
 * Who decides. Changes of the voters go through a joint configuration (Raft dissertation §4.3): while `outgoing` is not
 * empty, every decision needs a majority of the voters and a majority of the outgoing ones.
 */
import { assert } from '../../../base/assert.ts';
import { decodeText, encodeText, type Host } from '../../../base/host.ts';

/** Kind byte of a log entry that carries a membership; the kinds of the state machine stay below. */
export const MEMBERSHIP_KIND = 255;
export const MEMBERS_MAX = 32;

export interface Membership {
  readonly voters: readonly string[];
  /** The voters being replaced; empty unless a change is under way. */
  readonly outgoing: readonly string[];
  /** Get the log, and have no say. */
  readonly learners: readonly string[];
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
  | { kind: 'addLearner'; id: string }
  /** Several at once, so that no even number of voters lasts. */
  | { kind: 'promote'; ids: readonly string[] }
  | { kind: 'remove'; ids: readonly string[] }
  /** A voter whose disk or machine is gone makes room for a learner, in one step. */
  | { kind: 'replace'; out: string; in: string };

/** The membership to propose, or in words why the change makes no sense. */
export function changed(from: Membership, change: MembershipChange): Membership | { reason: string } {
  if (isJoint(from)) return { reason: 'another change of the members is under way' };
  const to = target(from, change);
  if ('reason' in to) return to;
  // An even number decides no better than one fewer, and stands still when any two halves lose touch.
  const isEven = isJoint(to) && to.voters.length % 2 === 0;
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
      return { ...from, learners: [...from.learners, change.id] };
    case 'promote': {
      const stranger = change.ids.find((id) => !from.learners.includes(id));
      if (stranger !== undefined) return { reason: `"${stranger}" is no learner` };
      return {
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
      return { voters, outgoing: voters.length === from.voters.length ? [] : from.voters, learners };
    }
    case 'replace':
      if (!from.voters.includes(change.out)) return { reason: `"${change.out}" is no voter` };
      if (!from.learners.includes(change.in)) return { reason: `"${change.in}" is no learner` };
      return {
        voters: from.voters.map((id) => (id === change.out ? change.in : id)),
        outgoing: from.voters,
        learners: from.learners.filter((id) => id !== change.in),
      };
  }
}

/** What follows a joint membership once it is committed. */
export function settled(membership: Membership): Membership {
  assert(isJoint(membership), 'only a joint membership is settled');
  return { ...membership, outgoing: [] };
}

export function encodeMembership(host: Host, { voters, outgoing, learners }: Membership): Uint8Array {
  return encodeText(host, JSON.stringify({ voters, outgoing, learners }));
}

/** Of an entry that passed its checksum: the leader wrote it. */
export function decodeMembership(host: Host, payload: Uint8Array): Membership {
  return JSON.parse(decodeText(host, payload)) as Membership;
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
  mayDecide(id: string): boolean {
    return this.#entries.some(({ membership }) => isVoter(membership, id));
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
