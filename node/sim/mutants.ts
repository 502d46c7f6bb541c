/**
 * Planted bugs: each changes the source text of the shipping code while it is loaded (mutant-loader.ts), so the
 * shipping code carries no switch for any of them. Many are what real implementations got wrong
 * (the simulator's own first findings among them); a check that finds none of its bugs is no check.
 */
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
const OUTBOX = 'node/core/raft/outbox.ts';
const MACHINE = 'node/core/state/machine.ts';
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
  mutant('state-before-log', 'assertion', LOOP, 'if (this.#appliedUnflushed()) return;', ''),

  // ---- members and snapshots
  mutant(
    'removes-without-joint',
    'memberSteps',
    MEMBERSHIP,
    'outgoing: voters.length === from.voters.length ? [] : from.voters,',
    'outgoing: [],',
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
    'return this.memberships.mayDecide(this.nodeId) &&',
    'return this.isVoter &&',
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

  // ---- reads
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
    'this.#appendEntry(commandKind, command, origin);',
    'this.#answer(origin, { errorFields: [], items: [] });\n    this.#appendEntry(commandKind, command, { kind: "loop", applied: () => undefined });',
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
  mutant(
    'forgets-instances-of-a-repeat',
    'outcomeTold',
    MACHINE,
    'for (const id of this.messages.instanceIdsOf(messageId)) {',
    'for (const id of [] as string[]) {',
  ),
  {
    name: 'stale-catalog-accepted',
    check: 'catalog',
    edits: [
      {
        file: LOOP,
        find: 'if (catalogVersion !== this.state.catalog.version || this.#proposals.catalogChanges > 0) {',
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
        find: 'this.hash = this.#host.crc32(value, this.#host.crc32(key, this.hash));',
        replace: 'this.hash = this.#host.crc32(key, this.hash);',
      },
    ],
  },
];
