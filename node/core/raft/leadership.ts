/**
 * The leader's side: heartbeats, pipelined replication, commit, and the rounds of linearizable reads.
 *
 * Invariants
 * 1. Only an entry of the current term commits by count; earlier ones commit with it (Raft §5.4.2).
 * 2. The leader counts itself only up to its own durable index: it may send entries before they are flushed here.
 * 3. A read is answered only after a commit in the leader's own term and a round of heartbeats begun after it was asked.
 * 4. A leader that a quorum has not answered lately stops leading (CheckQuorum, dissertation §6.2), and so does one whose
 *    own disk has stood still while another voter's went on.
 */
import type { Body, Message } from '../tlv/messages.ts';
import { encodeEntry, NOOP_KIND } from './entry.ts';
import { encodeMembership, isJoint, memberInfo, MEMBERSHIP_KIND, quorumValue, settled } from './membership.ts';
import { Progress } from './progress.ts';
import { type ReadResult, ReadRounds } from './read-rounds.ts';
import type { Replica } from './replica.ts';
import { SnapshotSender } from './snapshot-sender.ts';
import { Transfer } from './transfer.ts';

/** Encoded entries per append message, in bytes; a single entry may be larger. */
export const APPEND_BYTES_MAX = 512 * 1024;

export class Leadership {
  readonly #replica: Replica;
  readonly progress = new Map<string, Progress>();
  /** Of which disk `progress` tells. */
  readonly #disks = new Map<string, string | undefined>();
  readonly reads = new ReadRounds();
  readonly snapshots: SnapshotSender;
  readonly transfer: Transfer;
  /** Index of the empty entry this node began its leadership with; proposals wait until it is applied. */
  startIndex = 0;
  #heartbeatDueMs = 0;

  constructor(replica: Replica) {
    this.#replica = replica;
    this.snapshots = new SnapshotSender(replica);
    this.transfer = new Transfer(replica);
  }

  begin(): void {
    const replica = this.#replica;
    const { log, peers, nowMs } = replica;
    replica.role = 'leader';
    replica.leaderId = replica.nodeId;
    this.startIndex = log.lastIndex + 1;
    this.progress.clear();
    for (const id of peers) this.#follow(id, log.lastIndex + 1, nowMs);
    const previous = log.lastIndex === 0 ? undefined : log.entry(log.lastIndex);
    // The empty entry does not know the cluster's time yet: it repeats the last one.
    this.append(NOOP_KIND, replica.host.alloc(0), previous?.timeMs ?? 0, previous?.wallMs ?? 0);
    this.sendHeartbeats();
  }

  end(): void {
    this.reads.fail();
    this.transfer.end();
    this.snapshots.endAll();
    this.progress.clear();
  }

  /** The newest entry of the log is the one that changed them. */
  membersChanged(): void {
    const { peers, log, nowMs, membership } = this.#replica;
    for (const id of this.progress.keys()) {
      // Another disk has nothing of what the one before had.
      if (peers.includes(id) && this.#disks.get(id) === memberInfo(membership, id).dataUuid) continue;
      this.progress.delete(id);
      this.snapshots.settle(id);
    }
    for (const id of peers) {
      // That entry is the probe, so that a new member is asked for what it has even in an idle cluster.
      if (!this.progress.has(id)) this.#follow(id, log.lastIndex, nowMs);
    }
  }

  #follow(id: string, nextIndex: number, nowMs: number): void {
    this.progress.set(id, new Progress(nextIndex, nowMs));
    this.#disks.set(id, memberInfo(this.#replica.membership, id).dataUuid);
  }

  tick(): void {
    const replica = this.#replica;
    if (!replica.quorum((id) => this.isActive(id))) replica.follow(replica.term, undefined);
    else if (this.#isHeldUpByDisk()) this.#stepAside();
    else {
      if (replica.nowMs >= this.#heartbeatDueMs) this.sendHeartbeats();
      this.transfer.proceed(this.progress);
    }
  }

  /** Its commits need not wait for this node's disk, but its memory fills, and it may never write what it hands out. */
  #isHeldUpByDisk(): boolean {
    const { diskStalled, log, membership } = this.#replica;
    if (!diskStalled) return false;
    // When all disks are slow, another leader would do no better.
    return membership.voters.some((id) => this.isActive(id) && this.matchIndexOf(id) > log.durableIndex);
  }

  /** The voter that knows most may campaign at once: nobody need wait for a time-out. */
  #stepAside(): void {
    const replica = this.#replica;
    this.transfer.handOver(this.progress);
    replica.follow(replica.term, undefined);
  }

