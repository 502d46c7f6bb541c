/**
 * What clients were told, and what that forbids later. Messages and rules are judged in the end, as histories of calls
 * and returns (`linearizable`). Objects that only ever move forward (the catalog's version, an instance that has ended)
 * are judged at once: a read must see everything told, or seen by another read, before it began.
 */
import type { Command, CommandOutcome, ItemOutcome, QueryOutcome } from '../../requests.ts';
import type { EventQueue } from '../event-queue.ts';
import { type Model, type Operation, violations } from '../../../base/linearizability.ts';
import {
  MESSAGE,
  type MessageInput,
  type MessageOutput,
  RULE,
  type RuleInput,
  type RuleOutput,
} from '../../../api/models.ts';
import { demand } from '../violation.ts';
import type { StateChecks } from './state-checks.ts';

/** One message that a client wants to hand in, over all its tries. */
export interface Submission {
  /** In the payload: finds the message again. */
  marker: number;
  key: string | undefined;
  accepted: { messageId: string; instances: readonly string[]; workflows: readonly string[] } | undefined;
  /** Tries that were accepted, and those whose outcome is not known (yet). */
  acceptedCount: number;
  unknownCount: number;
}

/** One try, from its call on. */
export interface Try<O> {
  returned?: { at: number; output: O };
  /** It is told to have kept nothing, so it is no part of the history. */
  refused?: true;
}

type Tries<I, O> = Map<string, (Operation<I, O> & Try<O>)[]>;

const TERMINAL: ReadonlySet<string> = new Set(['COMPLETED', 'FAILED', 'TIMED_OUT', 'CANCELLED']);

export class History {
  readonly #queue: EventQueue;
  readonly #state: StateChecks;
  readonly submissions: Submission[] = [];
  /** Acknowledged message ids, oldest first. */
  readonly acknowledged: { id: string; submission: Submission }[] = [];
  readonly instances: string[] = [];
  /** Per object, in the order of its versions: from when on each is known to stand. */
  readonly #floors = new Map<string, { version: number; atUs: number }[]>();
  readonly #ended = new Map<string, { status: string; atUs: number }>();
  readonly #messages: Tries<MessageInput, MessageOutput> = new Map();
  readonly #rules: Tries<RuleInput, RuleOutput> = new Map();

  constructor(queue: EventQueue, state: StateChecks) {
    this.#queue = queue;
    this.#state = state;
  }

  submission(marker: number, key: string | undefined): Submission {
    const made: Submission = { marker, key, accepted: undefined, acceptedCount: 0, unknownCount: 0 };
    this.submissions.push(made);
    return made;
  }

  /** A submission is handed in, for the first time or again. */
  submits(submission: Submission): Try<MessageOutput> {
    return this.#called(this.#messages, objectOf(submission), { kind: 'submit' });
  }

