/**
 * Raft as a pure, synchronous state machine: inputs change it, `output()` takes what must happen next.
 * It knows no clock (time comes with each input, in ms, monotonic), no I/O and no randomness of its own.
 *
 * After Ongaro & Ousterhout, "In Search of an Understandable Consensus Algorithm" (extended version), and Ongaro's
 * dissertation for membership (§4), transfer (§3.10), PreVote (§9.6), CheckQuorum (§6.2) and ReadIndex (§6.4).
 *
 * This is the entry; the rules are in election.ts, leadership.ts, following.ts, membership.ts, transfer.ts and the two
 * halves of a snapshot (snapshot-sender.ts, snapshot-receiver.ts), all over one replica.ts. The one that holds all of
 * them together: a message that depends on a term, a vote or an entry leaves only after that is on disk (`persisted`).
 */
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import type { Random } from '../../../base/random.ts';
import type { Message } from '../tlv/messages.ts';
import { Elections } from './election.ts';
import type { Entry } from './entry.ts';
import { Following } from './following.ts';
import { Leadership } from './leadership.ts';
import type { RaftLog } from './log.ts';
import type { HardState, LogReader } from './log-reader.ts';
import {
  encodeMembership,
  isJoint,
  memberInfo,
  type Membership,
  MEMBERSHIP_KIND,
  type MembershipOrder,
  members,
} from './membership.ts';
import type { Envelope, SequencedWrite } from './outbox.ts';
import type { ReadResult } from './read-rounds.ts';
import { type RaftBoot, type RaftConfig, type RaftRole, Replica } from './replica.ts';
import { SnapshotReceiver, type SnapshotWrite } from './snapshot-receiver.ts';
import type { SnapshotHead, SnapshotRead } from './snapshot-sender.ts';

export interface RaftOutput {
  messages: Envelope[];
  write: SequencedWrite | undefined;
  reads: ReadResult[];
  snapshots: (SnapshotRead | SnapshotWrite)[];
}

/** A promoted learner may be this many entries behind: it must not hold up the commits that need it. */
export const PROMOTION_LAG_MAX = 1_000;

/** What a leader says. */
const LEADING: ReadonlySet<string> = new Set(['APPEND_ENTRIES', 'INSTALL_SNAPSHOT']);
const ANSWERS: ReadonlySet<string> = new Set([
  ...['PRE_VOTE_RESPONSE', 'REQUEST_VOTE_RESPONSE', 'APPEND_ENTRIES_RESPONSE', 'INSTALL_SNAPSHOT_RESPONSE'],
]);

export class Raft {
  readonly #replica: Replica;
  readonly #elections: Elections;
  readonly #leadership: Leadership;
  readonly #following: Following;
  readonly #receiver: SnapshotReceiver;

