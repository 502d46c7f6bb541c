import type { EventQueue } from './event-queue.ts';

/** An operating-system process: what is delivered to it is lost once it has crashed, and waits while it is paused. */
export class SimProcess {
  readonly #queue: EventQueue;
  alive = false;
  /** Counts the starts. */
  incarnation = 0;
  paused = false;
  /** Counts the pauses. */
  pauses = 0;
  #waiting: (() => void)[] = [];
  #resumes = 0;

  constructor(queue: EventQueue) {
    this.#queue = queue;
  }

  start(): void {
    this.alive = true;
    this.incarnation++;
    this.paused = false;
  }

  stop(): void {
    this.alive = false;
    this.paused = false;
    this.#waiting = [];
    this.#resumes++;
  }

  /** Delivers now, or when the pause is over. */
  deliver(run: () => void): void {
    if (!this.alive) return;
    if (this.paused) this.#waiting.push(run);
    else run();
  }

  /** Delivers after a delay, to this incarnation only. */
  deliverAfter(delayUs: number, run: () => void): void {
    const { incarnation } = this;
    this.#queue.after(delayUs, () => {
      if (this.incarnation === incarnation) this.deliver(run);
    });
  }

  /** SIGSTOP, and SIGCONT after `durationUs`. */
  pause(durationUs: number): void {
    if (!this.alive || this.paused) return;
    this.paused = true;
    this.pauses++;
    const resume = ++this.#resumes;
    this.#queue.after(durationUs, () => {
      if (this.#resumes === resume) this.resume();
    });
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.#resumes++;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const run of waiting) this.deliver(run);
  }
}
