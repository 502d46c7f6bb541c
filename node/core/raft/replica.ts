/**
 * What a member knows whatever its role: term and vote, its log, who decides, how far is committed.
 * Elections, the leader's side and the follower's side of replication work on this one record.
 *
 * Invariants
 * 1. The term never decreases; a vote is given once per term. Both are handed to the disk with the next write.
 * 2. commitIndex never decreases, and nothing at or below it is ever truncated.
 * 3. `memberships` always holds the newest membership of the log, committed or not: the one this node acts on.
 */
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import type { Random } from '../../../base/random.ts';
import type { Entry } from './entry.ts';
import { RaftLog } from './log.ts';
import type { HardState, LogReader } from './log-reader.ts';
import {
  decodeMembership,
  isDiskOf,
  isVoter,
  type Membership,
  MEMBERSHIP_KIND,
  MembershipHistory,
  membershipOf,
  members,
  quorum,
} from './membership.ts';
import { Outbox } from './outbox.ts';

/** What a disk may take for a write before it counts as standing still; never less than an election time-out. */
export const DISK_STALL_MS = 1_000;

export type RaftRole = 'follower' | 'candidate' | 'leader';

export interface RaftConfig {
  nodeId: string;
  electionMsMin: number;
  electionMsMax: number;
  heartbeatMs: number;
  /** Which disk this is; see `MemberInfo`. */
  dataUuid?: string | undefined;
  /** The driver can send and install snapshots, so the log need not wait for members that are away. */
  snapshots: boolean;
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
  /** The entry that the latest installed snapshot ended with; the log is to restart there if it has not yet. */
  anchor?: Entry | undefined;
}

/** What elections, leadership and following have to undo when the role changes. */
export interface RoleWatcher {
  /** This node follows (again), in this term or a newer one. */
  followed(wasLeader: boolean): void;
  membersChanged(): void;
}

export class Replica {
  readonly host: Host;
  readonly config: RaftConfig;
  readonly random: Random;
  readonly log: RaftLog;
  readonly outbox = new Outbox();
  readonly #watcher: RoleWatcher;
  memberships: MembershipHistory;
  /** All other members: voters, outgoing ones and learners. */
  peers: readonly string[] = [];
  role: RaftRole = 'follower';
  leaderId: string | undefined;
  commitIndex: number;
  nowMs: number;
  /** A snapshot is replacing the state right now: nothing may be committed or campaigned for meanwhile. */
  installing = false;
  /** Entries below this need not be kept for anybody who is there, as far as this node knows. */
  safeCutIndex = 0;
  /** Told that it is no member (any more): it gives votes, but asks for none. */
  standsBack = false;
  #term: number;
  #votedFor: string | null;

  constructor(
    host: Host,
    config: RaftConfig,
    boot: RaftBoot,
    reader: LogReader,
    random: Random,
    nowMs: number,
    watcher: RoleWatcher,
  ) {
    this.host = host;
    this.config = config;
    this.random = random;
    this.nowMs = nowMs;
    this.#watcher = watcher;
    this.log = new RaftLog(host, reader, boot.firstIndex, boot.lastIndex);
    this.#term = boot.hardState.term;
    this.#votedFor = boot.hardState.votedFor;
    this.commitIndex = boot.appliedIndex;
    this.memberships = new MembershipHistory(boot.membershipIndex, boot.membership);
    if (boot.anchor?.index === boot.appliedIndex) this.#restartAt(boot.anchor);
    assert(boot.appliedIndex <= this.log.lastIndex, 'the log on disk reaches what was applied');
    this.#learnFrom(boot.appliedIndex + 1);
    this.peers = this.#others();
  }

  get nodeId(): string {
    return this.config.nodeId;
  }

  get term(): number {
    return this.#term;
  }

  get votedFor(): string | null {
    return this.#votedFor;
  }

