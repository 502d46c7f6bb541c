/**
 * Linearizable reads of a leader (Raft dissertation §6.4): all reads asked since the last turn share one round of
 * heartbeats; a majority of answers to it, or to a later one, confirms that nobody else led when the round began.
 */

/** Reads waiting for their round; over it a read is refused. */
export const PENDING_READS_MAX = 10_000;

export interface ReadResult {
  ticket: number;
  /** The state may be read once this index is applied; undefined: leadership was lost, nothing is known. */
  index: number | undefined;
}

export class ReadRounds {
  /** Number of the latest round; 0 before the first. */
  round = 0;
  #ticket = 0;
  #queued: number[] = [];
  #pending: { ticket: number; round: number; index: number }[] = [];
  #results: ReadResult[] = [];

  /** A ticket for the answer, or undefined when too many wait. */
  ask(): number | undefined {
    if (this.#pending.length + this.#queued.length >= PENDING_READS_MAX) return undefined;
    this.#ticket++;
    this.#queued.push(this.#ticket);
    return this.#ticket;
  }

  /** Begins a round for what is queued, if anything is: true when heartbeats must carry it out. */
  begin(commitIndex: number): boolean {
    if (this.#queued.length === 0) return false;
    this.round++;
    for (const ticket of this.#queued) this.#pending.push({ ticket, round: this.round, index: commitIndex });
    this.#queued = [];
    return true;
  }

  /** A quorum has answered the round `confirmed`, and with it every earlier one. */
  confirm(confirmed: number): void {
    let done = 0;
    for (const { ticket, round, index } of this.#pending) {
      if (round > confirmed) break;
      this.#results.push({ ticket, index });
      done++;
    }
    this.#pending.splice(0, done);
  }

  /** Leadership is lost: nothing asked so far can be confirmed any more. */
  fail(): void {
    for (const { ticket } of this.#pending) this.#results.push({ ticket, index: undefined });
    for (const ticket of this.#queued) this.#results.push({ ticket, index: undefined });
    this.#pending = [];
    this.#queued = [];
  }

  take(): ReadResult[] {
    const results = this.#results;
    this.#results = [];
    return results;
  }
}
