/**
 * The calls of one connection, as the caller sees them: ids, deadlines, and the other end's credit.
 *
 * Invariants
 * 1. What is unanswered on the wire is within the credit, in calls and in bytes.
 * 2. Calls without credit wait in order, in a queue of fixed size; over it they are refused to the caller.
 * 3. A call that its caller gave up keeps its credit until it is answered: the other end still holds it.
 */
import { assert } from '../../../base/assert.ts';

export interface Call<T> {
  /** 0 while it waits for credit. */
  id: number;
  readonly bytes: number;
  readonly deadlineMs: number;
  readonly context: T;
  /** Answered or given up: nothing more is reported about it. */
  settled: boolean;
}

export interface CallLimits {
  /** Calls and bytes that wait for credit. */
  waitingCallsMax: number;
  waitingBytesMax: number;
}

export const CALL_LIMITS: CallLimits = { waitingCallsMax: 1_024, waitingBytesMax: 16 * 1024 * 1024 };

/** What an answer belongs to; `late`: its caller has gone; `unknown`: nobody ever asked, the other end is broken. */
export type Answered<T> = Call<T> | 'late' | 'unknown';

export class CallTable<T> {
  readonly #limits: CallLimits;
  readonly #open = new Map<number, Call<T>>();
  #waiting: Call<T>[] = [];
  #waitingFrom = 0;
  #waitingCalls = 0;
  #waitingBytes = 0;
  #callsMax = 0;
  #bytesMax = 0;
  #openBytes = 0;
  #lastId = 0;

  constructor(limits: CallLimits = CALL_LIMITS) {
    this.#limits = limits;
  }

  get openCalls(): number {
    return this.#open.size;
  }

  get openBytes(): number {
    return this.#openBytes;
  }

  get waitingCalls(): number {
    return this.#waitingCalls;
  }

  /** The other end's credit, as a whole: not added to what it gave before. */
  grant(calls: number, bytes: number): void {
    this.#callsMax = calls;
    this.#bytesMax = bytes;
  }

  /** True when a call of `bytes` would go out at once. */
  hasRoom(bytes: number): boolean {
    return this.#waitingCalls === 0 && this.#fits(bytes);
  }

  /** Undefined when too much waits already. Otherwise the call is handed out by `start`, now or later. */
  submit(bytes: number, deadlineMs: number, context: T): Call<T> | undefined {
    const { waitingCallsMax, waitingBytesMax } = this.#limits;
    const queued = this.#waitingCalls > 0 || !this.#fits(bytes);
    if (queued && (this.#waitingCalls >= waitingCallsMax || this.#waitingBytes + bytes > waitingBytesMax)) {
      return undefined;
    }
    const call: Call<T> = { id: 0, bytes, deadlineMs, context, settled: false };
    this.#waiting.push(call);
    this.#waitingCalls++;
    this.#waitingBytes += bytes;
    return call;
  }

  /** The next call to put on the wire, with its id; undefined when there is none or no credit for it. */
  start(): Call<T> | undefined {
    for (let call = this.#waiting[this.#waitingFrom]; call !== undefined; call = this.#waiting[this.#waitingFrom]) {
      if (!call.settled && !this.#fits(call.bytes)) return undefined;
      this.#waitingFrom++;
      if (this.#waitingFrom === this.#waiting.length) {
        this.#waiting = [];
        this.#waitingFrom = 0;
      } else if (this.#waitingFrom >= this.#limits.waitingCallsMax) {
        this.#waiting = this.#waiting.slice(this.#waitingFrom);
        this.#waitingFrom = 0;
      }
      if (call.settled) continue;
      this.#waitingCalls--;
      this.#waitingBytes -= call.bytes;
      call.id = ++this.#lastId;
      this.#open.set(call.id, call);
      this.#openBytes += call.bytes;
      return call;
    }
    return undefined;
  }

  /** An answer came: its credit is free again. */
  answer(id: number): Answered<T> {
    const call = this.#open.get(id);
    if (call === undefined) return 'unknown';
    this.#open.delete(id);
    this.#openBytes -= call.bytes;
    if (call.settled) return 'late';
    call.settled = true;
    return call;
  }

  /** The caller wants no answer any more. False when the call is settled already. */
  abandon(call: Call<T>): boolean {
    if (call.settled) return false;
    call.settled = true;
    if (call.id === 0) {
      this.#waitingCalls--;
      this.#waitingBytes -= call.bytes;
    }
    return true;
  }

  /** Gives up the calls whose time is over, and names them. */
  expire(nowMs: number): Call<T>[] {
    return this.#abandonAll((call) => call.deadlineMs <= nowMs);
  }

  /** The connection is gone: gives up all. Those with an id may have been carried out. */
  close(): Call<T>[] {
    const lost = this.#abandonAll(() => true);
    this.#open.clear();
    this.#openBytes = 0;
    this.#waiting = [];
    this.#waitingFrom = 0;
    assert(this.#waitingCalls === 0 && this.#waitingBytes === 0, 'nothing waits on a closed connection');
    return lost;
  }

  #fits(bytes: number): boolean {
    return this.#open.size < this.#callsMax && this.#openBytes + bytes <= this.#bytesMax;
  }

  #abandonAll(matches: (call: Call<T>) => boolean): Call<T>[] {
    const found: Call<T>[] = [];
    const look = (call: Call<T>): void => {
      if (!call.settled && matches(call) && this.abandon(call)) found.push(call);
    };
    for (const call of this.#open.values()) look(call);
    for (let i = this.#waitingFrom; i < this.#waiting.length; i++) {
      const call = this.#waiting[i];
      if (call !== undefined) look(call);
    }
    return found;
  }
}
