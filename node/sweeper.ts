/**
 * Retention, as the leader drives it: looks now and then whether a table has rows that may go, and if so walks it, one
 * entry of the log at a time. What is to be kept is this leader's configuration; each entry carries it.
 */
import type { Infer } from './core/tlv/struct.ts';
import type { Sweep } from './core/state/commands.ts';
import type { StateEvent } from './core/state/events.ts';
import type { Retention, SweptTable } from './core/state/retention.ts';

export interface Kept {
  /** What is older goes. */
  ageMs: number;
  /** Of what is left, the newest so many stay. */
  count: number;
}

export type RetentionLimits = Readonly<Record<SweptTable, Kept>>;

/** How often a table is looked at. */
const LOOK_MS = 10_000;
/** Rows that are old and must stay would be walked over and over. */
const REST_MS_MAX = 600_000;
/** At least so long between two entries: sweeping a large table must not hold up messages. */
const GAP_MS = 10;
/** Never goes, however many there are: it is still in memory, and its sender may not have the answer yet. */
export const YOUNG_MS = 10_000;

const TABLES = ['messages', 'instances'] as const;

interface Walk {
  /** Where to go on; undefined: not being walked. */
  from: string | undefined;
  lookDueMs: number;
  /** Rows deleted since it began. */
  deleted: number;
  /** Until it is looked again: longer after each walk that found nothing to delete. */
  restMs: number;
}

const AT_REST: Walk = { from: undefined, lookDueMs: 0, deleted: 0, restMs: LOOK_MS };

export class Sweeper {
  readonly #limits: RetentionLimits;
  readonly #propose: (sweep: Infer<typeof Sweep>, applied: () => void) => void;
  readonly #walks: Record<SweptTable, Walk> = {
    messages: { ...AT_REST },
    instances: { ...AT_REST },
  };
  #isUnderWay = false;
  #nextMs = 0;

  constructor(limits: RetentionLimits, propose: (sweep: Infer<typeof Sweep>, applied: () => void) => void) {
    this.#limits = limits;
    this.#propose = propose;
  }

  /** A new term: what was under way may never be applied. */
  beginTerm(): void {
    this.#isUnderWay = false;
    for (const table of TABLES) this.#walks[table] = { ...AT_REST };
  }

  /** Once a turn, while leading. `timeMs` is cluster time. */
  lead(retention: Retention, monotonicMs: number, timeMs: number): void {
    if (this.#isUnderWay || monotonicMs < this.#nextMs) return;
    for (const table of TABLES) {
      const walk = this.#walks[table];
      const { ageMs, count: keep } = this.#limits[table];
      const youngest = Math.max(0, timeMs - YOUNG_MS);
      const before = Math.min(youngest, Math.max(0, timeMs - ageMs));
      if (walk.from === undefined && monotonicMs >= walk.lookDueMs) {
        walk.lookDueMs = monotonicMs + walk.restMs;
        if (retention.isDue(table, before, keep)) walk.from = '';
      }
      if (walk.from === undefined) continue;
      this.#isUnderWay = true;
      this.#nextMs = monotonicMs + GAP_MS;
      this.#propose({ table, from: walk.from, before, youngest, keep }, () => (this.#isUnderWay = false));
      return;
    }
  }

  onSwept({ table, next, deleted }: Extract<StateEvent, { kind: 'swept' }>): void {
    const name = TABLES.find((one) => one === table);
    if (name === undefined) return;
    const walk = this.#walks[name];
    walk.from = next;
    walk.deleted += deleted;
    if (next !== undefined) return;
    const restMs = walk.deleted > 0 ? LOOK_MS : Math.min(2 * walk.restMs, REST_MS_MAX);
    walk.lookDueMs += restMs - walk.restMs;
    walk.restMs = restMs;
    walk.deleted = 0;
  }
}
