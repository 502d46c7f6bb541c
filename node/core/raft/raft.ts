/**
 * Raft as a pure, synchronous state machine: inputs change it, `output()` takes what must happen next.
 * It knows no clock (time comes with each input, in ms, monotonic), no I/O and no randomness of its own.
 *
 * After Ongaro & Ousterhout, "In Search of an Understandable Consensus Algorithm" (extended version), and Ongaro's
 * dissertation for PreVote (§9.6), CheckQuorum (§6.2) and ReadIndex (§6.4).
 *
 * Invariants
 * 1. A message that depends on a term, a vote or an entry leaves only after that is on disk (`persisted`). Appends of a
 *    leader may leave before: it counts itself only up to its own durable index.
 * 2. Only an entry of the current term commits by count; earlier ones commit with it (§5.4.2).
 * 3. commitIndex never decreases, and nothing at or below it is ever truncated.
 * 4. A vote is weighed against the whole log, flushed or not.
 * 5. A read is answered only after a commit in the leader's own term and a round of heartbeats begun after it was asked.
 */
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import type { Random } from '../../../base/random.ts';
import type { Body, Message } from '../tlv/messages.ts';
import { decodeEntry, encodeEntry, type Entry, NOOP_KIND } from './entry.ts';
import { RaftLog } from './log.ts';
import {
  decodeMembership,
  encodeMembership,
  isJoint,
  isVoter,
  type Membership,
  MEMBERSHIP_KIND,
  MembershipHistory,
  members,
  quorum,
  quorumValue,
  settled,
} from './membership.ts';
import type { HardState, LogReader } from './log-reader.ts';
import { type Envelope, Outbox, type SequencedWrite } from './outbox.ts';
import { Progress } from './progress.ts';
import { type ReadResult, ReadRounds } from './read-rounds.ts';

export type RaftRole = 'follower' | 'candidate' | 'leader';

export interface RaftConfig {
  nodeId: string;
  electionMsMin: number;
  electionMsMax: number;
  heartbeatMs: number;
}

/** Encoded entries per append message, in bytes; a single entry may be larger. */
export const APPEND_BYTES_MAX = 512 * 1024;
export interface RaftOutput {
  messages: Envelope[];
  write: SequencedWrite | undefined;
  reads: ReadResult[];
}

export interface RaftBoot {
  hardState: HardState;
  firstIndex: number;
  lastIndex: number;
  /** What the state machine has applied durably: known to be committed. */
  appliedIndex: number;
  /** The membership as of the applied index; later ones are found in the log. */
  membership: Membership;
  /** Index of the entry that carried it, 0 for the one the cluster was born with. */
  membershipIndex: number;
}

export class Raft {
  readonly #host: Host;
  readonly #config: RaftConfig;
  /** All other members: voters, outgoing ones and learners. */
  #peers: readonly string[] = [];
  readonly #memberships: MembershipHistory;
  readonly #random: Random;
  readonly log: RaftLog;

  role: RaftRole = 'follower';
  leaderId: string | undefined;
  commitIndex: number;
  /** Index of the empty entry this node began its leadership with; proposals wait until it is applied. */
  termStartIndex = 0;
  /** Every entry below this is on every voter's disk, as far as this node knows. */
  safeCutIndex = 0;

  #term: number;
  #votedFor: string | null;
  #preVoting = false;
  #nowMs = 0;
  #electionDeadlineMs = 0;
  #leaderContactMs = -Infinity;
  #heartbeatDueMs = 0;
  #votes = new Set<string>();
  #progress = new Map<string, Progress>();

  #transfer: { target: string; deadlineMs: number; sent: boolean } | undefined;

  readonly #reads = new ReadRounds();
  readonly #outbox = new Outbox();