  get hardState(): HardState {
    return { term: this.#term, votedFor: this.#votedFor };
  }

  get membership(): Membership {
    return this.memberships.current;
  }

  get isVoter(): boolean {
    return isVoter(this.membership, this.nodeId) && this.isDisk(this.nodeId, this.config.dataUuid);
  }

  /** A member of nothing yet: begins as the only voter of a new cluster. Nothing of that is kept but what its log will say. */
  found(): void {
    assert(members(this.membership).length === 0, 'a cluster is founded by a node that is in none');
    this.memberships = new MembershipHistory(0, membershipOf([this.nodeId]));
    this.peers = this.#others();
  }

  /**
   * One that its own latest membership leaves out must still campaign until that is committed: it may be the only one
   * with the entry that the others need (dissertation §4.2.2).
   */
  get mayCampaign(): boolean {
    return (
      this.memberships.mayDecide(this.nodeId, this.config.dataUuid) &&
      !this.installing &&
      !this.standsBack &&
      !this.diskStalled
    );
  }

  /** Whether an answer from `id`, on the disk `dataUuid`, may count. */
  isDisk(id: string, dataUuid: string | undefined): boolean {
    return isDiskOf(this.membership, id, dataUuid);
  }

  /** Its own vote would not be written soon, nor what it should lead with. */
  get diskStalled(): boolean {
    const sinceMs = this.outbox.waitingSinceMs;
    return sinceMs !== undefined && this.nowMs - sinceMs >= Math.max(DISK_STALL_MS, this.config.electionMsMax);
  }

  /** Whether this node together with the others for which `holds` is true decides. */
  quorum(holds: (id: string) => boolean): boolean {
    return quorum(this.membership, (id) => id === this.nodeId || holds(id));
  }

  // ---- term and role -------------------------------------------------------------------------------------------------

  /** A new term of its own, with its own vote in it. */
  campaign(): void {
    this.#term++;
    this.#votedFor = this.nodeId;
    this.outbox.hardStateChanged();
    this.role = 'candidate';
  }

  vote(candidateId: string): void {
    if (this.#votedFor === candidateId) return;
    this.#votedFor = candidateId;
    this.outbox.hardStateChanged();
  }

  follow(term: number, leaderId: string | undefined): void {
    assert(term >= this.#term, 'the term never decreases');
    if (term > this.#term) {
      this.#term = term;
      this.#votedFor = null;
      this.outbox.hardStateChanged();
    }
    const wasLeader = this.role === 'leader';
    this.role = 'follower';
    this.leaderId = leaderId;
    this.#watcher.followed(wasLeader);
  }

  // ---- log -----------------------------------------------------------------------------------------------------------

  append(entry: Entry): void {
    this.log.append(entry);
    this.outbox.append(entry);
    if (entry.kind !== MEMBERSHIP_KIND) return;
    this.memberships.append(entry.index, decodeMembership(this.host, entry.payload));
    this.#membersChanged();
  }

  truncateFrom(index: number): void {
    assert(index > this.commitIndex, 'nothing committed is truncated');
    this.log.truncateFrom(index);
    this.outbox.truncateFrom(index);
    this.memberships.truncateFrom(index);
    this.#membersChanged();
  }

  commit(index: number): void {
    assert(index >= this.commitIndex && index <= this.log.lastIndex, 'what is committed is in the log, for ever');
    this.commitIndex = index;
    this.memberships.committed(index);
  }

  /** The state is now that of a snapshot which ends with `anchor`: so must the log be. */
  installed(anchor: Entry, membership: Membership, membershipIndex: number): void {
    assert(anchor.index > this.commitIndex, 'a snapshot never moves the commit index back');
    this.#restartAt(anchor);
    this.memberships = new MembershipHistory(membershipIndex, membership);
    this.commit(anchor.index);
    this.#learnFrom(anchor.index + 1);
    this.#membersChanged();
  }

  /** A log that has the anchor keeps what follows it (Raft §7); any other one is replaced by it. */
  #restartAt(anchor: Entry): void {
    const { log } = this;
    if (log.termAt(anchor.index) !== undefined && log.entry(anchor.index).checksum === anchor.checksum) return;
    log.restart(anchor);
    this.outbox.restart(anchor);
  }

  #learnFrom(first: number): void {
    for (let index = first; index <= this.log.lastIndex; index++) {
      const { kind, payload } = this.log.entry(index);
      if (kind === MEMBERSHIP_KIND) this.memberships.append(index, decodeMembership(this.host, payload));
    }
  }

  #membersChanged(): void {
    this.peers = this.#others();
    this.#watcher.membersChanged();
  }

  #others(): string[] {
    return members(this.membership).filter((id) => id !== this.nodeId);
  }
}
