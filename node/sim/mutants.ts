/**
 * Planted bugs: each changes the source text of the shipping code while it is loaded (mutant-loader.ts), so the
 * shipping code carries no switch for any of them. Many are what real implementations got wrong
 * (the simulator's own first findings among them); a check that finds none of its bugs is no check.
 */
import { SWIM_MUTANTS } from './swim/swim-mutants.ts';
import type { Check } from './violation.ts';

export interface Edit {
  /** From the project's root. */
  file: string;
  /** Occurs exactly once in the file. */
  find: string;
  replace: string;
}

export interface Mutant {
  name: string;
  /** The check that has to find it, with all others off. */
  check: Check;
  edits: readonly Edit[];
}

const REPLICA = 'node/core/raft/replica.ts';
const ELECTION = 'node/core/raft/election.ts';
const FOLLOWING = 'node/core/raft/following.ts';
const LEADERSHIP = 'node/core/raft/leadership.ts';
const RECEIVER = 'node/core/raft/snapshot-receiver.ts';
const MEMBERSHIP = 'node/core/raft/membership.ts';
const LOG = 'node/core/raft/log.ts';
const ENTRY = 'node/core/raft/entry.ts';
const SENDER = 'node/core/raft/snapshot-sender.ts';
const TRANSFER = 'node/core/raft/transfer.ts';
const OUTBOX = 'node/core/raft/outbox.ts';
const MACHINE = 'node/core/state/machine.ts';
const RETENTION = 'node/core/state/retention.ts';
const SCHEDULE = 'node/core/workflow/schedule.ts';
const LOOP = 'node/node.ts';
const INGRESS = 'node/ingress.ts';

function mutant(name: string, check: Check, file: string, find: string, replace: string): Mutant {
  return { name, check, edits: [{ file, find, replace }] };
}

const JITTER_BY_CHANCE: Edit = {
  file: SCHEDULE,
  find: 'const perMille = 900 + ((hash >>> 0) % 201);',
  replace: 'const perMille = 900 + Math.floor(Math.random() * 200);',
};