  constructor(host: Host, config: RaftConfig, boot: RaftBoot, reader: LogReader, random: Random, nowMs: number) {
    this.#host = host;
    this.#config = config;
    this.#random = random;
    this.log = new RaftLog(host, reader, boot.firstIndex, boot.lastIndex);
    this.#memberships = new MembershipHistory(boot.membershipIndex, boot.membership);
    for (let index = boot.appliedIndex + 1; index <= boot.lastIndex; index++) this.#learnMembership(this.log.entry(index));
    this.#membershipChanged();
    this.#term = boot.hardState.term;
    this.#votedFor = boot.hardState.votedFor;
    assert(boot.appliedIndex <= boot.lastIndex, 'the log on disk reaches what was applied');
    this.commitIndex = boot.appliedIndex;
    this.#nowMs = nowMs;
    this.#resetElectionTimer();
    // A lone voter has nobody to wait for.
    if (this.#quorum(() => false)) this.#electionDeadlineMs = nowMs;
  }

  get term(): number {
    return this.#term;
  }

  get hardState(): HardState {
    return { term: this.#term, votedFor: this.#votedFor };
  }

  /** The newest membership in the log, committed or not: the one this node acts on. */
  get membership(): Membership {
    return this.#memberships.current;
  }

  /** Leader: how far `peer` is known to have the log; undefined for a peer of a non-leader. */
  matchIndexOf(peer: string): number | undefined {
    if (peer === this.#config.nodeId) return this.log.durableIndex;
    return this.#progress.get(peer)?.matchIndex;
  }

  /** Leader: true when `peer` answered within the last election time-out. */
  peerActive(peer: string): boolean {
    const progress = this.#progress.get(peer);
    return progress !== undefined && this.#nowMs - progress.contactMs < this.#config.electionMsMax;
  }

  /** The other voters' wall clocks, brought forward to now (ms since the epoch): those that answered lately. */
  peerWallClocks(): number[] {
    const clocks: number[] = [];
    for (const [peer, progress] of this.#progress) {
      if (progress.wallMs !== undefined && this.peerActive(peer)) {
        clocks.push(progress.wallMs + this.#nowMs - progress.wallAtMs);
      }
    }
    return clocks;
  }

  // ---- inputs ----------------------------------------------------------------------------------------------------

  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.role === 'leader') {
      if (!this.#hearsQuorum()) this.#becomeFollower(this.#term, undefined);
      else if (nowMs >= this.#heartbeatDueMs) this.#sendHeartbeats();
      this.#continueTransfer();
    } else if (nowMs >= this.#electionDeadlineMs) {
      this.#startPreVote();
    }
  }

  receive(from: string, message: Message, nowMs: number): void {
    this.#nowMs = nowMs;
    switch (message.kind) {
      case 'PRE_VOTE':
        this.#onPreVote(from, message.body);
        break;
      case 'PRE_VOTE_RESPONSE':
        this.#onPreVoteResponse(from, message.body);
        break;
      case 'REQUEST_VOTE':
        this.#onRequestVote(from, message.body);
        break;
      case 'REQUEST_VOTE_RESPONSE':
        this.#onRequestVoteResponse(from, message.body);
        break;
      case 'APPEND_ENTRIES':
        this.#onAppendEntries(from, message.body);
        break;
      case 'APPEND_ENTRIES_RESPONSE':
        this.#onAppendEntriesResponse(from, message.body);
        break;
      case 'TIMEOUT_NOW':
        this.#onTimeoutNow(message.body);
        break;
      default:
        assert(false, `${message.kind} is not for the Raft core`);
    }
  }

  /** The write with this sequence, and every one before it, is flushed. */
  persisted(sequence: number): void {
    this.#outbox.persisted(sequence, this.#term, (lastIndex, lastTerm) => {
      this.log.persisted(lastIndex, lastTerm);
    });
    if (this.role === 'leader') this.#advanceCommit();
  }

  /** Leader only. Returns the index the entry will have if it commits in this term. */
  propose(kind: number, payload: Uint8Array, timeMs: number, wallMs: number): number {
    assert(this.role === 'leader', 'only a leader appends');
    const index = this.log.lastIndex + 1;
    const head = { term: this.#term, index, timeMs, wallMs, kind, previousChecksum: this.log.lastChecksum };
    this.#append(encodeEntry(this.#host, head, payload));
    return index;
  }

  /** Leader only. The answer comes in `reads` of a later output; undefined when too many wait or none can be served yet. */
  readIndex(): number | undefined {
    assert(this.role === 'leader', 'only a leader serves a read index');
    if (this.log.termAt(this.commitIndex) !== this.#term) return undefined;
    return this.#reads.ask();
  }

  /** The connection to `peer` is new: what was in flight on the old one may be lost. */
  peerUp(peer: string): void {
    this.#progress.get(peer)?.lost();
  }

  /** Makes `index` the first entry kept: the caller knows that nobody needs what is below it. */
  cut(index: number): void {
    assert(index <= this.safeCutIndex, 'no voter needs what is cut');
    if (index <= this.log.firstIndex) return;
    this.log.cut(index);
    this.#outbox.cutBefore(index);
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
    if (this.role === 'leader') {
      if (this.#reads.begin(this.commitIndex)) {
        if (this.#peers.length > 0) this.#sendHeartbeats();
        this.#confirmReads();
      }
      for (const [peer, progress] of this.#progress) this.#replicate(peer, progress);
    }
    return { ...this.#outbox.take(this.hardState), reads: this.#reads.take() };
  }

  // ---- elections -------------------------------------------------------------------------------------------------

  #resetElectionTimer(): void {
    const { electionMsMin, electionMsMax } = this.#config;
    this.#electionDeadlineMs = this.#nowMs + this.#random.integer(electionMsMin, electionMsMax);
  }

  /** Whether this node together with the others for which `holds` is true decides. */
  #quorum(holds: (id: string) => boolean): boolean {
    return quorum(this.membership, (id) => id === this.#config.nodeId || holds(id));
  }

  get #votedIn(): boolean {
    return this.#quorum((id) => this.#votes.has(id));
  }

  #becomeFollower(term: number, leaderId: string | undefined): void {
    assert(term >= this.#term, 'the term never decreases');
    if (term > this.#term) {
      this.#term = term;
      this.#votedFor = null;
      this.#outbox.hardStateChanged();
    }
    if (this.role === 'leader') {
      this.#reads.fail();
      // Its own deadline is from before it led: without a new one it would campaign at once against its successor.
      this.#resetElectionTimer();
    }
    this.role = 'follower';
    this.leaderId = leaderId;
    this.#preVoting = false;
    this.#transfer = undefined;
    this.#votes.clear();
    this.#progress.clear();
  }

  #startPreVote(): void {
    this.#resetElectionTimer();
    if (!isVoter(this.membership, this.#config.nodeId)) return;
    this.leaderId = undefined;
    this.role = 'candidate';
    this.#preVoting = true;
    this.#votes.clear();
    if (this.#votedIn) {
      this.#startElection(false);
      return;
    }
    this.#broadcast({ kind: 'PRE_VOTE', body: this.#voteRequest(this.#term + 1) });
  }

  /** `transfer`: the leader itself asked for it, so that nobody need wait until it has been silent. */
  #startElection(transfer: boolean): void {
    this.#resetElectionTimer();
    this.#term++;
    this.#votedFor = this.#config.nodeId;
    this.#outbox.hardStateChanged();
    this.#preVoting = false;
    this.role = 'candidate';
    this.#votes.clear();
    if (this.#votedIn) {
      this.#becomeLeader();
      return;
    }
    // The own vote must be on disk before anybody else's can make a majority with it.
    for (const to of this.#peers) {
      const body = { ...this.#voteRequest(this.#term), ...(transfer ? { transfer } : {}) };
      this.#outbox.hold(to, { kind: 'REQUEST_VOTE', body });
    }
  }

  #voteRequest(term: number): Body<'REQUEST_VOTE'> {
    const { lastIndex, lastTerm } = this.log;
    return { term, candidateId: this.#config.nodeId, lastLogIndex: lastIndex, lastLogTerm: lastTerm };
  }

  /** §5.4.1: a later last term wins; at the same term the longer log. */
  #upToDate(request: Body<'REQUEST_VOTE'>): boolean {
    if (request.lastLogTerm !== this.log.lastTerm) return request.lastLogTerm > this.log.lastTerm;
    return request.lastLogIndex >= this.log.lastIndex;
  }

  /** While a leader is heard from, nobody needs another (dissertation §4.2.3): a returning node disturbs nothing. */
  #hearsLeader(): boolean {
    if (this.role === 'leader') return true;
    return this.leaderId !== undefined && this.#nowMs - this.#leaderContactMs < this.#config.electionMsMin;
  }

  #onPreVote(from: string, request: Body<'PRE_VOTE'>): void {
    const granted = request.term > this.#term && this.#upToDate(request) && !this.#hearsLeader();
    // The refusal carries our term, so that a node left behind learns it; a grant echoes the term asked for.
    if (granted) this.#outbox.send(from, { kind: 'PRE_VOTE_RESPONSE', body: { term: request.term, granted } });
    else this.#outbox.hold(from, { kind: 'PRE_VOTE_RESPONSE', body: { term: this.#term, granted } });
  }

  #onPreVoteResponse(from: string, answer: Body<'PRE_VOTE_RESPONSE'>): void {
    if (!answer.granted) {
      if (answer.term > this.#term) this.#becomeFollower(answer.term, undefined);
      return;
    }
    if (!this.#preVoting || answer.term !== this.#term + 1) return;
    this.#votes.add(from);
    if (this.#votedIn) this.#startElection(false);
  }

  #onRequestVote(from: string, request: Body<'REQUEST_VOTE'>): void {
    if (request.term > this.#term) {
      if (this.#hearsLeader() && request.transfer !== true) return;
      this.#becomeFollower(request.term, undefined);
    }
    const granted =
      request.term === this.#term &&
      (this.#votedFor === null || this.#votedFor === request.candidateId) &&
      this.role !== 'leader' &&
      this.#upToDate(request);
    if (granted) {
      if (this.#votedFor === null) {
        this.#votedFor = request.candidateId;
        this.#outbox.hardStateChanged();
      }
      this.#resetElectionTimer();
    }
    this.#outbox.hold(from, { kind: 'REQUEST_VOTE_RESPONSE', body: { term: this.#term, granted } });
  }

  #onRequestVoteResponse(from: string, answer: Body<'REQUEST_VOTE_RESPONSE'>): void {
    if (answer.term > this.#term) {
      this.#becomeFollower(answer.term, undefined);
      return;
    }
    if (this.role !== 'candidate' || this.#preVoting || answer.term !== this.#term || !answer.granted) return;
    this.#votes.add(from);
    if (this.#votedIn) this.#becomeLeader();
  }

  #becomeLeader(): void {
    this.role = 'leader';
    this.leaderId = this.#config.nodeId;
    this.#votes.clear();
    this.#progress = new Map(this.#peers.map((id) => [id, new Progress(this.log.lastIndex + 1, this.#nowMs)]));
    this.#heartbeatDueMs = this.#nowMs;
    const index = this.log.lastIndex + 1;
    const previous = this.log.lastIndex === 0 ? undefined : this.log.entry(this.log.lastIndex);
    this.#append(
      encodeEntry(
        this.#host,
        {
          term: this.#term,
          index,
          // The empty entry does not know the cluster's time yet: it repeats the last one.
          timeMs: previous?.timeMs ?? 0,
          wallMs: previous?.wallMs ?? 0,
          kind: NOOP_KIND,
          previousChecksum: this.log.lastChecksum,
        },
        this.#host.alloc(0),
      ),
    );
    this.termStartIndex = index;
    this.#sendHeartbeats();
  }

  /** CheckQuorum: a leader that a majority has not answered lately may have been replaced already. */
  #hearsQuorum(): boolean {
    return this.#quorum((id) => this.peerActive(id));
  }

  // ---- replication -----------------------------------------------------------------------------------------------

  #append(entry: Entry): void {
    this.log.append(entry);
    this.#outbox.append(entry);
    if (entry.kind !== MEMBERSHIP_KIND) return;
    this.#learnMembership(entry);
    this.#membershipChanged();
  }

  #broadcast(message: Message): void {
    for (const to of this.#peers) this.#outbox.send(to, message);
  }

  #sendHeartbeats(): void {
    this.#heartbeatDueMs = this.#nowMs + this.#config.heartbeatMs;
    this.safeCutIndex = Math.max(this.safeCutIndex, this.#lowestMatch());
    const stalledMs = Math.max(this.#config.electionMsMin, 5 * this.#config.heartbeatMs);
    for (const [peer, progress] of this.#progress) {
      if (progress.stalled(this.#nowMs, stalledMs)) progress.lost();
      // prev = match: a heartbeat on its own connection may overtake appends and must not be refused for it.
      const prevLogTerm = this.log.termAt(progress.matchIndex);
      if (prevLogTerm === undefined) continue;
      this.#outbox.send(peer, this.#appendMessage(progress.matchIndex, prevLogTerm, []));
    }
  }

  #lowestMatch(): number {
    let lowest = this.log.durableIndex;
    for (const progress of this.#progress.values()) lowest = Math.min(lowest, progress.matchIndex);
    return lowest;
  }

  #appendMessage(prevLogIndex: number, prevLogTerm: number, entries: Uint8Array[]): Message {
    return {
      kind: 'APPEND_ENTRIES',
      body: {
        term: this.#term,
        leaderId: this.#config.nodeId,
        prevLogIndex,
        prevLogTerm,
        leaderCommit: this.commitIndex,
        entries,
        readRound: this.#reads.round,
        cutBefore: this.safeCutIndex,
      },
    };
  }

  #replicate(peer: string, progress: Progress): void {
    while (progress.open() && progress.nextIndex <= this.log.lastIndex) {
      const prevLogIndex = progress.nextIndex - 1;
      const prevLogTerm = this.log.termAt(prevLogIndex);
      // Below the cut only a snapshot helps; the cut never passes a voter's match, so that is a lost disk.
      if (prevLogTerm === undefined) return;
      const entries = this.log.slice(progress.nextIndex, APPEND_BYTES_MAX);
      const bytes = entries.reduce((sum, entry) => sum + entry.length, 0);
      this.#outbox.send(peer, this.#appendMessage(prevLogIndex, prevLogTerm, entries));
      progress.sent(prevLogIndex + entries.length, bytes, this.#nowMs);
    }
  }

  #onAppendEntries(from: string, request: Body<'APPEND_ENTRIES'>): void {
    if (request.term < this.#term) {
      // Tells a term, so it waits for it like any answer: a restart must not take it back.
      this.#outbox.hold(from, this.#appendResponse(request, false, 0));
      return;
    }
    assert(this.role !== 'leader' || request.term > this.#term, 'one leader per term');
    if (request.term > this.#term || this.role !== 'follower') this.#becomeFollower(request.term, from);
    this.leaderId = from;
    this.#leaderContactMs = this.#nowMs;
    this.#resetElectionTimer();
    if (request.cutBefore > this.safeCutIndex) this.safeCutIndex = request.cutBefore;

    const { prevLogIndex } = request;
    // What is committed is equal in every log: a predecessor below it needs no comparison (it may be cut away).
    const matches = prevLogIndex <= this.commitIndex || this.log.termAt(prevLogIndex) === request.prevLogTerm;
    const entries = matches ? this.#decodeEntries(request) : undefined;
    if (entries === undefined) {
      this.#outbox.hold(from, this.#appendResponse(request, false, 0));
      return;
    }
    this.#mergeEntries(entries);
    const matchIndex = prevLogIndex + entries.length;
    const commitIndex = Math.min(request.leaderCommit, matchIndex);
    if (commitIndex > this.commitIndex) this.#setCommit(commitIndex);
    this.#outbox.hold(from, this.#appendResponse(request, true, matchIndex));
  }

  /** Undefined when an entry is damaged or out of place: refused like a mismatch, the leader sends again. */
  #decodeEntries(request: Body<'APPEND_ENTRIES'>): Entry[] | undefined {
    const entries: Entry[] = [];
    let index = request.prevLogIndex;
    for (const bytes of request.entries) {
      const entry = decodeEntry(this.#host, bytes);
      index++;
      if (entry?.index !== index) return undefined;
      entries.push(entry);
    }
    return entries;
  }

  #mergeEntries(entries: Entry[]): void {
    for (const entry of entries) {
      if (entry.index <= this.commitIndex) continue;
      const term = this.log.termAt(entry.index);
      if (term === entry.term) continue;
      if (term !== undefined) {
        this.log.truncateFrom(entry.index);
        this.#outbox.truncateFrom(entry.index);
        this.#memberships.truncateFrom(entry.index);
        this.#membershipChanged();
      }
      this.#append(entry);
    }
  }

  #appendResponse(request: Body<'APPEND_ENTRIES'>, success: boolean, matchIndex: number): Message {
    const hintIndex = success ? 0 : this.#hintFor(request);
    return {
      kind: 'APPEND_ENTRIES_RESPONSE',
      body: {
        term: this.#term,
        success,
        matchIndex: success ? matchIndex : request.prevLogIndex,
        lastLogIndex: this.log.lastIndex,
        hintIndex,
        hintTerm: success ? 0 : (this.log.termAt(hintIndex) ?? 0),
        // A round of an older term says nothing in this one: its leader may have counted from the start since.
        readRound: request.term === this.#term ? request.readRound : 0,
        wallMs: 0,
        hashIndex: 0,
        stateHash: 0,
      },
    };
  }

  /** The highest index of ours, below the refused one, whose term is not above the leader's there (§5.3, fast back-up). */
  #hintFor(request: Body<'APPEND_ENTRIES'>): number {
    let index = Math.min(request.prevLogIndex - 1, this.log.lastIndex);
    while (index > this.commitIndex && (this.log.termAt(index) ?? 0) > request.prevLogTerm) index--;
    return Math.max(index, 0);
  }

  #onAppendEntriesResponse(from: string, answer: Body<'APPEND_ENTRIES_RESPONSE'>): void {
    if (answer.term > this.#term) {
      this.#becomeFollower(answer.term, undefined);
      return;
    }
    const progress = this.#progress.get(from);
    if (this.role !== 'leader' || answer.term !== this.#term || progress === undefined) return;
    progress.contactMs = this.#nowMs;
    if (answer.wallMs > 0) {
      progress.wallMs = answer.wallMs;
      progress.wallAtMs = this.#nowMs;
    }
    if (answer.readRound > progress.readRound) {
      progress.readRound = answer.readRound;
      this.#confirmReads();
    }
    if (!answer.success) {
      this.#onRefusal(progress, answer);
      return;
    }
    const advanced = answer.matchIndex > progress.matchIndex;
    progress.acknowledged(answer.matchIndex, this.#nowMs);
    if (advanced) this.#advanceCommit();
    this.#continueTransfer();
  }

  #onRefusal(progress: Progress, answer: Body<'APPEND_ENTRIES_RESPONSE'>): void {
    // A refusal of something below what has matched since is an old one, overtaken on the way.
    if (answer.matchIndex <= progress.matchIndex && progress.matchIndex > 0) return;
    if (progress.mode === 'replicate') {
      progress.probe(progress.matchIndex + 1);
      return;
    }
    // Skip our own entries above the hint's term: none of them can match there.
    let candidate = Math.min(answer.hintIndex, this.log.lastIndex);
    while (candidate > progress.matchIndex && (this.log.termAt(candidate) ?? 0) > answer.hintTerm) candidate--;
    progress.probe(Math.max(candidate, progress.matchIndex) + 1);
  }

  #advanceCommit(): void {
    const reached = quorumValue(this.membership, (id) => this.matchIndexOf(id) ?? 0);
    if (reached <= this.commitIndex) return;
    if (this.log.termAt(reached) !== this.#term) return;
    this.#setCommit(reached);
    this.#followMembership();
  }

  #setCommit(index: number): void {
    this.commitIndex = index;
    this.#memberships.committed(index);
  }

  #confirmReads(): void {
    const roundOf = (id: string): number => this.#progress.get(id)?.readRound ?? 0;
    this.#reads.confirm(
      quorumValue(this.membership, (id) => (id === this.#config.nodeId ? this.#reads.round : roundOf(id))),
    );
  }

  // ---- membership (dissertation §4) and transfer of leadership (§3.10) ----------------------------------------------

  /** Why the members cannot be changed now; undefined: `proposeMembership` may be called. Leader only. */
  membershipBusy(): string | undefined {
    assert(this.role === 'leader', 'only a leader changes the members');
    // Ongaro's correction of 2015: before an entry of its own term commits, a leader may know of a change that is not.
    if (this.log.termAt(this.commitIndex) !== this.#term) return 'the leader has committed nothing in its term yet';
    if (this.#memberships.index > this.commitIndex) return 'another change of the members is not committed yet';
    if (isJoint(this.membership)) return 'another change of the members is under way';
    return undefined;
  }

  /** Leader only, when not `membershipBusy`. A joint membership is settled by itself once it is committed. */
  proposeMembership(membership: Membership, timeMs: number, wallMs: number): number {
    assert(this.membershipBusy() === undefined, 'one change of the members at a time');
    return this.propose(MEMBERSHIP_KIND, encodeMembership(this.#host, membership), timeMs, wallMs);
  }

  /** Leader: the next step of a change once the last one is committed. */
  #followMembership(): void {
    if (this.#memberships.index > this.commitIndex) return;
    if (isJoint(this.membership)) {
      const { timeMs, wallMs } = this.log.entry(this.log.lastIndex);
      this.propose(MEMBERSHIP_KIND, encodeMembership(this.#host, settled(this.membership)), timeMs, wallMs);
    } else if (!isVoter(this.membership, this.#config.nodeId)) {
      // Removed: the others elect one of their own (§4.2.2).
      this.#becomeFollower(this.#term, undefined);
    }
  }

  #learnMembership(entry: Entry): void {
    if (entry.kind !== MEMBERSHIP_KIND) return;
    this.#memberships.append(entry.index, decodeMembership(this.#host, entry.payload));
  }

  #membershipChanged(): void {
    this.#peers = members(this.membership).filter((id) => id !== this.#config.nodeId);
    if (this.role !== 'leader') return;
    for (const id of this.#progress.keys()) if (!this.#peers.includes(id)) this.#progress.delete(id);
    for (const id of this.#peers) {
      if (!this.#progress.has(id)) this.#progress.set(id, new Progress(this.log.lastIndex + 1, this.#nowMs));
    }
  }

  /** Leader: `id` is being handed the leadership; no proposals until that is done or given up. */
  get transferTarget(): string | undefined {
    return this.#transfer?.target;
  }

  /** Leader only. False when `target` is no other voter or is not answering. */
  transferTo(target: string): boolean {
    assert(this.role === 'leader', 'only a leader hands its leadership on');
    if (!this.membership.voters.includes(target) || !this.peerActive(target)) return false;
    this.#transfer = { target, deadlineMs: this.#nowMs + this.#config.electionMsMax, sent: false };
    this.#continueTransfer();
    return true;
  }

  #continueTransfer(): void {
    if (this.#transfer === undefined) return;
    if (this.#nowMs >= this.#transfer.deadlineMs) {
      this.#transfer = undefined;
      return;
    }
    const { target, sent } = this.#transfer;
    if (sent || this.#progress.get(target)?.matchIndex !== this.log.lastIndex) return;
    this.#transfer.sent = true;
    this.#outbox.send(target, { kind: 'TIMEOUT_NOW', body: { term: this.#term } });
  }

  #onTimeoutNow({ term }: Body<'TIMEOUT_NOW'>): void {
    if (term !== this.#term || this.role !== 'follower' || !isVoter(this.membership, this.#config.nodeId)) return;
    this.#startElection(true);
  }
}
