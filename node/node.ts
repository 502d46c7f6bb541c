/**
 * THE loop of a coordinator: an input changes the cores, `turn()` lets everything follow that can. Every hop of a
 * message is a line here: proposed -> appended -> flushed on a majority -> applied -> assigned -> reported -> applied.
 *
 * It is synchronous and knows no clock, socket or file: the simulator runs this very code.
 *
 * Invariants
 * 1. The ingress is answered only after the entry is committed and applied here (leader) or there (forwarded).
 * 2. A leader proposes nothing before the empty entry of its term is applied: until then it may not know what is committed.
 * 3. Attempts are pushed only after their assignment is applied locally.
 */
import type { Host } from '../base/host.ts';
import { Admission } from './admission.ts';
import { Answers } from './answers.ts';
import { ClusterClock } from './cluster-clock.ts';
import {
  type CoordinatorConfig,
  type CoordinatorParts,
  KEEP_ALL,
  LOG_KEPT,
  STORAGE_LIMITS,
  strategyOf,
} from './coordinator-parts.ts';
import { GossipView } from './gossip-view.ts';
import { membershipOf, members, type Membership, type MembershipOrder } from './core/raft/membership.ts';
import { COORDINATOR_KINDS } from './core/raft/raft-kinds.ts';
import { Raft } from './core/raft/raft.ts';
import type { RaftRole } from './core/raft/replica.ts';
import { AdvanceTime, Bootstrap, COMMAND, OpenCluster, RaiseLevel, Sweep } from './core/state/commands.ts';
import type { StateEvent } from './core/state/events.ts';
import { FEATURE_LEVEL } from './core/state/feature-level.ts';
import { StateMachine } from './core/state/machine.ts';
import { ProposalResult } from './core/state/outcomes.ts';
import type { KeyValueReader } from './core/state/store.ts';
import { Views } from './core/state/views.ts';
import type { Body, Message } from './core/tlv/messages.ts';
import { decode, encode, type Struct } from './core/tlv/struct.ts';
import type { CoordinatorMetrics } from './metrics.ts';
import { MemberDesk } from './member-desk.ts';
import type { Change, CoordinatorPorts, Input, Now, Proposal } from './ports.ts';
import { commandFault, FORWARDED_MAX, type Origin, Proposals, refusal } from './proposals.ts';
import { Durability } from './durability.ts';
import { FeatureLevels } from './feature-levels.ts';
import { RareWarnings } from './rare-warnings.ts';
import { Reads } from './reads.ts';
import { anchorOf, Snapshots } from './snapshots.ts';
import { StateHashes } from './state-hashes.ts';
import { isNodeQuery, nodeAnswer, type StatusSource } from './status.ts';
import { type Fullness, StorageWatch } from './storage-watch.ts';
import { Sweeper } from './sweeper.ts';
import { TaskDesk } from './task-desk.ts';

/** Committed entries applied in one turn, in bytes: a long catch-up must not starve heartbeats. */
export const APPLY_BYTES_PER_TURN = 4 * 1024 * 1024;

export class Coordinator {
  readonly #config: CoordinatorConfig;
  readonly #host: Host;
  readonly #ports: CoordinatorPorts;
  readonly #metrics: CoordinatorMetrics;
  readonly raft: Raft;
  readonly state: StateMachine;
  readonly #proposals = new Proposals();
  readonly #admission: Admission;
  readonly #answers: Answers;
  readonly #reads: Reads;
  readonly #snapshots: Snapshots;
  readonly members: MemberDesk;
  readonly gossip = new GossipView();
  readonly #durability: Durability;
  readonly #storage: StorageWatch;
  readonly #levels: FeatureLevels;
  readonly #sweeper: Sweeper;
  readonly #desk: TaskDesk;
  readonly #views: Views;
  readonly #clock = new ClusterClock();
  readonly #peersUp = new Set<string>();
  readonly #warnings: RareWarnings;
  #now: Now;
  #role: RaftRole = 'follower';
  /** None yet, so that the first turn tells the metrics what it finds. */
  #term = -1;
  #leaderId: string | undefined;
  /** Kinds of which the loop proposes one at a time, and has. */
  readonly #underWay = new Set<number>();
  #catalogSent = -1;
  #accessSent = -1;
  readonly #hashes: StateHashes;
  #halted = false;

