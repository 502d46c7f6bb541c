/** A client of the cluster: calls coordinators at random, gives up on slow ones, tries again elsewhere. */
import { ANONYMOUS } from '../../api/access.ts';
import { encodeText } from '../../base/host.ts';
import type { Random } from '../../base/random.ts';
import { nodeHost } from '../io/host.ts';
import type { Command, CommandOutcome, Gateway, ItemOutcome, Query, QueryOutcome } from '../requests.ts';
import type { History, Submission, Try } from './checks/history.ts';
import type { MessageOutput } from '../../api/models.ts';
import type { Roster } from './roster.ts';
import type { SimCoordinator } from './sim-coordinator.ts';
import { demand } from './violation.ts';
import type { World } from './world.ts';

/** Longer than the ingress' own deadline: mostly the product answers first. */
const PATIENCE_US = 14_000_000;
const TRIES_MAX = 12;

export class Client {
  readonly #world: World;
  readonly #roster: Roster;
  readonly #random: Random;
  readonly #history: History;
  /** Calls that wait for their answer. */
  open = 0;
  /** Submissions that are not given up and not done. */
  unfinished = 0;

  constructor(world: World, roster: Roster, random: Random, history: History) {
    this.#world = world;
    this.#roster = roster;
    this.#random = random;
    this.#history = history;
  }

