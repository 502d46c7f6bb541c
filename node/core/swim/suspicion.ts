/** How long a suspected member has to say that it is alive. */
interface SuspicionTimes {
  /** With nobody confirming, and with all confirmations that count. */
  maxMs: number;
  minMs: number;
  confirmationsMax: number;
}

/**
 * Starts with a long time-out, which members that have no answer either make shorter (Lifeguard §IV.B): one slow accuser
 * alone does no harm, and a dead member is found dead soon.
 */
export class Suspicion {
  readonly #accusers: Set<string>;
  readonly #times: SuspicionTimes;
  readonly #startMs: number;
  #notBeforeMs = 0;
  #isShort = false;

  constructor(accuser: string, startMs: number, times: SuspicionTimes) {
    this.#accusers = new Set([accuser]);
    this.#times = times;
    this.#startMs = startMs;
  }

  /** True when it counts: it is somebody new, and more is needed. */
  confirm(accuser: string): boolean {
    if (this.#confirmations >= this.#times.confirmationsMax || this.#accusers.has(accuser)) return false;
    this.#accusers.add(accuser);
    return true;
  }

  /** The suspected one is there: it has the shortest time again for what it says to come through. */
  heard(nowMs: number): void {
    this.#notBeforeMs = nowMs + this.#times.minMs;
  }

  /** Somewhere else its time has run out already: from here on the shortest one counts. */
  shorten(): void {
    this.#isShort = true;
  }

  get accuser(): string {
    const [first] = this.#accusers;
    return first ?? '';
  }

  get deadlineMs(): number {
    const { maxMs, minMs, confirmationsMax } = this.#times;
    const isShort = this.#isShort || confirmationsMax < 1;
    const share = isShort ? 1 : Math.log(this.#confirmations + 1) / Math.log(confirmationsMax + 1);
    return Math.max(this.#notBeforeMs, this.#startMs + maxMs - (maxMs - minMs) * share);
  }

  get #confirmations(): number {
    return this.#accusers.size - 1;
  }
}
