/**
 * The follower's side of replication.
 *
 * Invariants
 * 1. An answer that tells of a term or of entries leaves only once those are on disk (`Outbox.hold`).
 * 2. What is committed here is never truncated, and never compared: it is equal in every log.
 */
import { assert } from '../../../base/assert.ts';
import type { Body, Message } from '../tlv/messages.ts';
import { decodeEntry, type Entry } from './entry.ts';
import type { Replica } from './replica.ts';

export class Following {
  readonly #replica: Replica;
  readonly #heardLeader: () => void;

  constructor(replica: Replica, heardLeader: () => void) {
    this.#replica = replica;
    this.#heardLeader = heardLeader;
  }

  /** False: it speaks in a term that has passed. */
  accept(leader: string, term: number): boolean {
    const replica = this.#replica;
    if (term < replica.term) return false;
    assert(replica.role !== 'leader' || term > replica.term, 'one leader per term');
    if (term > replica.term || replica.role !== 'follower') replica.follow(term, leader);
    replica.leaderId = leader;
    this.#heardLeader();
    return true;
  }

  onAppendEntries(from: string, request: Body<'APPEND_ENTRIES'>): void {
    const replica = this.#replica;
    if (!this.accept(from, request.term)) {
      // Tells a term, so it waits for it like any answer: a restart must not take it back.
      replica.outbox.hold(from, this.#appendResponse(request, false, 0));
      return;
    }
    replica.safeCutIndex = request.cutBefore;
    // The state is being replaced: what goes beyond it must wait. The leader sends it again.
    if (replica.installing && request.entries.length > 0) return;

    const { prevLogIndex } = request;
    // A predecessor that is committed needs no comparison (it may be cut away).
    const matches = prevLogIndex <= replica.commitIndex || replica.log.termAt(prevLogIndex) === request.prevLogTerm;
    const entries = matches ? this.#decodeEntries(request) : undefined;
    if (entries === undefined) {
      replica.outbox.hold(from, this.#appendResponse(request, false, 0));
      return;
    }
    this.#mergeEntries(entries);
    const matchIndex = prevLogIndex + entries.length;
    const commitIndex = Math.min(request.leaderCommit, matchIndex);
    if (commitIndex > replica.commitIndex && !replica.installing) replica.commit(commitIndex);
    replica.outbox.hold(from, this.#appendResponse(request, true, matchIndex));
  }

  /** Undefined when an entry is damaged or out of place: refused like a mismatch, the leader sends again. */
  #decodeEntries(request: Body<'APPEND_ENTRIES'>): Entry[] | undefined {
    const entries: Entry[] = [];
    let index = request.prevLogIndex;
    for (const bytes of request.entries) {
      const entry = decodeEntry(this.#replica.host, bytes);
      index++;
      if (entry?.index !== index) return undefined;
      entries.push(entry);
    }
    return entries;
  }

  #mergeEntries(entries: Entry[]): void {
    const replica = this.#replica;
    for (const entry of entries) {
      if (entry.index <= replica.commitIndex) continue;
      const term = replica.log.termAt(entry.index);
      if (term === entry.term) continue;
      if (term !== undefined) replica.truncateFrom(entry.index);
      replica.append(entry);
    }
  }

  /** Tells the leader that this log equals its own up to `matchIndex`. */
  confirm(to: string, matchIndex: number): void {
    const request = { term: this.#replica.term, prevLogIndex: matchIndex, prevLogTerm: 0, readRound: 0 };
    this.#replica.outbox.hold(to, this.#appendResponse(request, true, matchIndex));
  }

  #appendResponse(
    request: Pick<Body<'APPEND_ENTRIES'>, 'term' | 'prevLogIndex' | 'prevLogTerm' | 'readRound'>,
    success: boolean,
    matchIndex: number,
  ): Message {
    const { term, log } = this.#replica;
    const hintIndex = success ? 0 : this.#hintFor(request);
    return {
      kind: 'APPEND_ENTRIES_RESPONSE',
      body: {
        term,
        success,
        matchIndex: success ? matchIndex : request.prevLogIndex,
        lastLogIndex: log.lastIndex,
        hintIndex,
        hintTerm: success ? 0 : (log.termAt(hintIndex) ?? 0),
        // A round of an older term says nothing in this one: its leader may have counted from the start since.
        readRound: request.term === term ? request.readRound : 0,
        wallMs: 0,
        hashIndex: 0,
        stateHash: 0,
      },
    };
  }

  /** The highest index of ours, below the refused one, whose term is not above the leader's there (§5.3, fast back-up). */
  #hintFor({ prevLogIndex, prevLogTerm }: Pick<Body<'APPEND_ENTRIES'>, 'prevLogIndex' | 'prevLogTerm'>): number {
    const { log, commitIndex } = this.#replica;
    let index = Math.min(prevLogIndex - 1, log.lastIndex);
    while (index > commitIndex && (log.termAt(index) ?? 0) > prevLogTerm) index--;
    return Math.max(index, 0);
  }
}