  /** True when `peer` answered within the last election time-out. */
  isActive(peer: string): boolean {
    const progress = this.progress.get(peer);
    return progress !== undefined && this.#replica.nowMs - progress.contactMs < this.#replica.config.electionMsMax;
  }

  /** How far `id` is known to have the log on its disk. */
  matchIndexOf(id: string): number {
    if (id === this.#replica.nodeId) return this.#replica.log.durableIndex;
    return this.progress.get(id)?.matchIndex ?? 0;
  }

  append(kind: number, payload: Uint8Array, timeMs: number, wallMs: number): number {
    const { host, term, log } = this.#replica;
    const index = log.lastIndex + 1;
    const head = { term, index, timeMs, wallMs, kind, previousChecksum: log.lastChecksum };
    this.#replica.append(encodeEntry(host, head, payload));
    return index;
  }

  /** Whatever can be sent now. */
  send(): void {
    if (this.reads.begin(this.#replica.commitIndex)) {
      if (this.#replica.peers.length > 0) this.sendHeartbeats();
      this.#confirmReads();
    }
    for (const [peer, progress] of this.progress) this.#replicate(peer, progress);
  }

  peerUp(peer: string): void {
    this.progress.get(peer)?.lost();
    this.snapshots.lost(peer);
  }

  // ---- replication ---------------------------------------------------------------------------------------------------

  sendHeartbeats(): void {
    const replica = this.#replica;
    const { nowMs, config, log } = replica;
    this.#heartbeatDueMs = nowMs + config.heartbeatMs;
    replica.safeCutIndex = this.#lowestNeeded();
    const stalledMs = Math.max(config.electionMsMin, 5 * config.heartbeatMs);
    for (const [peer, progress] of this.progress) {
      if (progress.stalled(nowMs, stalledMs)) progress.lost();
      // prev = match: a heartbeat on its own connection may overtake appends and must not be refused for it.
      const prevLogIndex = log.termAt(progress.matchIndex) === undefined ? 0 : progress.matchIndex;
      replica.outbox.send(peer, this.#appendMessage(prevLogIndex, log.termAt(prevLogIndex) ?? 0, []));
    }
    this.snapshots.look((peer) => this.isActive(peer));
  }

  /** Members that are away get a snapshot when they come back, if this driver can make one. */
  #lowestNeeded(): number {
    const { log, config } = this.#replica;
    let lowest = log.durableIndex;
    for (const [peer, progress] of this.progress) {
      if (config.snapshots && !this.isActive(peer)) continue;
      const index = progress.mode === 'snapshot' ? this.snapshots.indexFor(peer) : progress.matchIndex;
      lowest = Math.min(lowest, index ?? Infinity);
    }
    return lowest;
  }

  #appendMessage(prevLogIndex: number, prevLogTerm: number, entries: Uint8Array[]): Message {
    const { term, nodeId: leaderId, commitIndex: leaderCommit, safeCutIndex: cutBefore } = this.#replica;
    const readRound = this.reads.round;
    return {
      kind: 'APPEND_ENTRIES',
      body: { term, leaderId, prevLogIndex, prevLogTerm, leaderCommit, entries, readRound, cutBefore },
    };
  }

  #replicate(peer: string, progress: Progress): void {
    const { log, outbox, nowMs, config } = this.#replica;
    if (progress.mode === 'snapshot') {
      if (this.isActive(peer)) this.snapshots.want(peer);
      return;
    }
    while (progress.open() && progress.nextIndex <= log.lastIndex) {
      const prevLogIndex = progress.nextIndex - 1;
      if (!log.reaches(prevLogIndex)) {
        if (!config.snapshots) return;
        progress.awaitSnapshot();
        if (this.isActive(peer)) this.snapshots.want(peer);
        return;
      }
      const entries = log.slice(progress.nextIndex, APPEND_BYTES_MAX);
      const bytes = entries.reduce((sum, entry) => sum + entry.length, 0);
      outbox.send(peer, this.#appendMessage(prevLogIndex, log.termAt(prevLogIndex) ?? 0, entries));
      progress.sent(prevLogIndex + entries.length, bytes, nowMs);
    }
  }

  onAppendResponse(from: string, answer: Body<'APPEND_ENTRIES_RESPONSE'>): void {
    const { nowMs } = this.#replica;
    const progress = this.progress.get(from);
    if (progress === undefined) return;
    progress.contactMs = nowMs;
    if (answer.wallMs > 0) {
      progress.wallMs = answer.wallMs;
      progress.wallAtMs = nowMs;
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
    progress.acknowledged(answer.matchIndex, nowMs);
    if (progress.mode === 'snapshot' && progress.matchIndex > 0 && this.#replica.log.reaches(progress.matchIndex)) {
      this.snapshots.settle(from);
      progress.probe(progress.matchIndex + 1);
      progress.acknowledged(progress.matchIndex, nowMs);
    }
    if (advanced) this.advanceCommit();
    if (this.#replica.role === 'leader') this.transfer.proceed(this.progress);
  }

  onSnapshotResponse(from: string, answer: Body<'INSTALL_SNAPSHOT_RESPONSE'>): void {
    const progress = this.progress.get(from);
    if (progress === undefined) return;
    progress.contactMs = this.#replica.nowMs;
    this.snapshots.onResponse(from, answer);
  }

  #onRefusal(progress: Progress, answer: Body<'APPEND_ENTRIES_RESPONSE'>): void {
    if (progress.mode === 'snapshot') return;
    // A refusal of something below what has matched since is an old one, overtaken on the way.
    if (answer.matchIndex <= progress.matchIndex && progress.matchIndex > 0) return;
    if (progress.mode === 'replicate') {
      progress.probe(progress.matchIndex + 1);
      return;
    }
    // Skip our own entries above the hint's term: none of them can match there.
    const { log } = this.#replica;
    let candidate = Math.min(answer.hintIndex, log.lastIndex);
    while (candidate > progress.matchIndex && (log.termAt(candidate) ?? 0) > answer.hintTerm) candidate--;
    progress.probe(Math.max(candidate, progress.matchIndex) + 1);
  }

  // ---- commit and reads ----------------------------------------------------------------------------------------------

  advanceCommit(): void {
    const replica = this.#replica;
    const reached = quorumValue(replica.membership, (id) => this.matchIndexOf(id));
    if (reached <= replica.commitIndex) return;
    if (replica.log.termAt(reached) !== replica.term) return;
    replica.commit(reached);
    this.#followMembership();
  }

  /** The next step of a change of the members, once the last one is committed. */
  #followMembership(): void {
    const replica = this.#replica;
    const { memberships, log, host } = replica;
    if (memberships.index > replica.commitIndex) return;
    if (isJoint(memberships.current)) {
      const { timeMs, wallMs } = log.entry(log.lastIndex);
      this.append(MEMBERSHIP_KIND, encodeMembership(host, settled(memberships.current)), timeMs, wallMs);
    } else if (!replica.isVoter) {
      // Removed (dissertation §4.2.2).
      this.sendHeartbeats();
      this.#stepAside();
    }
  }

  #confirmReads(): void {
    const { membership, nodeId } = this.#replica;
    const roundOf = (id: string): number => this.progress.get(id)?.readRound ?? 0;
    this.reads.confirm(quorumValue(membership, (id) => (id === nodeId ? this.reads.round : roundOf(id))));
  }

  /** A ticket, or undefined when no read can be served yet, or too many wait. */
  askRead(): number | undefined {
    const { log, commitIndex, term } = this.#replica;
    if (log.termAt(commitIndex) !== term) return undefined;
    return this.reads.ask();
  }

  takeReads(): ReadResult[] {
    return this.reads.take();
  }
}