  /** True when the try is over for good: accepted, or refused for a reason that another try cannot mend. */
  onOutcome(submission: Submission, attempt: Try<MessageOutput>, outcome: ItemOutcome): boolean {
    if ('error' in outcome) {
      if (outcome.error.code === 'OUTCOME_UNKNOWN') submission.unknownCount++;
      else attempt.refused = true;
      return !outcome.error.retryable;
    }
    const { messageId, instances, workflowsTriggered: workflows, duplicate } = outcome.accepted;
    attempt.returned = { at: this.#queue.nowUs, output: { id: messageId, duplicate } };
    const applied = this.#state.messages.has(messageId);
    demand(applied, 'acknowledgedApplied', () => `message ${messageId} is acknowledged and not applied`);
    const before = submission.accepted;
    demand(
      submission.key === undefined || before === undefined || before.messageId === messageId,
      'oneMessagePerKey',
      () => {
        return `key ${String(submission.key)} gave ${String(before?.messageId)}, then ${messageId}`;
      },
    );
    demand(before?.messageId !== messageId || same(before.instances, instances), 'outcomeTold', () => {
      return `message ${messageId} was told with instances ${String(before?.instances)}, then ${String(instances)}`;
    });
    submission.acceptedCount++;
    submission.accepted ??= { messageId, instances, workflows };
    this.acknowledged.push({ id: messageId, submission });
    this.instances.push(...instances);
    return true;
  }

  /** `version` of `object` is known to stand from now on. */
  stands(object: string, version: number): void {
    const floors = this.#floors.get(object) ?? [];
    this.#floors.set(object, floors);
    if (version > (floors.at(-1)?.version ?? 0)) floors.push({ version, atUs: this.#queue.nowUs });
  }

  /** A read that began at `beganUs` answers `version`. */
  onVersion(object: string, version: number, beganUs: number): void {
    const floor = this.#floors.get(object)?.findLast(({ atUs }) => atUs < beganUs)?.version ?? 0;
    demand(
      version >= floor,
      'linearizable',
      () => `${object} is read at ${version}, and ${floor} stood before the read began`,
    );
    this.stands(object, version);
  }

  /** Its end is known, and retention may have deleted it since: reads need not find it. */
  isSwept(id: string): boolean {
    return this.#state.swept.has(id);
  }

  /** Every message that is kept no more, by its marker. */
  get sweptMessages(): readonly { id: string; marker: number }[] {
    return [...this.#state.messages].flatMap(([id, marker]) => (this.isSwept(id) ? [{ id, marker }] : []));
  }

  onMessageRead(submission: Submission, id: string, isFound: boolean, beganUs: number): void {
    if (!isFound && this.isSwept(id)) return;
    const read = this.#called(this.#messages, objectOf(submission), { kind: 'get', id }, beganUs);
    read.returned = { at: this.#queue.nowUs, output: isFound ? 'found' : 'not found' };
  }

  /** A change of a rule is tried; call what is returned with its outcome, if there ever is one. */
  commands(command: Command): ((outcome: CommandOutcome) => void) | undefined {
    if (command.kind !== 'putRule' && command.kind !== 'deleteRule') return undefined;
    const isPut = command.kind === 'putRule';
    const id = isPut ? command.rule.id : command.id;
    const version = isPut ? Number(command.rule.version) : 0;
    const attempt = this.#called(this.#rules, id, isPut ? { kind: 'put', version } : { kind: 'delete' });
    return (outcome) => {
      const at = this.#queue.nowUs;
      if ('result' in outcome) attempt.returned = { at, output: { version } };
      else if (outcome.error.code === 'NOT_FOUND') attempt.returned = { at, output: 'not found' };
      else if (outcome.error.code !== 'OUTCOME_UNKNOWN') attempt.refused = true;
    };
  }

  onRuleRead(id: string, outcome: QueryOutcome, beganUs: number): void {
    const read = this.#called(this.#rules, id, { kind: 'get' }, beganUs);
    const output = 'result' in outcome ? { version: (outcome.result as { version: number }).version } : 'not found';
    read.returned = { at: this.#queue.nowUs, output };
  }

  /** What clients were told of messages and rules must be what one copy of each could have told. */
  check(): void {
    demandLinearizable('message', MESSAGE, this.#messages);
    demandLinearizable('rule', RULE, this.#rules);
  }

  #called<I, O>(tries: Tries<I, O>, object: string, input: I, calledAt = this.#queue.nowUs): Try<O> {
    const attempt: Operation<I, O> & Try<O> = { input, calledAt };
    const earlier = tries.get(object);
    if (earlier === undefined) tries.set(object, [attempt]);
    else earlier.push(attempt);
    return attempt;
  }

  /** `status`: undefined if it was not found. */
  onInstanceRead(id: string, status: string | undefined, beganUs: number): void {
    if (status === undefined && this.isSwept(id)) return;
    const ended = this.#ended.get(id);
    demand(ended === undefined || ended.atUs >= beganUs || ended.status === status, 'linearizable', () => {
      return `instance ${id} is read as ${String(status)}, and was ${String(ended?.status)} before the read began`;
    });
    if (ended === undefined && status !== undefined && TERMINAL.has(status))
      this.#ended.set(id, { status, atUs: this.#queue.nowUs });
  }
}

function objectOf({ key, marker }: Submission): string {
  return key ?? `n ${marker}`;
}

function demandLinearizable<S extends string | number, I, O>(
  what: string,
  model: Model<S, I, O>,
  tries: Tries<I, O>,
): void {
  const histories = new Map([...tries].map(([object, all]) => [object, all.filter((one) => one.refused !== true)]));
  const wrong = violations(model, histories)[0];
  demand(wrong === undefined, 'linearizable', () => {
    return `${what} ${String(wrong?.object)}, from call to return: ${JSON.stringify(wrong?.operations)}`;
  });
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((one, i) => one === b[i]);
}
