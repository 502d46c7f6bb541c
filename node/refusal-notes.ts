/**
 * Puts changes that were refused before they reached the log on record in the audit log: by the coordinator that was
 * asked, or by the leader.
 *
 * Whoever may not change rules can still ask to, as often as it likes: so each key gets REFUSALS_BURST rows at once and
 * one more every REFUSAL_INTERVAL_MS at each coordinator. What is over that is counted only, like every refusal.
 */
import type { Actor } from '../api/access.ts';
import type { DistricError } from '../base/errors.ts';
import { BucketTable } from '../base/token-bucket.ts';
import type { ActorField } from './core/state/commands.ts';
import type { Gateway } from './requests.ts';

export const REFUSALS_BURST = 10;
export const REFUSAL_INTERVAL_MS = 60_000;
const ACTORS_MAX = 10_000;
const TARGET_CHARS_MAX = 200;
/** Somebody else's fault, which is told and may pass, is no refusal of a change; nor is one that was not let in. */
const NOT_REFUSED: ReadonlySet<number> = new Set([401, 408, 429]);

export interface RefusalRow {
  action: string;
  target: string;
  outcome: string;
}

/** Which refusals become rows, and how many. */
export class RefusalRows {
  readonly #rows = new BucketTable(ACTORS_MAX);

  /** Undefined: it is none, or its actor has had its share. */
  rowOf(
    actor: ActorField,
    { action, target }: Omit<RefusalRow, 'outcome'>,
    error: DistricError,
    nowMs: number,
  ): RefusalRow | undefined {
    if (error.status < 400 || error.status >= 500 || NOT_REFUSED.has(error.status)) return undefined;
    const perSecond = 1_000 / REFUSAL_INTERVAL_MS;
    if (!this.#rows.take(`${actor.kind}:${actor.id}`, perSecond, REFUSALS_BURST, nowMs).allowed) return undefined;
    return { action, target: target.slice(0, TARGET_CHARS_MAX), outcome: error.code };
  }
}

export class RefusalNotes {
  readonly #gateway: Pick<Gateway, 'command'>;
  readonly #rows = new RefusalRows();

  constructor(gateway: Pick<Gateway, 'command'>) {
    this.#gateway = gateway;
  }

  /** `nowMs` is monotonic. The row may be lost when the cluster takes no changes: the refusal does not wait for it. */
  note(actor: Actor, change: Omit<RefusalRow, 'outcome'>, error: DistricError, nowMs: number): void {
    const row = this.#rows.rowOf(actor, change, error, nowMs);
    if (row !== undefined) this.#gateway.command({ kind: 'note', ...row }, actor, () => undefined);
  }
}
