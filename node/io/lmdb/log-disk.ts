import type { LogWrite } from '../../core/raft/log-reader.ts';
import { recordBytes, type StoreDatabase } from './environment.ts';

export const HARD_STATE_KEY = 'hard-state';

/** Entries of a prefix cut removed by one transaction: a huge cut must not hold up the loop. */
const CUT_ENTRIES_MAX = 4_096;

/**
 * What the log environment holds, or will hold once the transactions being filled are on disk.
 * Entries are consecutive at every commit; a large prefix cut is carried out over several of them, from the front.
 */
export class LogDisk {
  /** Bounds of the entries; last < first means none. */
  #first: number;
  #last: number;
  /** Entries below are to go; 0 when there are none left. */
  #cut = 0;

  constructor(first: number, last: number) {
    this.#first = first;
    this.#last = last;
  }

  get first(): number {
    return this.#first;
  }

  get cutPending(): boolean {
    return this.#cut > 0;
  }

  /** Adds the puts and removes of one write to the transaction being filled. */
  apply(db: StoreDatabase, { hardState, restart, truncateFrom, entries, cutBefore }: LogWrite): void {
    if (hardState !== undefined) void db.put(HARD_STATE_KEY, recordBytes(hardState));
    if (restart === true) {
      for (; this.#first <= this.#last; this.#first++) void db.remove(this.#first);
      this.#cut = 0;
    }
    if (truncateFrom !== undefined) {
      for (; this.#last >= truncateFrom && this.#last >= this.#first; this.#last--) void db.remove(this.#last);
      this.#clearWhenAllCut(db);
    }
    for (const { index, bytes } of entries) {
      if (this.#last < this.#first) this.#first = index;
      void db.put(index, bytes);
      this.#last = index;
    }
    if (cutBefore !== undefined) {
      this.#cut = Math.max(this.#cut, cutBefore);
      this.#clearWhenAllCut(db);
    }
  }

  /** Adds the next part of a prefix cut to the transaction being filled. */
  carryOutCut(db: StoreDatabase): void {
    const end = Math.min(this.#cut, this.#first + CUT_ENTRIES_MAX);
    for (; this.#first < end; this.#first++) void db.remove(this.#first);
    if (this.#first >= this.#cut) this.#cut = 0;
  }

  /** An emptied log may go on at any index, so nothing of the old entries may be left behind the gap. */
  #clearWhenAllCut(db: StoreDatabase): void {
    if (this.#cut <= this.#last) return;
    for (; this.#first <= this.#last; this.#first++) void db.remove(this.#first);
    this.#cut = 0;
  }
}
