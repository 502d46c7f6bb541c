/**
 * Proposals on their way: those this leader appended (until applied), and those a follower forwarded (until answered).
 *
 * Invariants
 * 1. Every proposal is answered exactly once: with its result as applied, as refused, or as unknown.
 * 2. A leader that lost its leadership does not know what becomes of its entries: unknown is answered at once, not when
 *    another entry takes the place, which may be never.
 */
import { assert } from '../base/assert.ts';
import { DistricError, type ErrorCode } from '../base/errors.ts';
import { COMMAND } from './core/state/commands.ts';
import type { ProposalResult } from './core/state/outcomes.ts';
import { refused } from './core/state/outcomes.ts';

/** Bytes of commands appended and not yet applied; over it new ones are refused with QUEUE_FULL. */
export const UNAPPLIED_BYTES_MAX = 64 * 1024 * 1024;
/**
 * Instances and tasks that appended messages will start once they are applied: a few bytes of log may ask for a thousand
 * tasks, which every coordinator has to write. Over it messages are refused with QUEUE_FULL.
 */
export const UNAPPLIED_ROWS_MAX = 200_000;
/**
 * One command, in bytes: a message of the largest size with its headers and the names of its rules. What no frame
 * carries can never be replicated, and every entry behind it would wait for good.
 */
export const COMMAND_BYTES_MAX = 2 * 1024 * 1024;
/** Proposals forwarded to the leader and not yet answered. */
export const FORWARDED_MAX = 10_000;

/** Where the answer goes: to this node's ingress, to a peer that forwarded, or back into the loop (of this term only). */
export type Origin =
  | { kind: 'ingress'; requestId: number }
  | { kind: 'peer'; peer: string; requestId: number }
  | { kind: 'loop'; applied: () => void };

const NOBODY: Origin = { kind: 'loop', applied: () => undefined };

interface Appended {
  term: number;
  origin: Origin;
  bytes: number;
  rows: number;
  catalogChange: boolean;
  appendedMs: number;
}

export class Proposals {
  #appended = new Map<number, Appended>();
  #forwarded = new Map<number, string>();
  unappliedBytes = 0;
  unappliedRows = 0;
  /** Changes of rules under way: a batch cannot know the catalog it will meet. */
  catalogChanges = 0;

  appended(index: number, proposal: Appended): void {
    this.#appended.set(index, proposal);
    this.unappliedBytes += proposal.bytes;
    this.unappliedRows += proposal.rows;
    if (proposal.catalogChange) this.catalogChanges++;
  }

  /** The proposal that the applied entry is, if this leader made it. */
  applied(index: number, term: number): Appended | undefined {
    const proposal = this.#appended.get(index);
    if (proposal === undefined) return undefined;
    assert(proposal.term === term, 'the entries of a leader stay in place while it leads');
    this.#appended.delete(index);
    this.unappliedBytes -= proposal.bytes;
    this.unappliedRows -= proposal.rows;
    if (proposal.catalogChange) this.catalogChanges--;
    return proposal;
  }

  /** Leadership is lost: who waits for an entry that may commit or not. */
  leadershipLost(): Origin[] {
    const origins = [...this.#appended.values()].map(({ origin }) => origin);
    this.#appended.clear();
    this.unappliedBytes = 0;
    this.unappliedRows = 0;
    this.catalogChanges = 0;
    return origins;
  }

  /** Nobody waits at `peer` any more: a restarted process counts its requests from the start, and must not take this for one of them. */
  peerLost(peer: string): void {
    for (const proposal of this.#appended.values()) {
      if (proposal.origin.kind === 'peer' && proposal.origin.peer === peer) proposal.origin = NOBODY;
    }
  }

  forwarded(requestId: number, to: string): void {
    this.#forwarded.set(requestId, to);
  }

  get forwardedCount(): number {
    return this.#forwarded.size;
  }

  /** True when this answer was waited for, from that very node: workers share the port, and acknowledge nothing. */
  answered(requestId: number, from: string): boolean {
    return this.#forwarded.get(requestId) === from && this.#forwarded.delete(requestId);
  }

  /** Request ids forwarded to anybody but `leader`: their answers may never come. */
  abandoned(leader: string | undefined): number[] {
    const ids: number[] = [];
    for (const [requestId, to] of this.#forwarded) if (to !== leader) ids.push(requestId);
    for (const id of ids) this.#forwarded.delete(id);
    return ids;
  }
}

/** What an ingress may propose; the rest is the leader's own. An entry of a kind unknown to the others would stop them. */
const PROPOSABLE: ReadonlySet<number> = new Set([
  COMMAND.messages,
  COMMAND.putRule,
  COMMAND.deleteRule,
  COMMAND.putWorkflow,
  COMMAND.deleteWorkflow,
  COMMAND.cancelInstance,
  COMMAND.createKey,
  COMMAND.revokeKey,
  COMMAND.rotateKey,
  COMMAND.touchKeys,
  COMMAND.noteBackup,
  COMMAND.changeMembers,
  COMMAND.transferLeadership,
  COMMAND.foundCluster,
  COMMAND.orderDrain,
  COMMAND.endDrain,
  COMMAND.note,
]);

/** Why no leader will ever append this; undefined when it is fine. */
export function commandFault(kind: number, command: Uint8Array): ProposalResult | undefined {
  if (!PROPOSABLE.has(kind)) return refusal('INVALID_REQUEST', `commands of kind ${String(kind)} cannot be proposed`);
  if (command.length <= COMMAND_BYTES_MAX) return undefined;
  const size = `${String(command.length)} bytes with all that belongs to it; at most ${String(COMMAND_BYTES_MAX)} are taken`;
  return refusal('PAYLOAD_TOO_LARGE', `the request has ${size}`);
}

export function refusal(code: ErrorCode, text: string): ProposalResult {
  return refused(new DistricError(code, text));
}
