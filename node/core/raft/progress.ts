/**
 * What a leader knows of one follower. `probe`: one append at a time until its log is known to match;
 * `replicate`: appends are pipelined up to a window; `snapshot`: it needs entries that are cut away, nothing is appended
 * until it has a snapshot (etcd's names for the same three modes).
 */
import { assert } from '../../../base/assert.ts';

export const INFLIGHT_APPENDS_MAX = 64;
export const INFLIGHT_BYTES_MAX = 16 * 1024 * 1024;

export class Progress {
  mode: 'probe' | 'replicate' | 'snapshot' = 'probe';
  matchIndex = 0;
  nextIndex: number;
  /** Last answer of the current term, on the leader's clock. */
  contactMs: number;
  /** Highest heartbeat round answered. */
  readRound = 0;
  /** The follower's wall clock and when it was reported, for cluster time. */
  wallMs: number | undefined;
  wallAtMs = 0;
  #inflight: { lastIndex: number; bytes: number }[] = [];
  #inflightBytes = 0;
  #sentMs = 0;

  constructor(nextIndex: number, nowMs: number) {
    this.nextIndex = nextIndex;
    this.contactMs = nowMs;
  }

  /** May another append be sent now? */
  open(): boolean {
    if (this.mode === 'snapshot') return false;
    if (this.mode === 'probe') return this.#inflight.length === 0;
    return this.#inflight.length < INFLIGHT_APPENDS_MAX && this.#inflightBytes < INFLIGHT_BYTES_MAX;
  }

  sent(lastIndex: number, bytes: number, nowMs: number): void {
    this.#inflight.push({ lastIndex, bytes });
    this.#inflightBytes += bytes;
    if (this.#inflight.length === 1) this.#sentMs = nowMs;
    if (this.mode === 'replicate') this.nextIndex = lastIndex + 1;
  }

  acknowledged(matchIndex: number, nowMs: number): void {
    if (matchIndex > this.matchIndex) this.matchIndex = matchIndex;
    if (this.mode === 'snapshot') return;
    if (this.mode === 'probe') {
      // A heartbeat claims no more than what matched before: it says nothing about the entry being probed.
      if (this.matchIndex < this.nextIndex - 1) return;
      this.mode = 'replicate';
      this.#clear();
      this.nextIndex = this.matchIndex + 1;
      return;
    }
    if (this.nextIndex <= this.matchIndex) this.nextIndex = this.matchIndex + 1;
    let done = 0;
    while (done < this.#inflight.length && (this.#inflight[done]?.lastIndex ?? Infinity) <= matchIndex) {
      this.#inflightBytes -= this.#inflight[done]?.bytes ?? 0;
      done++;
    }
    if (done > 0) {
      this.#inflight.splice(0, done);
      this.#sentMs = nowMs;
    }
  }

  /** Back to one at a time from `nextIndex`: something sent was refused or lost. */
  probe(nextIndex: number): void {
    assert(nextIndex > this.matchIndex, 'what matched once is not sent again');
    this.mode = 'probe';
    this.nextIndex = nextIndex;
    this.#clear();
  }

  /** What it needs next is cut away. */
  awaitSnapshot(): void {
    this.mode = 'snapshot';
    this.#clear();
  }

  /** What is in flight is lost: a probe is sent again, a window from behind the last match. */
  lost(): void {
    if (this.mode === 'snapshot') return;
    this.probe(this.mode === 'probe' ? this.nextIndex : this.matchIndex + 1);
  }

  /** True when the oldest append in flight has had no answer for `ms`. */
  stalled(nowMs: number, ms: number): boolean {
    return this.#inflight.length > 0 && nowMs - this.#sentMs >= ms;
  }

  #clear(): void {
    this.#inflight = [];
    this.#inflightBytes = 0;
  }
}
