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

const RAFT = 'node/core/raft/raft.ts';
const OUTBOX = 'node/core/raft/outbox.ts';
const READS = 'node/core/raft/read-rounds.ts';
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
  mutant('votes-twice', 'oneVote', RAFT, '(this.#votedFor === null || this.#votedFor === request.candidateId) &&', ''),
  mutant(
    'restart-forgets-vote',
    'oneVote',
    RAFT,
    'this.#votedFor = boot.hardState.votedFor;',
    'this.#votedFor = null;',
  ),
  mutant(
    'restart-forgets-term',
    'termBack',
    RAFT,
    'this.#term = boot.hardState.term;',
    'this.#term = Math.max(0, boot.hardState.term - 1);',
  ),
  mutant(
    'tells-unflushed-term',
    'termBack',
    RAFT,
    'this.#outbox.hold(from, this.#appendResponse(request, false, 0));\n      return;\n    }\n    assert',
    'this.#outbox.send(from, this.#appendResponse(request, false, 0));\n      return;\n    }\n    assert',
  ),
  mutant(
    'half-is-a-majority',
    'oneLeader',
    RAFT,
    'return count * 2 > this.#config.voters.length;',
    'return count * 2 + 1 >= this.#config.voters.length;',
  ),
  mutant(
    'votes-for-shorter-log',
    'leaderCompleteness',
    RAFT,
    'return request.lastLogIndex >= this.log.lastIndex;',
    'return true;',
  ),
  mutant(
    'votes-for-older-log',
    'leaderCompleteness',
    RAFT,
    'return request.lastLogTerm > this.log.lastTerm;',
    'return true;',
  ),
  mutant(
    'leads-a-term-again',
    'logMatching',
    RAFT,
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
    RAFT,
    'const matches = [this.log.durableIndex];',
    'const matches = [this.log.lastIndex];',
  ),
  mutant(
    'minority-commits',
    'commitHistory',
    RAFT,
    'matches[Math.floor(matches.length / 2)] ?? 0;',
    'matches[0] ?? 0;',
  ),
  mutant('commits-older-term', 'commitOwnTerm', RAFT, 'if (this.log.termAt(majority) !== this.#term) return;', ''),
  mutant(
    'keeps-conflicting-suffix',
    'assertion',
    RAFT,
    'if (term === entry.term) continue;',
    'if (term !== undefined) continue;',
  ),
  mutant('late-append-truncates', 'commitHistory', RAFT, 'if (term === entry.term) continue;', ''),
  mutant(
    'commit-goes-back',
    'commitBack',
    RAFT,
    'if (commitIndex > this.commitIndex) this.commitIndex = commitIndex;',
    'this.commitIndex = commitIndex;',
  ),
  mutant(
    'no-predecessor-check',
    'assertion',
    RAFT,
    'const matches = prevLogIndex <= this.commitIndex ||',
    'const matches = prevLogIndex >= 0 ||',
  ),
  mutant('state-before-log', 'assertion', LOOP, 'if (this.#appliedUnflushed()) return;', ''),

  // ---- reads
  mutant(
    'reads-without-round',
    'linearizable',
    READS,
    'const confirmed = rounds[Math.floor(rounds.length / 2)] ?? 0;',
    'const confirmed = this.round;',
  ),
  mutant(
    'reads-before-own-commit',
    'linearizable',
    RAFT,
    'if (this.log.termAt(this.commitIndex) !== this.#term) return undefined;',
    '',
  ),
  mutant(
    'echoes-older-round',
    'linearizable',
    RAFT,
    'readRound: request.term === this.#term ? request.readRound : 0,',
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