export const MUTANTS: readonly Mutant[] = [
  // ---- elections
  mutant(
    'votes-twice',
    'oneVote',
    ELECTION,
    '(replica.votedFor === null || replica.votedFor === request.candidateId) &&',
    '',
  ),
  mutant(
    'restart-forgets-vote',
    'oneVote',
    REPLICA,
    'this.#votedFor = boot.hardState.votedFor;',
    'this.#votedFor = null;',
  ),
  mutant(
    'restart-forgets-term',
    'termBack',
    REPLICA,
    'this.#term = boot.hardState.term;',
    'this.#term = Math.max(0, boot.hardState.term - 1);',
  ),
  mutant(
    'tells-unflushed-term',
    'termBack',
    FOLLOWING,
    'replica.outbox.hold(from, this.#appendResponse(request, false, 0));\n      return;\n    }\n    replica.safe',
    'replica.outbox.send(from, this.#appendResponse(request, false, 0));\n      return;\n    }\n    replica.safe',
  ),
  mutant(
    'half-is-a-majority',
    'oneLeader',
    MEMBERSHIP,
    'return ids.filter(holds).length * 2 > ids.length;',
    'return ids.filter(holds).length * 2 + 1 >= ids.length;',
  ),
  mutant(
    'votes-for-shorter-log',
    'leaderCompleteness',
    ELECTION,
    'return request.lastLogIndex >= log.lastIndex;',
    'return true;',
  ),
  mutant(
    'votes-for-older-log',
    'leaderCompleteness',
    ELECTION,
    'return request.lastLogTerm > log.lastTerm;',
    'return true;',
  ),
  mutant(
    'leads-a-term-again',
    'logMatching',
    REPLICA,
    'this.#term = boot.hardState.term;',
    'this.#term = Math.max(0, boot.hardState.term - 1);',
  ),

  mutant(
    'wiped-member-votes',
    'leaderCompleteness',
    'node/core/raft/raft.ts',
    'if (ANSWERS.has(message.kind) && !this.#replica.isDisk(from, dataUuid)) return;',
    '',
  ),

  // ---- log and commit
  mutant(
    'answers-before-flush',
    'commitDurable',
    OUTBOX,
    'if (last === undefined) messages',
    'if (last === undefined || true) messages',
  ),
  mutant(
    'counts-itself-unflushed',
    'commitDurable',
    LEADERSHIP,
    'return this.#replica.log.durableIndex;',
    'return this.#replica.log.lastIndex;',
  ),
  mutant(
    'minority-commits',
    'commitHistory',
    MEMBERSHIP,
    'return values[Math.floor(values.length / 2)] ?? 0;',
    'return values[0] ?? 0;',
  ),
  mutant(
    'commits-older-term',
    'commitOwnTerm',
    LEADERSHIP,
    'if (replica.log.termAt(reached) !== replica.term) return;',
    '',
  ),
  mutant(
    'keeps-conflicting-suffix',
    'assertion',
    FOLLOWING,
    'if (term === entry.term) continue;',
    'if (term !== undefined) continue;',
  ),
  mutant('late-append-truncates', 'commitHistory', FOLLOWING, 'if (term === entry.term) continue;', ''),
  {
    name: 'commit-goes-back',
    check: 'commitBack',
    edits: [
      { file: FOLLOWING, find: 'if (commitIndex > replica.commitIndex && !replica.installing) ', replace: '' },
      { file: REPLICA, find: 'assert(index >= this.commitIndex && index', replace: 'assert(index' },
    ],
  },
  mutant(
    'no-predecessor-check',
    'assertion',
    FOLLOWING,
    'const matches = prevLogIndex <= replica.commitIndex ||',
    'const matches = prevLogIndex >= 0 ||',
  ),
  mutant('state-before-log', 'assertion', 'node/durability.ts', 'if (this.#appliedUnflushed()) return;', ''),

  // ---- members and snapshots
  mutant(
    'removes-without-joint',
    'memberSteps',
    MEMBERSHIP,
    'const outgoing = voters.length === from.voters.length ? [] : from.voters;',
    'const outgoing: string[] = [];',
  ),
  mutant(
    'joint-asks-one-side',
    'commitDurable',
    MEMBERSHIP,
    'return outgoing.length === 0 ? reached(voters) : Math.min(reached(voters), reached(outgoing));',
    'return reached(voters);',
  ),
  {
    name: 'installs-an-old-snapshot',
    check: 'assertion',
    edits: [
      { file: RECEIVER, find: 'if (lastIndex <= replica.commitIndex) {', replace: 'if (lastIndex < 0) {' },
      { file: RECEIVER, find: 'incoming.anchor.index <= replica.commitIndex || ', replace: '' },
    ],
  },
  mutant(
    'install-keeps-the-old-log',
    'assertion',
    REPLICA,
    'this.#restartAt(anchor);\n    this.memberships = new',
    'this.memberships = new',
  ),
  mutant(
    'removed-member-never-campaigns',
    'progress',
    REPLICA,
    'this.memberships.mayDecide(this.nodeId, this.config.dataUuid) &&',
    'this.isVoter &&',
  ),
  mutant(
    'lone-vote-unflushed',
    'termBack',
    ELECTION,
    'this.#votes.clear();\n    // The own vote must',
    'this.#votes.clear();\n    if (this.#votedIn) return this.#won();\n    // The own vote must',
  ),
  mutant(
    'snapshot-without-the-last-record',
    'replicaContent',
    'node/core/state/memory-snapshots.ts',
    'if (isStreamed(key)) records',
    "if (isStreamed(key) && !key.startsWith('d/')) records",
  ),

  mutant(
    'snapshot-with-the-wrong-boundary',
    'assertion',
    'node/core/state/snapshot-stream.ts',
    'lastIndex: meta.appliedIndex,',
    'lastIndex: meta.appliedIndex - 1,',
  ),
  mutant(
    'snapshot-with-the-newest-members',
    'memberSteps',
    SENDER,
    'membership: encodeMembership(host, membership),',
    'membership: encodeMembership(host, this.#replica.membership),',
  ),
  mutant(
    'installs-half-a-snapshot',
    'assertion',
    RECEIVER,
    'if (!incoming.complete || incoming.storedOffset < incoming.offset) return;',
    '',
  ),
  mutant(
    'installs-before-the-term-is-on-disk',
    'termBack',
    RECEIVER,
    'this.#install !== undefined && this.#replica.outbox.hardStateFlushed',
    'this.#install !== undefined',
  ),
  mutant(
    'snapshot-without-keys',
    'oneMessagePerKey',
    'node/core/state/snapshot-stream.ts',
    'return key !== ANCHOR_KEY;',
    "return key !== ANCHOR_KEY && !key.startsWith('d/');",
  ),
  {
    name: 'changes-members-before-own-commit',
    check: 'memberSteps',
    edits: [
      {
        file: 'node/core/raft/raft.ts',
        find: "if (log.termAt(commitIndex) !== term) return 'the leader has committed nothing in its term yet';",
        replace: '',
      },
      {
        file: LOOP,
        find: "role === 'leader' && this.state.appliedIndex >= termStartIndex &&",
        replace: "role === 'leader' &&",
      },
    ],
  },
  mutant(
    'transfer-never-given-up',
    'progress',
    TRANSFER,
    'nowMs >= this.#deadlineMs || !membership.voters.includes(this.#target)',
    '!membership.voters.includes(this.#target)',
  ),

  // ---- who may campaign and lead
  mutant(
    'campaigns-unasked',
    'preVote',
    ELECTION,
    'if (this.#votedIn) {\n      this.#startElection(false);',
    'if (replica.isVoter) {\n      this.#startElection(false);',
  ),
  mutant(
    'obeys-a-leader-of-the-past',
    'preVote',
    ELECTION,
    "if (from !== leaderId || term !== this.#replica.term || role === 'leader' || !mayCampaign) return;",
    "if (term > this.#replica.term || role === 'leader' || !mayCampaign) return;",
  ),
  mutant(
    'leads-without-answers',
    'checkQuorum',
    LEADERSHIP,
    'if (!replica.quorum((id) => this.isActive(id))) replica.follow(replica.term, undefined);',
    'if (this.progress.size < 0) replica.follow(replica.term, undefined);',
  ),
  {
    name: 'removed-member-disturbs',
    check: 'stableLeader',
    edits: [
      { file: ELECTION, find: 'if (this.hearsLeader() && request.transfer !== true) return;', replace: '' },
      {
        file: ELECTION,
        find: 'if (this.#votedIn) {\n      this.#startElection(false);',
        replace: 'if (replica.mayCampaign) {\n      this.#startElection(false);',
      },
    ],
  },

  // ---- disks
  mutant('trusts-the-page-cache', 'commitDurable', 'node/sim/sim-coordinator.ts', 'this.logDisk.sync();', ''),
  mutant(
    'ignores-a-failed-flush',
    'commitDurable',
    'node/sim/sim-disk.ts',
    'failed();\n        return;',
    'this.#pending.shift()?.done();\n        return;',
  ),
  mutant(
    'takes-a-damaged-entry',
    'stateHash',
    ENTRY,
    'if (checksumOf(host, bytes) !== checksum) return undefined;',
    '',
  ),
  mutant(
    'counts-a-flush-of-an-older-term',
    'commitDurable',
    LOG,
    'if (this.termAt(index) === term && index > this.durableIndex)',
    'if (index > this.durableIndex)',
  ),
  mutant(
    'commits-what-was-not-compared',
    'commitHistory',
    FOLLOWING,
    'Math.min(request.leaderCommit, matchIndex)',
    'Math.min(request.leaderCommit, replica.log.lastIndex)',
  ),
  mutant(
    'cuts-what-only-memory-has',
    'assertion',
    'node/durability.ts',
    'const upTo = Math.min(this.#durableIndex, safeCutIndex) - entriesKept;',
    'const upTo = Math.min(this.#parts.state.appliedIndex, log.durableIndex);',
  ),

  // ---- reads
  {
    name: 'reads-by-a-lease-without-answers',
    check: 'linearizable',
    edits: [
      {
        file: LEADERSHIP,
        find: '(id === nodeId ? this.reads.round : roundOf(id))',
        replace: '(id === nodeId || this.isActive(id) ? this.reads.round : roundOf(id))',
      },
      {
        file: LEADERSHIP,
        find: 'if (!replica.quorum((id) => this.isActive(id))) replica.follow(replica.term, undefined);',
        replace: 'if (this.progress.size < 0) replica.follow(replica.term, undefined);',
      },
    ],
  },
  mutant(
    'reads-without-round',
    'linearizable',
    LEADERSHIP,
    'quorumValue(membership, (id) => (id === nodeId ? this.reads.round : roundOf(id)))',
    'this.reads.round + roundOf(nodeId)',
  ),
  mutant(
    'reads-before-own-commit',
    'linearizable',
    LEADERSHIP,
    'if (log.termAt(commitIndex) !== term) return undefined;',
    '',
  ),
  mutant(
    'echoes-older-round',
    'linearizable',
    FOLLOWING,
    'readRound: request.term === term ? request.readRound : 0,',
    'readRound: request.readRound,',
  ),

  // ---- answers
  mutant(
    'acknowledges-appended',
    'acknowledgedApplied',
    LOOP,
    '} else this.#appendEntry(commandKind, command, origin, rows);',
    '} else {\n      this.#answers.give(origin, { errorFields: [], items: [] });\n      this.#appendEntry(commandKind, command, { kind: "loop", applied: () => undefined });\n    }',
  ),
  mutant('refuses-what-may-be-kept', 'refusedNotKept', INGRESS, 'batch.maybeKept = true;', ''),
  mutant(
    'forgets-a-retry',
    'answeredOnce',
    INGRESS,
    'if (batch.items.length > 0) this.#retries.push({ dueMs: monotonicMs + RETRY_MS, batch, why });',
    '',
  ),
  mutant(
    'ignores-keys',
    'oneMessagePerKey',
    MACHINE,
    'if (earlier !== undefined) return this.#duplicateOutcome(item, earlier);',
    '',
  ),
  {
    name: 'keys-expire-by-a-local-clock',
    check: 'oneMessagePerKey',
    edits: [
      {
        file: 'node/core/state/message-table.ts',
        find: 'export const DEDUP_WINDOW_MS = 24 * 3_600_000;',
        replace: 'export const DEDUP_WINDOW_MS = 600_000;',
      },
      {
        file: MACHINE,
        find: 'this.messages.dedupOf(item.scopedKey, now.timeMs)',
        replace: 'this.messages.dedupOf(item.scopedKey, now.wallMs)',
      },
    ],
  },
  mutant(
    'forgets-instances-of-a-repeat',
    'outcomeTold',
    MACHINE,
    'for (const id of this.messages.instanceIdsOf(messageId)) {',
    'for (const id of [] as string[]) {',
  ),
  mutant(
    'sweeps-what-runs',
    'assertion',
    RETENTION,
    "instance !== undefined && instance.status !== 'RUNNING' && (",
    'instance !== undefined && (',
  ),
  mutant('sweeps-messages-of-what-runs', 'sweptEnded', RETENTION, ' || this.#isRunning(id)', ''),
  mutant(
    'raises-at-the-highest-level',
    'featureLevel',
    'node/feature-levels.ts',
    'const common = Math.min(...members(membership)',
    'const common = Math.max(...members(membership)',
  ),
  mutant(
    'raises-without-learners',
    'featureLevel',
    'node/feature-levels.ts',
    'Math.min(...members(membership).map(',
    'Math.min(...membership.voters.map(',
  ),
  mutant(
    'silence-is-support',
    'featureLevel',
    'node/feature-levels.ts',
    'this.of(id) ?? FEATURE_LEVEL_FIRST));',
    'this.of(id) ?? this.own));',
  ),
  {
    // With a limit that simulated messages reach.
    name: 'does-as-its-release-does',
    check: 'stateHash',
    edits: [
      { file: MACHINE, find: 'ROWS_PER_MESSAGE_MAX = 20_000;', replace: 'ROWS_PER_MESSAGE_MAX = 4;' },
      {
        file: MACHINE,
        find: 'this.featureLevel < SINCE.rowsPerMessage',
        replace: 'this.#levelMax < SINCE.rowsPerMessage',
      },
    ],
  },
  {
    name: 'stale-catalog-accepted',
    check: 'catalog',
    edits: [
      {
        file: 'node/admission.ts',
        find: 'if (catalogVersion !== catalog.version || proposals.catalogChanges > 0) {',
        replace: 'if (catalogVersion === undefined) {',
      },
      {
        file: MACHINE,
        find: 'if (batch.catalogVersion !== this.catalog.version) {',
        replace: 'if (batch.catalogVersion > this.catalog.version) {',
      },
    ],
  },

  // ---- tasks
  mutant(
    'token-unchecked',
    'staleAttempt',
    SCHEDULE,
    "task.status !== 'RUNNING' || task.token !== token) return undefined;",
    "task.status !== 'RUNNING') return undefined;",
  ),
  mutant(
    'repeated-result-counts',
    'oneResult',
    SCHEDULE,
    "task.status !== 'RUNNING' || task.token !== token) return undefined;",
    'task.token !== token) return undefined;',
  ),
  {
    name: 'assigns-twice',
    check: 'oneAttempt',
    edits: [
      { file: 'node/dispatcher.ts', find: 'if (!this.#pending.has(key)) yield ref;', replace: 'yield ref;' },
      {
        file: SCHEDULE,
        find: "if (instance.status !== 'RUNNING' || task.status !== 'READY') return false;",
        replace: "if (instance.status !== 'RUNNING') return false;",
      },
    ],
  },
  mutant('any-dependency-will-do', 'dependencies', SCHEDULE, 'dependencies.every((d)', 'dependencies.some((d)'),
  mutant(
    'lost-worker-keeps-tasks',
    'progress',
    MACHINE,
    'this.instances.loseSession(session, `worker ${workerId} was lost: ${reason}`, now);',
    '',
  ),
  {
    name: 'drained-worker-gets-tasks',
    check: 'drained',
    edits: [
      {
        file: MACHINE,
        find: ' || this.workers.drains.has(workerId)) continue;',
        replace: ') continue;',
      },
      {
        file: 'node/task-desk.ts',
        find: "if (this.#parts.state.workers.isDraining(worker)) return 'unusable';",
        replace: '',
      },
    ],
  },
  mutant('grace-without-end', 'drained', MACHINE, 'this.instances.handBack(session, reason, now);', ''),
  mutant('results-unacknowledged', 'progress', 'node/task-desk.ts', 'this.#acks.set(workerId, acks);', ''),

  // ---- replicas
  mutant(
    'commit-forgets-newer-writes',
    'acknowledgedKept',
    'node/core/state/overlay.ts',
    'committed(): void {',
    'committed(): void {\n    this.#fresh = new Map();',
  ),
  mutant(
    'session-lost-in-any-order',
    'stateHash',
    'node/core/state/instance-table.ts',
    '.sort(([a], [b]) => (a < b ? -1 : 1))',
    '',
  ),
  { name: 'chance-in-apply', check: 'stateHash', edits: [JITTER_BY_CHANCE] },
  {
    name: 'hash-is-blind',
    check: 'replicaContent',
    edits: [
      JITTER_BY_CHANCE,
      {
        file: 'node/core/state/overlay.ts',
        find: 'this.#hash.addBytes(value);',
        replace: '',
      },
    ],
  },
  // ---- membership
  ...SWIM_MUTANTS,
];
