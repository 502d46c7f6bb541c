/**
 * What clients were told, and what that forbids later. A read must see everything acknowledged, or seen by another
 * read, before it began: that is linearizability for objects that only ever move forward (a message that is there, a
 * revision that rises, an instance that has ended).
 */
import type { ItemOutcome } from '../../requests.ts';
import type { EventQueue } from '../event-queue.ts';
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

const TERMINAL: ReadonlySet<string> = new Set(['COMPLETED', 'FAILED', 'TIMED_OUT', 'CANCELLED']);

export class History {
  readonly #queue: EventQueue;
  readonly #state: StateChecks;
  readonly submissions: Submission[] = [];
  /** Acknowledged message ids, oldest first. */
  readonly acknowledged: { id: string; atUs: number; submission: Submission }[] = [];
  readonly instances: string[] = [];
  /** Per object, in the order of its versions: from when on each is known to stand. */
  readonly #floors = new Map<string, { version: number; atUs: number }[]>();
  readonly #ended = new Map<string, { status: string; atUs: number }>();

  constructor(queue: EventQueue, state: StateChecks) {
    this.#queue = queue;
    this.#state = state;
  }

  submission(marker: number, key: string | undefined): Submission {
    const made: Submission = { marker, key, accepted: undefined, acceptedCount: 0, unknownCount: 0 };
    this.submissions.push(made);
    return made;
  }

  /** True when the try is over for good: accepted, or refused for a reason that another try cannot mend. */
  onOutcome(submission: Submission, outcome: ItemOutcome): boolean {
    if ('error' in outcome) {
      if (outcome.error.code === 'OUTCOME_UNKNOWN') submission.unknownCount++;
      return !outcome.error.retryable;
    }
    const { messageId, instances, workflowsTriggered: workflows } = outcome.accepted;
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
    this.acknowledged.push({ id: messageId, atUs: this.#queue.nowUs, submission });
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

  onMessageRead(messageId: string, isFound: boolean, ackedUs: number, beganUs: number): void {
    demand(isFound || ackedUs >= beganUs, 'linearizable', () => {
      return `message ${messageId} is not found, acknowledged ${(beganUs - ackedUs) / 1_000} ms before the read began`;
    });
  }

  onInstanceRead(id: string, status: string, beganUs: number): void {
    const ended = this.#ended.get(id);
    demand(ended === undefined || ended.atUs >= beganUs || ended.status === status, 'linearizable', () => {
      return `instance ${id} is read as ${status}, and was ${String(ended?.status)} before the read began`;
    });
    if (ended === undefined && TERMINAL.has(status)) this.#ended.set(id, { status, atUs: this.#queue.nowUs });
  }
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((one, i) => one === b[i]);
}
