/**
 * Puts changes that were refused before they reached the log on record in the audit log.
 *
 * Whoever may not change rules can still ask to, as often as it likes: so each key gets REFUSALS_BURST rows at once and
 * one more every REFUSAL_INTERVAL_MS at each coordinator. What is over that is counted only, like every refusal.
 */
import type { Actor } from '../api/access.ts';
import type { DistricError } from '../base/errors.ts';
import { BucketTable } from '../base/token-bucket.ts';
import type { Gateway } from './requests.ts';

export const REFUSALS_BURST = 10;
export const REFUSAL_INTERVAL_MS = 60_000;
const ACTORS_MAX = 10_000;
const TARGET_CHARS_MAX = 200;
/** Somebody else's fault, which is told and may pass, is no refusal of a change; nor is one that was not let in. */
const NOT_REFUSED: ReadonlySet<number> = new Set([401, 408, 429]);

export class RefusalNotes {
  readonly #gateway: Pick<Gateway, 'command'>;
  readonly #rows = new BucketTable(ACTORS_MAX);

  constructor(gateway: Pick<Gateway, 'command'>) {
    this.#gateway = gateway;
  }

  /** `nowMs` is monotonic. The row may be lost when the cluster takes no changes: the refusal does not wait for it. */
  note(actor: Actor, { action, target }: { action: string; target: string }, error: DistricError, nowMs: number): void {
    if (error.status < 400 || error.status >= 500 || NOT_REFUSED.has(error.status)) return;
    const perSecond = 1_000 / REFUSAL_INTERVAL_MS;
    if (!this.#rows.take(`${actor.kind}:${actor.id}`, perSecond, REFUSALS_BURST, nowMs).allowed) return;
    const row = { kind: 'note', action, target: target.slice(0, TARGET_CHARS_MAX), outcome: error.code } as const;
    this.#gateway.command(row, actor, () => undefined);
  }
}