  constructor(config: CoordinatorConfig, parts: CoordinatorParts, now: Now) {
    this.#config = config;
    this.#host = parts.host;
    this.#ports = parts.ports;
    this.#metrics = parts.metrics;
    this.#now = now;
    this.#warnings = new RareWarnings(parts.ports.log);
    this.#answers = new Answers(parts.host, parts.ports);
    this.#hashes = new StateHashes(config.raft.nodeId);
    this.#levels = new FeatureLevels(config.raft.nodeId, config.featureLevel ?? FEATURE_LEVEL);
    this.state = new StateMachine(parts.host, parts.store, this.#levels.own);
    const bornWith = membershipOf(config.voters);
    const { appliedIndex, membership = bornWith, membershipIndex } = this.state;
    const anchor = anchorOf(parts.host, parts.store);
    const boot = { ...parts.boot, appliedIndex, membership, membershipIndex, anchor };
    const raftConfig = { ...config.raft, snapshots: parts.ports.snapshots !== undefined };
    this.raft = new Raft(parts.host, raftConfig, boot, parts.log, parts.random, now.monotonicMs);
    const { log, snapshots: port } = parts.ports;
    this.#snapshots = new Snapshots({ raft: this.raft, port, log, metrics: parts.metrics, bornWith });
    this.members = new MemberDesk({
      host: parts.host,
      ports: parts.ports,
      raft: this.raft,
      nodeId: config.raft.nodeId,
      dataUuid: config.raft.dataUuid,
      addresses: new Map(config.coordinators.map(({ id, ...info }) => [id, info])),
      propose: (...change) => this.#proposeMembership(...change),
      append: (...entry) => this.#appendEntry(...entry),
      levelFault: (to) => this.#levels.fault(to, this.state.featureLevel),
    });
    this.#durability = new Durability({
      raft: this.raft,
      state: this.state,
      commitState: (writes) => parts.ports.commitState(writes),
      logBytes: parts.logBytes ?? (() => 0),
      logKept: config.logKept ?? LOG_KEPT,
      snapshots: parts.ports.snapshots !== undefined,
    });
    const { storage = () => ({ what: 'disk', share: 0 }) } = parts;
    const measure = (): Fullness => storage(this.state.pendingBytes);
    this.#storage = new StorageWatch(config.raft.nodeId, measure, config.storageLimits ?? STORAGE_LIMITS);
    const limits = { proposals: this.#proposals, storage: this.#storage, hashes: this.#hashes };
    this.#admission = new Admission({ config, state: this.state, ...limits });
    this.#sweeper = new Sweeper(config.retention ?? KEEP_ALL, (sweep, applied) => {
      this.#proposeOwn(COMMAND.sweep, Sweep, sweep, applied);
    });
    this.#views = new Views(parts.host, this.state);
    this.#reads = new Reads(parts.ports, this.state, (query) =>
      isNodeQuery(query) ? nodeAnswer(query, this.#statusSource()) : this.#views.answer(query),
    );
    this.#desk = new TaskDesk(
      {
        host: parts.host,
        ports: parts.ports,
        metrics: parts.metrics,
        state: this.state,
        gossip: this.gossip,
        strategy: strategyOf(config, parts),
        propose: (kind, struct, body, applied) => this.#proposeOwn(kind, struct, body, applied),
      },
      config.workerLossMs,
    );
  }

  /**
   * True while this node leads and may take proposals. While the leadership is being handed on nothing is appended, or
   * the target would never have caught up.
   */
  get serving(): boolean {
    const { role, termStartIndex, transferTarget } = this.raft;
    return role === 'leader' && this.state.appliedIndex >= termStartIndex && transferTarget === undefined;
  }

  get leaderId(): string | undefined {
    return this.raft.leaderId;
  }

  /** How full this node is, and what is taken in: by the fullest voter if this node leads. */
  get storage(): Pick<StorageWatch, 'own' | 'level' | 'reason'> {
    return this.#storage;
  }

  /** Ids of connected workers. */
  get connectedWorkers(): ReadonlySet<string> {
    return this.#desk.connected;
  }

  /** Takes one input in; nothing leaves before `turn()`. */
  step(input: Input, now: Now): void {
    this.#now = now;
    if (input.kind === 'message' && COORDINATOR_KINDS.has(input.message.kind) && !this.#peersUp.has(input.from)) {
      const { from, message } = input;
      this.#warnings.about(from, message.kind, 'message refused: not from a coordinator', now.monotonicMs);
      return;
    }
    switch (input.kind) {
      case 'tick':
        this.raft.tick(now.monotonicMs);
        this.#watchStorage();
        break;
      case 'message':
        this.#onMessage(input.from, input.message, input.dataUuid);
        break;
      case 'peerUp':
        if (input.role === 'worker') {
          this.#desk.workerUp(input.peer, this.raft.leaderId);
          this.members.tellWorkers([input.peer]);
        } else {
          this.#peersUp.add(input.peer);
          this.raft.peerUp(input.peer);
          this.members.tellStranger(input.peer, input.dataUuid);
        }
        break;
      case 'peerDown':
        if (input.role === 'worker') this.#desk.workerDown(input.peer, now.monotonicMs);
        else this.#onPeerDown(input.peer);
        break;
      case 'persisted':
        this.raft.persisted(input.sequence);
        break;
      case 'stateCommitted':
        this.#durability.committed();
        break;
      case 'gossip':
        for (const { member } of this.gossip.hear(input.news, now.monotonicMs)) this.#desk.workerChanged(member.id);
        break;
      case 'propose':
        this.#propose(input);
        break;
      case 'query':
        this.#reads.ask(input, now.monotonicMs);
        break;
      default: {
        const replaced = this.#snapshots.step(input);
        if (replaced !== undefined) this.#reopenState(replaced.installed, replaced.store);
        break;
      }
    }
  }

  /** Lets everything follow from the inputs so far. True: there is more to do, call again soon. */
  turn(now: Now): boolean {
    if (this.#halted) return false;
    this.#now = now;
    this.#watchLeadership();
    this.members.watch();
    this.#applyCommitted();
    this.#reads.serve(this.raft, now.monotonicMs);
    if (this.serving && !this.#hashes.disputed) this.#lead();
    this.#flush();
    this.#durability.commit(now.monotonicMs);
    return this.#durability.mayApply();
  }

  // ---- inputs --------------------------------------------------------------------------------------------------------

  #onMessage(from: string, message: Message, dataUuid: string | undefined): void {
    if (message.kind === 'APPEND_ENTRIES') {
      const { hashIndex = 0, stateHash = 0 } = message.body;
      this.#hashes.check({ hashIndex, stateHash });
    }
    switch (message.kind) {
      case 'REQUEST_VOTE':
      case 'PRE_VOTE':
        this.members.tellStranger(from, dataUuid);
        this.raft.receive(from, message, this.#now.monotonicMs, dataUuid);
        break;
      case 'REQUEST_VOTE_RESPONSE':
      case 'PRE_VOTE_RESPONSE':
      case 'TIMEOUT_NOW':
      case 'APPEND_ENTRIES':
      case 'INSTALL_SNAPSHOT_RESPONSE':
        this.raft.receive(from, message, this.#now.monotonicMs, dataUuid);
        break;
      case 'INSTALL_SNAPSHOT':
        if (this.#ports.snapshots !== undefined) this.raft.receive(from, message, this.#now.monotonicMs);
        break;
      case 'APPEND_ENTRIES_RESPONSE':
        if (!this.members.heard(from, dataUuid)) break;
        this.raft.receive(from, message, this.#now.monotonicMs, dataUuid);
        this.#storage.heard(from, message.body.storageParts, message.body.storageWhat);
        this.#levels.heard(from, message.body.featureLevel);
        this.#compareHash(from, message.body);
        break;
      case 'FORWARD_PROPOSE':
        this.#onForwarded(from, message.body);
        break;
      case 'FORWARD_RESULT':
        if (this.#proposals.answered(message.body.requestId, from)) {
          const result = decode(this.#host, ProposalResult, message.body.result);
          const isKnown = result.errorCode !== 'OUTCOME_UNKNOWN';
          const { requestId } = message.body;
          this.#ports.reply({ kind: 'proposed', requestId, result: isKnown ? result : undefined });
        }
        break;
      case 'NOT_A_MEMBER':
        this.members.told(message.body);
        break;
      case 'READ_INDEX':
        this.#reads.askedByPeer(from, message.body.requestId);
        break;
      case 'READ_INDEX_RESPONSE':
        this.#reads.peerAnswered(from, message.body, this.#now.monotonicMs);
        break;
      case 'WORKER_HELLO':
      case 'WORKER_DRAIN':
      case 'WORKER_USAGE':
      case 'TASK_RESULT':
        this.#desk.receive(from, message, this.serving, this.raft.leaderId);
        break;
      default:
        this.#warnings.about(from, message.kind, 'message is not for a coordinator', this.#now.monotonicMs);
    }
  }

  #onPeerDown(peer: string): void {
    this.#peersUp.delete(peer);
    this.#levels.lost(peer);
    // Answers that were on their way from a leader we lost touch with may never come.
    if (peer === this.raft.leaderId) this.#abandonForwarded(undefined);
    this.#proposals.peerLost(peer);
    this.#reads.peerLost(peer);
  }

  #onForwarded(from: string, body: Body<'FORWARD_PROPOSE'>): void {
    // Workers share the port, and only coordinators have an ingress.
    if (!members(this.raft.membership).includes(from)) {
      this.members.tellStranger(from, undefined);
      const text = 'proposal refused: it does not come from a coordinator';
      this.#warnings.about(from, 'FORWARD_PROPOSE', text, this.#now.monotonicMs);
      return;
    }
    const { requestId, commandKind, command } = body;
    const origin: Origin = { kind: 'peer', peer: from, requestId };
    const fault = commandFault(commandKind, command);
    if (fault === undefined) this.#append(body, origin);
    else this.#answers.give(origin, fault);
  }

  #propose(proposal: Proposal): void {
    const { requestId, commandKind, command } = proposal;
    const settled =
      commandFault(commandKind, command) ?? this.members.settled(commandKind, command, this.state.clusterId);
    if (settled !== undefined) {
      this.#ports.reply({ kind: 'proposed', requestId, result: settled });
      return;
    }
    const leader = this.raft.leaderId;
    if (leader === this.#config.raft.nodeId) {
      this.#append(proposal, { kind: 'ingress', requestId });
      return;
    }
    const full = this.#proposals.forwardedCount >= FORWARDED_MAX;
    if (leader === undefined || full || !this.#ports.send(leader, { kind: 'FORWARD_PROPOSE', body: proposal })) {
      const result = full
        ? refusal('QUEUE_FULL', 'too many requests wait for the leader')
        : refusal('NO_LEADER', leader === undefined ? 'no leader is known' : `the leader ${leader} is out of reach`);
      this.#ports.reply({ kind: 'proposed', requestId, result });
      return;
    }
    this.#proposals.forwarded(requestId, leader);
  }

  // ---- leading -------------------------------------------------------------------------------------------------------

  #append(change: Change, origin: Origin): void {
    const { commandKind, command, rows } = change;
    const reason = this.serving
      ? this.#admission.refusalOf(change)
      : refusal('NO_LEADER', `${this.#config.raft.nodeId} does not lead (yet)`);
    if (reason !== undefined) {
      this.#answers.give(origin, reason);
      return;
    }
    if (this.members.isOrder(commandKind)) {
      const refused = this.members.carryOut(commandKind, command, origin, this.#now.monotonicMs);
      if (refused !== undefined) this.#answers.give(origin, refused);
    } else this.#appendEntry(commandKind, command, origin, rows);
  }

  #appendEntry(kind: number, command: Uint8Array, origin: Origin, rows = 0): void {
    const { log, term } = this.raft;
    const { wallMs, monotonicMs: appendedMs } = this.#now;
    const index = this.raft.propose(kind, command, Math.max(this.#clusterTimeMs(), log.lastTimeMs), wallMs);
    const catalogChange = kind === COMMAND.putRule || kind === COMMAND.deleteRule;
    this.#proposals.appended(index, { term, origin, appendedMs, bytes: command.length, rows, catalogChange });
  }

  /** The loop's own proposal; `applied` is called when its place in the log is taken, by it or by another entry. */
  #proposeOwn<T>(kind: number, struct: Struct<T>, body: T, applied: () => void): void {
    this.#appendEntry(kind, encode(this.#host, struct, body), { kind: 'loop', applied });
  }

  /** The same, unless one of this kind is under way. */
  #proposeOnce<T>(kind: number, struct: Struct<T>, body: T): void {
    if (this.#underWay.has(kind)) return;
    this.#underWay.add(kind);
    this.#proposeOwn(kind, struct, body, () => this.#underWay.delete(kind));
  }

  #clusterTimeMs(): number {
    const { wallMs, monotonicMs } = this.#now;
    return this.#clock.now(monotonicMs, [wallMs, ...this.raft.peerWallClocks()]);
  }

  #proposeMembership(membership: Membership, order: MembershipOrder | undefined, origin: Origin): void {
    const { log, term } = this.raft;
    const { wallMs, monotonicMs: appendedMs } = this.#now;
    const timeMs = Math.max(this.#clusterTimeMs(), log.lastTimeMs);
    const index = this.raft.proposeMembership(membership, timeMs, wallMs, order);
    this.#proposals.appended(index, { term, origin, appendedMs, bytes: 0, rows: 0, catalogChange: false });
  }

  #lead(): void {
    if (this.state.clusterId === '') {
      const { newClusterId: clusterId, clusterName, minVotersForWrites = 1 } = this.#config;
      const body = { clusterId, clusterName, minVotersForWrites, ...this.members.founding };
      this.#proposeOnce(COMMAND.bootstrap, Bootstrap, body);
      return;
    }
    this.members.record();
    const { minVotersForWrites, featureLevel } = this.state;
    if (minVotersForWrites > 0 && this.members.votersIn() >= minVotersForWrites) {
      this.#proposeOnce(COMMAND.openCluster, OpenCluster, {});
    }
    const level = this.#levels.next(featureLevel, this.raft.membership);
    if (level !== undefined) this.#proposeOnce(COMMAND.raiseLevel, RaiseLevel, { level });
    const { monotonicMs } = this.#now;
    const timeMs = this.#clusterTimeMs();
    if (this.state.nextDueMs() <= timeMs) this.#proposeOnce(COMMAND.advanceTime, AdvanceTime, {});
    this.#sweeper.lead(this.state.retention, monotonicMs, timeMs);
    this.#desk.lead(monotonicMs, this.#storage.level !== 'hard');
  }

  #watchStorage(): void {
    const { role, membership } = this.raft;
    this.#storage.look(this.#now.monotonicMs);
    if (role !== 'leader') return;
    this.#snapshots.watch();
    const voters = [...membership.voters, ...membership.outgoing].filter((id) => this.raft.peerActive(id));
    if (!this.#storage.judge(voters)) return;
    const { level, reason } = this.#storage;
    this.#metrics.storageLevel(level);
    if (level === 'open') this.#ports.log.info({ component: 'storage' }, 'there is room again: messages are taken');
    else this.#ports.log.warn({ component: 'storage', level, reason }, 'storage is full: messages are refused');
  }

  #watchLeadership(): void {
    const { role, term, leaderId } = this.raft;
    if (role !== this.#role || term !== this.#term) {
      this.#metrics.raftState(role, term);
      if (role === 'leader') {
        this.#clock.start(this.raft.log.lastTimeMs, this.#now.monotonicMs, this.#now.wallMs);
        this.#underWay.clear();
        this.#desk.beginTerm(this.#now.monotonicMs);
        this.#storage.begin();
        this.#hashes.begin();
        this.#sweeper.beginTerm();
        this.#ports.log.info({ component: 'raft', term }, 'leader elected: this node');
      }
      if (this.#role === 'leader' && role !== 'leader') {
        this.#ports.log.warn({ component: 'raft', term }, 'leadership lost');
        for (const origin of this.#proposals.leadershipLost()) this.#answers.unknown(origin);
        this.#desk.endTerm();
      }
      this.#role = role;
      this.#term = term;
    }
    if (leaderId === this.#leaderId) return;
    this.#leaderId = leaderId;
    if (leaderId !== undefined) {
      this.#metrics.leaderChanged();
      if (role !== 'leader') this.#ports.log.info({ component: 'raft', term, leader: leaderId }, 'following');
    }
    this.#abandonForwarded(leaderId);
    this.#reads.leaderChanged(leaderId);
    this.#desk.tellLeader(leaderId);
  }

  /** Forwarded to a leader that is none any more: may be kept, may not. */
  #abandonForwarded(leaderId: string | undefined): void {
    for (const requestId of this.#proposals.abandoned(leaderId)) {
      this.#ports.reply({ kind: 'proposed', requestId, result: undefined });
    }
  }

  // ---- applying ------------------------------------------------------------------------------------------------------

  #applyCommitted(): void {
    if (this.#durability.mayApply()) {
      for (const entry of this.raft.committed(this.state.appliedIndex + 1, APPLY_BYTES_PER_TURN)) {
        const { result, events } = this.state.apply(entry);
        this.#hashes.applied(entry.index, this.state.hash);
        // Events first: the answer of a results entry forgets who is to be told of each.
        for (const event of events) this.#onEvent(event, entry.term);
        const proposal = this.#proposals.applied(entry.index, entry.term);
        if (proposal !== undefined) {
          this.#metrics.commitLatency((this.#now.monotonicMs - proposal.appendedMs) / 1_000);
          this.#answers.give(proposal.origin, result);
        }
      }
      this.raft.log.shrink(this.state.appliedIndex);
      const { log, commitIndex } = this.raft;
      this.#metrics.raftProgress(log.lastIndex, commitIndex, this.state.appliedIndex, log.firstIndex);
    }
    const { catalog } = this.state;
    if (catalog.edition !== this.#catalogSent) {
      this.#catalogSent = catalog.edition;
      const rules = [...catalog.rules.values()].map(({ document }) => document);
      const rows = new Map(rules.map((rule) => [rule.id, catalog.rowsOf(rule)]));
      this.#ports.reply({ kind: 'catalog', version: catalog.version, rules, rows });
    }
    if (this.state.access.version !== this.#accessSent) {
      this.#accessSent = this.state.access.version;
      this.#ports.reply({ kind: 'keys', keys: [...this.state.access.keys.values()] });
    }
  }

  #onEvent(event: StateEvent, term: number): void {
    if (event.kind === 'swept') {
      this.#metrics.swept(event.table, event.deleted);
      this.#sweeper.onSwept(event);
    }
    this.#desk.onEvent(event, this.raft.role === 'leader', this.#now);
    if (event.kind === 'membershipChanged') this.members.tellWorkers(this.#desk.connected);
    // Ordered in this very term: an order of the past is not for this leader.
    if (event.kind === 'transferOrdered' && term === this.raft.term) this.members.transfer(event.target);
  }

  // ---- effects -------------------------------------------------------------------------------------------------------

  #flush(): void {
    this.#reads.startRound(this.raft, this.#now.monotonicMs);
    const { messages, write, reads, snapshots } = this.raft.output();
    this.#snapshots.carryOut(snapshots, this.state.committing);
    if (write !== undefined) this.#ports.persist(write);
    for (const { to, message } of messages) {
      if (message.kind === 'APPEND_ENTRIES_RESPONSE') this.#stamp(message.body);
      // Heartbeats alone: appends follow each other much faster than hashes.
      else if (message.kind === 'APPEND_ENTRIES' && message.body.entries.length === 0) {
        Object.assign(message.body, this.#hashes.agreed);
      }
      this.#ports.send(to, message);
    }
    for (const { ticket, index } of reads) this.#reads.roundDone(ticket, index);
    if (reads.length > 0) this.#reads.serve(this.raft, this.#now.monotonicMs);
  }

  /** A follower's answer tells its clock, its latest state hash, its feature level and how full its disk is. */
  #stamp(body: Body<'APPEND_ENTRIES_RESPONSE'>): void {
    body.wallMs = this.#now.wallMs;
    body.featureLevel = this.#levels.own;
    Object.assign(body, this.#hashes.latest(this.state.appliedIndex), this.#storage.stamp());
  }

  #compareHash(from: string, body: Body<'APPEND_ENTRIES_RESPONSE'>): void {
    if (this.raft.role !== 'leader' || !this.#hashes.heard(from, body, this.raft.membership)) return;
    this.#metrics.stateHashMismatch();
    this.#ports.log.error(
      { component: 'state', peer: from, index: body.hashIndex, theirs: body.stateHash },
      'state hashes differ at the same index: a replica has diverged',
    );
  }

  /** A snapshot has replaced the state: what was derived from the old one is forgotten. */
  #reopenState(snapshotId: string, store: KeyValueReader): void {
    this.state.reload(store);
    this.#catalogSent = -1;
    this.#durability.replaced();
    this.#hashes.clear();
    this.raft.snapshotInstalled(snapshotId);
    this.#ports.log.info({ component: 'raft', index: this.state.appliedIndex }, 'a snapshot was installed');
  }

  /** Commits what is applied, for a shutdown: true when there was something to wait for. */
  commitNow(): boolean {
    return this.#durability.commitNow(this.#now.monotonicMs);
  }

  #statusSource(): StatusSource {
    return {
      nodeId: this.#config.raft.nodeId,
      dataUuid: this.#config.raft.dataUuid,
      place: this.members.standing.place,
      clusterName: this.#config.clusterName,
      info: (id) => this.members.infoOf(id),
      raft: this.raft,
      state: this.state,
      desk: this.#desk,
      peersUp: this.#peersUp,
      storage: this.#storage,
      levels: this.#levels,
      gossip: this.gossip,
      nowMs: this.#now.monotonicMs,
    };
  }

  /** For a shutdown: true when the leadership is being handed on now. */
  handOver(): boolean {
    return this.members.transfer('');
  }

  /** After a failed write or a broken invariant nothing more may leave this node. */
  halt(): void {
    this.#halted = true;
  }
}