  constructor(host: Host, config: RaftConfig, boot: RaftBoot, reader: LogReader, random: Random, nowMs: number) {
    this.#replica = new Replica(host, config, boot, reader, random, nowMs, {
      followed: (wasLeader) => {
        this.#elections.followed(wasLeader);
        this.#leadership.end();
      },
      membersChanged: () => {
        if (this.role === 'leader') this.#leadership.membersChanged();
      },
    });
    this.#leadership = new Leadership(this.#replica);
    this.#elections = new Elections(this.#replica, () => this.#leadership.begin());
    this.#following = new Following(this.#replica, () => this.#elections.heardLeader());
    this.#receiver = new SnapshotReceiver(this.#replica, this.#following);
  }

  // ---- what is known -------------------------------------------------------------------------------------------------

  get role(): RaftRole {
    return this.#replica.role;
  }

  get term(): number {
    return this.#replica.term;
  }

  get leaderId(): string | undefined {
    return this.#replica.leaderId;
  }

  get hardState(): HardState {
    return this.#replica.hardState;
  }

  get log(): RaftLog {
    return this.#replica.log;
  }

  get commitIndex(): number {
    return this.#replica.commitIndex;
  }

  /** The newest membership in the log, committed or not: the one this node acts on. */
  get membership(): Membership {
    return this.#replica.membership;
  }

  /** Index of the entry that carries it. */
  get membershipIndex(): number {
    return this.#replica.memberships.index;
  }

  /** Leader: index of the empty entry its leadership began with; proposals wait until it is applied. */
  get termStartIndex(): number {
    return this.#leadership.startIndex;
  }

  /** No member that is there needs an entry below this, as far as this node knows. */
  get safeCutIndex(): number {
    return this.#replica.safeCutIndex;
  }

  /** A snapshot is replacing the state: nothing may be applied or committed to it until `snapshotInstalled`. */
  get installing(): boolean {
    return this.#replica.installing;
  }

  /** Leader: how far `peer` is known to have the log; undefined for a stranger, or when this node does not lead. */
  matchIndexOf(peer: string): number | undefined {
    const isKnown = peer === this.#replica.nodeId || this.#leadership.progress.has(peer);
    return isKnown ? this.#leadership.matchIndexOf(peer) : undefined;
  }

  /** Leader: true when `peer` answered within the last election time-out. */
  peerActive(peer: string): boolean {
    return this.#leadership.isActive(peer);
  }

  /** Leader: why `peer` waits for a snapshot that it needs: there is no room, here or there. */
  snapshotWait(peer: string): string | undefined {
    return this.#leadership.snapshots.waitReason(peer);
  }

  /** The other members' wall clocks, brought forward to now (ms since the epoch): those that answered lately. */
  peerWallClocks(): number[] {
    const clocks: number[] = [];
    for (const [peer, { wallMs, wallAtMs }] of this.#leadership.progress) {
      if (wallMs !== undefined && this.peerActive(peer)) clocks.push(wallMs + this.#replica.nowMs - wallAtMs);
    }
    return clocks;
  }

  // ---- inputs --------------------------------------------------------------------------------------------------------

  tick(nowMs: number): void {
    this.#replica.nowMs = nowMs;
    if (this.role === 'leader') this.#leadership.tick();
    else this.#elections.tick();
  }

  /** `dataUuid`: the disk that the sender has. */
  receive(from: string, message: Message, nowMs: number, dataUuid?: string): void {
    this.#replica.nowMs = nowMs;
    // What another disk under this id gave, voted or has does not count: it knows nothing of what the member promised.
    if (ANSWERS.has(message.kind) && !this.#replica.isDisk(from, dataUuid)) return;
    if (LEADING.has(message.kind) && this.#isUsurper(from)) return;
    switch (message.kind) {
      case 'PRE_VOTE':
        this.#elections.onPreVote(from, message.body);
        break;
      case 'PRE_VOTE_RESPONSE':
        this.#elections.onPreVoteResponse(from, message.body);
        break;
      case 'REQUEST_VOTE':
        this.#elections.onRequestVote(from, message.body);
        break;
      case 'REQUEST_VOTE_RESPONSE':
        this.#elections.onRequestVoteResponse(from, message.body);
        break;
      case 'TIMEOUT_NOW':
        this.#elections.onTimeoutNow(from, message.body);
        break;
      case 'APPEND_ENTRIES':
        this.#following.onAppendEntries(from, message.body);
        break;
      case 'INSTALL_SNAPSHOT':
        this.#receiver.onPiece(from, message.body);
        break;
      case 'APPEND_ENTRIES_RESPONSE':
        if (this.#isForLeader(message.body.term)) this.#leadership.onAppendResponse(from, message.body);
        break;
      case 'INSTALL_SNAPSHOT_RESPONSE':
        if (this.#isForLeader(message.body.term)) this.#leadership.onSnapshotResponse(from, message.body);
        break;
      default:
        assert(false, `${message.kind} is not for the Raft core`);
    }
  }

  /**
   * No member by the newest membership here. It may lead all the same, for this log may be behind (dissertation §4.1);
   * but then the leader that this node follows falls silent, and until then a removed member must not depose it.
   */
  #isUsurper(from: string): boolean {
    const { leaderId, membership } = this.#replica;
    return from !== leaderId && !members(membership).includes(from) && this.#elections.hearsLeader();
  }

  #isForLeader(term: number): boolean {
    if (term > this.term) this.#replica.follow(term, undefined);
    return this.role === 'leader' && term === this.term;
  }

  /** The write with this sequence, and every one before it, is flushed. */
  persisted(sequence: number): void {
    const { outbox, log, term } = this.#replica;
    outbox.persisted(sequence, term, (lastIndex, lastTerm) => {
      log.persisted(lastIndex, lastTerm);
    });
    this.#elections.persisted();
    if (this.role === 'leader') this.#leadership.advanceCommit();
  }

  /** The connection to `peer` is new: what was in flight on the old one may be lost. */
  peerUp(peer: string): void {
    this.#leadership.peerUp(peer);
  }

  // ---- leader only ---------------------------------------------------------------------------------------------------

  /** Returns the index the entry will have if it commits in this term. */
  propose(kind: number, payload: Uint8Array, timeMs: number, wallMs: number): number {
    assert(this.role === 'leader', 'only a leader appends');
    return this.#leadership.append(kind, payload, timeMs, wallMs);
  }

  /** The answer comes in `reads` of a later output; undefined when too many wait or none can be served yet. */
  readIndex(): number | undefined {
    assert(this.role === 'leader', 'only a leader serves a read index');
    return this.#leadership.askRead();
  }

  /** Why the members cannot be changed now; undefined: `proposeMembership` may be called. */
  membershipBusy(): string | undefined {
    assert(this.role === 'leader', 'only a leader changes the members');
    const { log, commitIndex, term, memberships } = this.#replica;
    // Ongaro's correction of 2015: before an entry of its own term commits, a leader may know of a change that is not.
    if (log.termAt(commitIndex) !== term) return 'the leader has committed nothing in its term yet';
    if (memberships.index > commitIndex) return 'another change of the members is not committed yet';
    if (isJoint(memberships.current)) return 'another change of the members is under way';
    if (this.transferTarget !== undefined) return `the leadership is being handed to "${this.transferTarget}"`;
    return undefined;
  }

  /** A member of nothing yet begins as the only voter of a new cluster. Called again after a crash that forgot it. */
  found(): void {
    this.#replica.found();
  }

  /** Whether this node, told that it is no member (any more), asks for votes. */
  standBack(isStranger: boolean): void {
    this.#replica.standsBack = isStranger;
  }

  /** Of a membership to be proposed: why its voters are not up to deciding yet. */
  promotionFault({ voters, outgoing }: Membership): string | undefined {
    const { log, membership, config } = this.#replica;
    const unknown = voters.find((id) => memberInfo(membership, id).dataUuid === undefined);
    if (config.dataUuid !== undefined && unknown !== undefined && !membership.voters.includes(unknown)) {
      return `"${unknown}" has not been heard of yet`;
    }
    const isClose = (id: string): boolean =>
      id === this.#replica.nodeId ||
      (this.peerActive(id) && log.lastIndex - this.#leadership.matchIndexOf(id) <= PROMOTION_LAG_MAX);
    const late = voters.find((id) => !membership.voters.includes(id) && !isClose(id));
    if (late !== undefined) return `"${late}" does not answer or has not caught up with the log yet`;
    // Those who leave cannot help the others any more, and until it is settled nothing commits without both.
    if (outgoing.length === 0 || voters.filter(isClose).length * 2 > voters.length) return undefined;
    return `of the voters that would be left (${voters.join(', ')}) no majority answers and has caught up with the log`;
  }

  /** When not `membershipBusy`. A joint membership is settled by itself once it is committed. */
  proposeMembership(membership: Membership, timeMs: number, wallMs: number, order?: MembershipOrder): number {
    assert(this.membershipBusy() === undefined, 'one change of the members at a time');
    return this.propose(MEMBERSHIP_KIND, encodeMembership(this.#replica.host, membership, order), timeMs, wallMs);
  }

  /** This voter is being handed the leadership; no proposals until that is done or given up. */
  get transferTarget(): string | undefined {
    return this.#leadership.transfer.target;
  }

  /** False when `target` is no other voter, or is not answering. */
  transferTo(target: string): boolean {
    assert(this.role === 'leader', 'only a leader hands its leadership on');
    if (!this.membership.voters.includes(target) || !this.peerActive(target)) return false;
    this.#leadership.transfer.begin(target, this.#leadership.progress);
    return true;
  }

  // ---- snapshots: the driver's answers to `snapshots` of an output -----------------------------------------------------

  snapshotTaken(snapshotId: string, head: SnapshotHead | undefined, noRoom?: string): void {
    this.#leadership.snapshots.taken(snapshotId, head, noRoom);
  }

  snapshotRead(snapshotId: string, offset: number, bytes: Uint8Array, done: boolean): void {
    this.#leadership.snapshots.chunk(snapshotId, offset, bytes, done);
  }

  snapshotStored(snapshotId: string, offset: number): void {
    this.#receiver.stored(snapshotId, offset);
  }

  snapshotRefused(snapshotId: string, noRoom: string): void {
    this.#receiver.refused(snapshotId, noRoom);
  }

  snapshotInstalled(snapshotId: string): void {
    this.#receiver.installed(snapshotId);
  }

  // ---- outputs -------------------------------------------------------------------------------------------------------

  /** Makes `index` the first entry kept. The caller has applied it durably; who needs what is below gets a snapshot. */
  cut(index: number): void {
    const { log, commitIndex, outbox } = this.#replica;
    assert(index <= commitIndex, 'only what is committed is cut');
    if (index <= log.firstIndex) return;
    log.cut(index);
    outbox.cutBefore(index);
  }

  /** Entries from `from` to the commit index, as many as fit `bytesMax` but at least one. */
  committed(from: number, bytesMax: number): Entry[] {
    const entries: Entry[] = [];
    let bytes = 0;
    for (let index = from; index <= this.commitIndex; index++) {
      const entry = this.log.entry(index);
      if (entries.length > 0 && bytes + entry.bytes.length > bytesMax) break;
      entries.push(entry);
      bytes += entry.bytes.length;
    }
    return entries;
  }

  /** Takes everything that must happen now: call once at the end of each turn of the loop. */
  output(): RaftOutput {
    if (this.role === 'leader') this.#leadership.send();
    const snapshots = [...this.#leadership.snapshots.take(), ...this.#receiver.take()];
    return {
      ...this.#replica.outbox.take(this.hardState, this.#replica.nowMs),
      reads: this.#leadership.takeReads(),
      snapshots,
    };
  }
}
