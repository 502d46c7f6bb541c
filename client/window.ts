import { DistricError } from '../base/errors.ts';

export interface WindowLimits {
  /** Batches and bytes of their payloads that may be unanswered. */
  batchesMax: number;
  bytesMax: number;
  /** Batches that wait to get in. */
  waitingMax: number;
}

export const WINDOW_LIMITS: WindowLimits = { batchesMax: 1_000, bytesMax: 16 * 1024 * 1024, waitingMax: 10_000 };

interface Waiter {
  readonly bytes: number;
  readonly admit: () => void;
}

/** What is unanswered, and who waits, in order, for that to get less. */
export class Window {
  readonly #limits: WindowLimits;
  readonly #waiting = new Set<Waiter>();
  readonly #watchers = new Set<() => void>();
  #batches = 0;
  #bytes = 0;

  constructor(limits: WindowLimits) {
    this.#limits = limits;
  }

  get batches(): number {
    return this.#batches;
  }

  get hasRoom(): boolean {
    return this.#waiting.size === 0 && this.#batches < this.#limits.batchesMax && this.#bytes < this.#limits.bytesMax;
  }

  /** Undefined: taken. A promise: wait for it. Throws QUEUE_FULL when too many wait, and the reason of `signal`. */
  take(bytes: number, signal?: AbortSignal): Promise<void> | undefined {
    signal?.throwIfAborted();
    if (this.hasRoom) {
      this.#add(bytes);
      return undefined;
    }
    if (this.#waiting.size >= this.#limits.waitingMax) {
      throw new DistricError('QUEUE_FULL', 'more batches wait than this client holds: wait for ready() before send()');
    }
    return new Promise((resolve, reject) => {
      const waiter = {
        bytes,
        admit: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      const onAbort = (): void => {
        this.#waiting.delete(waiter);
        reject(signal?.reason as Error);
        this.#admit();
      };
      this.#waiting.add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  give(bytes: number): void {
    this.#batches--;
    this.#bytes -= bytes;
    this.#admit();
  }

  /** Resolves when a batch would go out at once. */
  ready(): Promise<void> {
    if (this.hasRoom) return Promise.resolve();
    return new Promise((resolve) => this.#watchers.add(resolve));
  }

  #add(bytes: number): void {
    this.#batches++;
    this.#bytes += bytes;
  }

  #admit(): void {
    for (const waiter of this.#waiting) {
      if (this.#batches >= this.#limits.batchesMax || this.#bytes >= this.#limits.bytesMax) return;
      this.#waiting.delete(waiter);
      this.#add(waiter.bytes);
      waiter.admit();
    }
    for (const watcher of this.#watchers) watcher();
    this.#watchers.clear();
  }
}