  /**
   * One call. `done` is called once: with the answer, or with undefined when the process went away or the client lost
   * patience; `late` with an answer that came after that.
   */
  #call<T>(
    node: SimCoordinator,
    use: (gateway: Gateway, answer: (value: T) => void) => void,
    done: (value: T | undefined) => void,
    late: (value: T) => void,
  ): void {
    const { process, clock } = node;
    const { incarnation } = process;
    let settled = false;
    let answered = false;
    const settle = (value: T | undefined): void => {
      if (settled) return;
      settled = true;
      this.open--;
      node.onGone.delete(gone);
      done(value);
    };
    const gone = (): void => settle(undefined);
    this.open++;
    node.onGone.add(gone);
    const { pauses, paused } = process;
    const { freezes, frozen } = clock;
    this.#world.queue.after(PATIENCE_US, () => {
      const isSteady = !paused && process.pauses === pauses && !frozen && clock.freezes === freezes;
      const isSound = isSteady && process.alive && process.incarnation === incarnation;
      demand(
        settled || !isSound,
        'answeredOnce',
        () => `${node.id} leaves a request without an answer for ${PATIENCE_US / 1e6} s`,
      );
      gone();
    });
    const isThere = node.call((gateway) => {
      use(gateway, (value) => {
        demand(!answered, 'answeredOnce', () => `${node.id} answers a request twice`);
        answered = true;
        if (process.incarnation !== incarnation) return;
        // The answer is seen by the client at once, and what it does then is an event of its own.
        if (settled) late(value);
        else settle(value);
      });
    });
    if (!isThere) settle(undefined);
  }

  #later(run: () => void): void {
    this.#world.queue.after(this.#random.integer(50_000, 1_500_000), run);
  }

  // ---- messages ------------------------------------------------------------------------------------------------------

  /** Hands in messages with one call; those with a key are sent again until their outcome is known. */
  submit(submissions: readonly { submission: Submission; value: Record<string, unknown> }[], scope: string): void {
    this.unfinished += submissions.length;
    this.#submit(submissions, scope, 1);
  }

  #submit(
    batch: readonly { submission: Submission; value: Record<string, unknown> }[],
    scope: string,
    tries: number,
  ): void {
    const items = batch.map(({ submission: { key }, value }) => ({
      value,
      payload: encodeText(nodeHost, JSON.stringify(value)),
      ...(key === undefined ? {} : { idempotencyKey: key }),
    }));
    const node = this.#random.pick(this.#roster.members);
    if (tries > 1) this.#world.counters.add('client tries again');
    const attempts = batch.map(({ submission }) => this.#history.submits(submission));
    this.#call<readonly ItemOutcome[]>(
      node,
      (gateway, answer) => gateway.submit(items, scope, answer),
      (outcomes) => this.#onOutcomes(batch, attempts, outcomes, scope, tries),
      (outcomes) => batch.forEach(({ submission }, i) => this.#onOutcome(submission, attempts[i], outcomes[i])),
    );
  }

  #onOutcome(
    submission: Submission,
    attempt: Try<MessageOutput> | undefined,
    outcome: ItemOutcome | undefined,
  ): boolean | undefined {
    if (attempt === undefined || outcome === undefined) return undefined;
    return this.#history.onOutcome(submission, attempt, outcome);
  }

  #onOutcomes(
    batch: readonly { submission: Submission; value: Record<string, unknown> }[],
    attempts: readonly Try<MessageOutput>[],
    outcomes: readonly ItemOutcome[] | undefined,
    scope: string,
    tries: number,
  ): void {
    const again = batch.filter(({ submission }, i) => {
      const outcome = outcomes?.[i];
      if (outcome === undefined) submission.unknownCount++;
      const isOver = this.#onOutcome(submission, attempts[i], outcome) === true;
      const isUnknown = outcome === undefined || ('error' in outcome && outcome.error.code === 'OUTCOME_UNKNOWN');
      if (isUnknown) this.#world.counters.add('outcome unknown to the client');
      // Without a key a message of unknown outcome must not be sent again: there might be two then.
      if (isOver || tries >= TRIES_MAX || (isUnknown && submission.key === undefined)) {
        this.unfinished--;
        return false;
      }
      return true;
    });
    if (again.length > 0) this.#later(() => this.#submit(again, scope, tries + 1));
  }

  // ---- commands and reads --------------------------------------------------------------------------------------------

  /** Tries until the outcome is a result, an error that stays, or (when `once`) anything. */
  command(command: Command, done: (outcome: CommandOutcome | undefined) => void, once = false, tries = 1): void {
    const finish = (outcome: CommandOutcome | undefined): void => {
      const again = outcome === undefined || ('error' in outcome && outcome.error.retryable);
      if (again && !once && tries < TRIES_MAX) this.#later(() => this.command(command, done, once, tries + 1));
      else done(outcome);
    };
    const record = this.#history.commands(command);
    this.#call<CommandOutcome>(
      this.#random.pick(this.#roster.members),
      (gateway, answer) => gateway.command(command, ANONYMOUS, answer),
      (outcome) => {
        if (outcome !== undefined) record?.(outcome);
        finish(outcome);
      },
      (outcome) => record?.(outcome),
    );
  }

  /** Where a stale answer is likeliest: the leader of the oldest term, if there are two. */
  #oldestLeader(): SimCoordinator | undefined {
    let oldest: SimCoordinator | undefined;
    for (const node of this.#roster.nodes) {
      const raft = node.coordinator?.raft;
      if (raft?.role !== 'leader') continue;
      if (oldest === undefined || raft.term < (oldest.coordinator?.raft.term ?? 0)) oldest = node;
    }
    return oldest;
  }

  /** A linearizable read at some coordinator; no answer: `done` is not called. */
  read(query: Query, done: (outcome: QueryOutcome, beganUs: number) => void): void {
    const beganUs = this.#world.queue.nowUs;
    const finish = (outcome: QueryOutcome | undefined): void => {
      if (outcome === undefined) return;
      if ('error' in outcome && outcome.error.retryable) this.#world.counters.add('read refused');
      else done(outcome, beganUs);
    };
    const use = (gateway: Gateway, answer: (outcome: QueryOutcome) => void): void =>
      gateway.query(query, 'linearizable', answer);
    const leader = this.#random.chance(0.4) ? this.#oldestLeader() : undefined;
    const node = leader ?? this.#random.pick(this.#roster.members);
    if (this.#world.trace.verbose)
      this.#world.trace.note('', '', `client reads ${JSON.stringify(query)} at ${node.id}`);
    this.#call<QueryOutcome>(node, use, finish, finish);
  }

  /** A linearizable read at this very coordinator, until it is answered, or it is no member any more. */
  insist(node: SimCoordinator, query: Query, isMember: () => boolean): void {
    this.unfinished++;
    const use = (gateway: Gateway, answer: (outcome: QueryOutcome) => void): void =>
      gateway.query(query, 'linearizable', answer);
    const finish = (outcome: QueryOutcome | undefined): void => {
      this.unfinished--;
      if (!isMember()) return;
      if (outcome === undefined || 'error' in outcome) this.#later(() => this.insist(node, query, isMember));
    };
    this.#call<QueryOutcome>(node, use, finish, () => undefined);
  }
}
