/**
 * Handing the leadership on (Raft dissertation §3.10): once the target has the whole log, it is told to campaign at once.
 * What goes wrong on the way costs time only: the election that follows is an election like any other.
 */
import type { Progress } from './progress.ts';
import type { Replica } from './replica.ts';

export class Transfer {
  readonly #replica: Replica;
  #target: string | undefined;
  #deadlineMs = 0;
  #sent = false;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  /** Set: no proposals, so that the target can catch up; for an election time-out at most. */
  get target(): string | undefined {
    return this.#target;
  }

  begin(target: string, progress: ReadonlyMap<string, Progress>): void {
    const { nowMs, config } = this.#replica;
    this.#target = target;
    this.#deadlineMs = nowMs + config.electionMsMax;
    this.#sent = false;
    this.proceed(progress);
  }

  /** Called whenever the target may have caught up, or time has passed. */
  proceed(progress: ReadonlyMap<string, Progress>): void {
    if (this.#target === undefined) return;
    const { nowMs, log, membership } = this.#replica;
    // Out of time, or out of the voters: this node goes on leading.
    if (nowMs >= this.#deadlineMs || !membership.voters.includes(this.#target)) {
      this.end();
      return;
    }
    if (this.#sent || progress.get(this.#target)?.matchIndex !== log.lastIndex) return;
    this.#sent = true;
    this.#tell(this.#target);
  }

  /** Tells the voter that is furthest: this leader is one no longer. */
  handOver(progress: ReadonlyMap<string, Progress>): void {
    let furthest: { id: string; matchIndex: number } | undefined;
    for (const id of this.#replica.membership.voters) {
      const matchIndex = progress.get(id)?.matchIndex ?? 0;
      if (furthest === undefined || matchIndex > furthest.matchIndex) furthest = { id, matchIndex };
    }
    if (furthest !== undefined) this.#tell(furthest.id);
  }

  end(): void {
    this.#target = undefined;
  }

  #tell(target: string): void {
    this.#replica.outbox.send(target, { kind: 'TIMEOUT_NOW', body: { term: this.#replica.term } });
  }
}
