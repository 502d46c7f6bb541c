/** Warnings about what peers send: whoever may connect could fill the log, so each peer gets a few, then one a minute. */
import { BucketTable } from '../base/token-bucket.ts';
import { WORKERS_MAX } from './core/state/worker-table.ts';
import type { LoopLog } from './ports.ts';

export const WARNINGS_BURST = 5;
const WARNINGS_PER_SECOND = 1 / 60;

export class RareWarnings {
  readonly #log: LoopLog;
  readonly #peers = new BucketTable(WORKERS_MAX);

  constructor(log: LoopLog) {
    this.#log = log;
  }

  /** `nowMs` is monotonic. */
  about(from: string, message: string, text: string, nowMs: number): void {
    if (!this.#peers.take(from, WARNINGS_PER_SECOND, WARNINGS_BURST, nowMs).allowed) return;
    this.#log.warn({ component: 'node', from, message }, text);
  }
}
