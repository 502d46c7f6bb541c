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
import type { HardState, LogReader } from './log-reader.ts';
import { type Envelope, Outbox, type SequencedWrite } from './outbox.ts';
import { Progress } from './progress.ts';
import { type ReadResult, ReadRounds } from './read-rounds.ts';

export type RaftRole = 'follower' | 'candidate' | 'leader';

export interface RaftConfig {
  nodeId: string;
  /** Ids of all voters, this node among them. */
  voters: readonly string[];
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
}

export class Raft {
  readonly #host: Host;
  readonly #config: RaftConfig;
  readonly #peers: readonly string[];
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

  readonly #reads = new ReadRounds();
  readonly #outbox = new Outbox();

  constructor(host: Host, config: RaftConfig, boot: RaftBoot, reader: LogReader, random: Random, nowMs: number) {
    assert(config.voters.includes(config.nodeId), 'this node is a voter');
    this.#host = host;
    this.#config = config;
    this.#random = random;
    this.#peers = config.voters.filter((id) => id !== config.nodeId);
    this.log = new RaftLog(host, reader, boot.firstIndex, boot.lastIndex);
    this.#term = boot.hardState.term;
    this.#votedFor = boot.hardState.votedFor;
    assert(boot.appliedIndex <= boot.lastIndex, 'the log on disk reaches what was applied');
    this.commitIndex = boot.appliedIndex;
    this.#nowMs = nowMs;
    this.#resetElectionTimer();
    // A lone voter has nobody to wait for.
    if (this.#peers.length === 0) this.#electionDeadlineMs = nowMs;
  }

  get term(): number {
    return this.#term;
  }

  get hardState(): HardState {
    return { term: this.#term, votedFor: this.#votedFor };
  }

  get voters(): readonly string[] {
    return this.#config.voters;
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
    } else if (nowMs >= this.#electionDeadlineMs) {
      this.#startPreVote();
    }
  }

  receive(from: string, message: Message, nowMs: number): void {
    this.#nowMs = nowMs;
    if (!this.#config.voters.includes(from)) return;
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

  #quorum(count: number): boolean {
    return count * 2 > this.#config.voters.length;
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
    this.#votes.clear();
    this.#progress.clear();
  }

  #startPreVote(): void {
    this.#resetElectionTimer();
    this.leaderId = undefined;
    this.role = 'candidate';
    this.#preVoting = true;
    this.#votes = new Set([this.#config.nodeId]);
    if (this.#quorum(this.#votes.size)) {
      this.#startElection();
      return;
    }
    this.#broadcast({ kind: 'PRE_VOTE', body: this.#voteRequest(this.#term + 1) });
  }

  #startElection(): void {
    this.#resetElectionTimer();
    this.#term++;
    this.#votedFor = this.#config.nodeId;
    this.#outbox.hardStateChanged();
    this.#preVoting = false;
    this.role = 'candidate';
    this.#votes = new Set([this.#config.nodeId]);
    if (this.#quorum(this.#votes.size)) {
      this.#becomeLeader();
      return;
    }
    // The own vote must be on disk before anybody else's can make a majority with it.
    for (const to of this.#peers) {
      this.#outbox.hold(to, { kind: 'REQUEST_VOTE', body: this.#voteRequest(this.#term) });
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
    if (this.#quorum(this.#votes.size)) this.#startElection();
  }

  #onRequestVote(from: string, request: Body<'REQUEST_VOTE'>): void {
    if (request.term > this.#term) {
      if (this.#hearsLeader()) return;
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
    if (this.#quorum(this.#votes.size)) this.#becomeLeader();
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
    let active = 1;
    for (const peer of this.#peers) if (this.peerActive(peer)) active++;
    return this.#quorum(active);
  }

  // ---- replication -----------------------------------------------------------------------------------------------

  #append(entry: Entry): void {
    this.log.append(entry);
    this.#outbox.append(entry);
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
    if (commitIndex > this.commitIndex) this.commitIndex = commitIndex;
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
    const matches = [this.log.durableIndex];
    for (const progress of this.#progress.values()) matches.push(progress.matchIndex);
    matches.sort((a, b) => b - a);
    const majority = matches[Math.floor(matches.length / 2)] ?? 0;
    if (majority <= this.commitIndex) return;
    if (this.log.termAt(majority) !== this.#term) return;
    this.commitIndex = majority;
  }

  #confirmReads(): void {
    this.#reads.confirm([...this.#progress.values()].map(({ readRound }) => readRound));
  }
}
