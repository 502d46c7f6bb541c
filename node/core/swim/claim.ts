/**
 * Statements about members, and how two about the same member become one.
 *
 * 1. The higher incarnation wins; at the same one ALIVE < SUSPECTED < FAILED < LEFT. So what is stale changes nothing,
 *    and only the member itself, which alone raises its incarnation, ever comes back (SWIM §4.2, but for its tie, where
 *    ALIVE may not win: else any old ALIVE would revive the dead).
 * 2. Details are ordered by a version of their own, whatever the standing.
 * 3. `merge` is commutative, associative and idempotent: members that have heard the same things hold the same things,
 *    in whatever order those came.
 */
import type { MemberClaim, MemberDetails } from '../tlv/messages.ts';

export const STATUS = { alive: 0, suspected: 1, failed: 2, left: 3 } as const;
export const STATUS_NAMES = ['alive', 'suspected', 'failed', 'left'] as const;

const ID_CHARS_MAX = 128;
/** Nobody restarts or refutes that often; above, adding one would no longer be exact. */
const NUMBER_MAX = 2 ** 52;
/** Larger ones are skipped: they would fit into no datagram, or leave no room for others. */
export const CLAIM_BYTES_MAX = 1_000;

/** What a member holds of another one: the most that was ever claimed. */
export interface Standing {
  readonly id: string;
  readonly incarnation: number;
  readonly status: number;
  readonly details?: MemberDetails;
}

/** Claims that no member of this version makes are skipped one by one: the rest of a message is still good. */
export function isSound({ id, incarnation, status, details }: MemberClaim): boolean {
  const isNamed = id.length >= 1 && id.length <= ID_CHARS_MAX;
  return isNamed && status <= STATUS.left && Math.max(incarnation, details?.version ?? 0) <= NUMBER_MAX;
}

/** Above 0 when the first says more. */
export function compareStanding(a: Standing, b: Standing): number {
  return a.incarnation - b.incarnation || a.status - b.status;
}

/** `held` itself when `heard` adds nothing. */
export function merge(held: Standing, heard: Standing): Standing {
  const { id, incarnation, status } = compareStanding(heard, held) > 0 ? heard : held;
  const details = newer(held.details, heard.details);
  if (incarnation === held.incarnation && status === held.status && details === held.details) return held;
  return { id, incarnation, status, ...(details === undefined ? {} : { details }) };
}

function newer(held: MemberDetails | undefined, heard: MemberDetails | undefined): MemberDetails | undefined {
  if (held === undefined || heard === undefined) return held ?? heard;
  return heard.version > held.version ? heard : held;
}

export function isLiving(status: number): boolean {
  return status === STATUS.alive || status === STATUS.suspected;
}
