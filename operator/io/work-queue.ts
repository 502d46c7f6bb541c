/**
 * Keys to be looked at: each once however often it was added, never two workers on the same one, after a failure again
 * with a pause that grows.
 */
const BACKOFF_MS = 200;
const BACKOFF_MS_MAX = 60_000;

export interface WorkQueueOptions {
  concurrency: number;
  /** Returns after how many ms to look again, if by itself; a rejection is tried again with back-off. */
  work: (key: string) => Promise<number | undefined>;
  onFailure: (key: string, error: unknown, pauseMs: number) => void;
  /** 0 to 1. */
  random?: () => number;
}

export class WorkQueue {
  readonly #options: WorkQueueOptions;
  #ready: string[] = [];
  /** Due times of those that wait; the earlier of two stays. */
  readonly #timers = new Map<string, { timer: NodeJS.Timeout; dueMs: number }>();
  readonly #running = new Set<string>();
  /** Added while it was worked on: once more afterwards. */
  readonly #again = new Set<string>();
  readonly #failures = new Map<string, number>();
  #stopped = false;
  #idle: (() => void) | undefined;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  /** Keys that are due. */
  get depth(): number {
    return this.#ready.length;
  }

  add(key: string, afterMs = 0): void {
    if (this.#stopped) return;
    if (afterMs <= 0) {
      this.#due(key);
      return;
    }
    const dueMs = performance.now() + afterMs;
    const waiting = this.#timers.get(key);
    if (waiting !== undefined && waiting.dueMs <= dueMs) return;
    clearTimeout(waiting?.timer);
    const timer = setTimeout(() => this.#due(key), afterMs);
    this.#timers.set(key, { timer, dueMs });
  }

  /** What is under way is finished. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const { timer } of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#ready = [];
    if (this.#running.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  #due(key: string): void {
    clearTimeout(this.#timers.get(key)?.timer);
    this.#timers.delete(key);
    if (this.#running.has(key)) this.#again.add(key);
    else if (!this.#ready.includes(key)) this.#ready.push(key);
    this.#pump();
  }

  #pump(): void {
    while (!this.#stopped && this.#running.size < this.#options.concurrency) {
      const key = this.#ready.shift();
      if (key === undefined) return;
      this.#running.add(key);
      void this.#work(key);
    }
  }

  async #work(key: string): Promise<void> {
    const { work, onFailure, random = Math.random } = this.#options;
    try {
      const afterMs = await work(key);
      this.#failures.delete(key);
      if (afterMs !== undefined) this.add(key, afterMs);
    } catch (error) {
      const failures = this.#failures.get(key) ?? 0;
      this.#failures.set(key, failures + 1);
      const pauseMs = Math.min(BACKOFF_MS * 2 ** failures, BACKOFF_MS_MAX) * (0.5 + random() / 2);
      onFailure(key, error, pauseMs);
      this.add(key, pauseMs);
    }
    this.#running.delete(key);
    if (this.#again.delete(key)) this.#due(key);
    if (this.#stopped && this.#running.size === 0) this.#idle?.();
    this.#pump();
  }
}
