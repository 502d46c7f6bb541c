import { performance } from 'node:perf_hooks';
import { assert } from '../../../base/assert.ts';
import { DistricError } from '../../../base/errors.ts';

/** What can be kept in a pool: a connection that is lent to one user at a time. */
export interface Pooled {
  /** False: it is closed, or about to be. */
  readonly usable: boolean;
  /** Ends it once nothing is under way on it. */
  drain(reason: string): void;
}

export interface PoolLimits {
  /** Connections to one address, lent or idle. */
  perAddressMax: number;
  /** Users that wait for one, per address. */
  waitingMax: number;
  /** A connection that nobody wanted for so long is closed. */
  idleMsMax: number;
}

export const POOL_LIMITS: PoolLimits = { perAddressMax: 8, waitingMax: 1_024, idleMsMax: 30_000 };

/** The metric each call belongs to is named with it: a program that has a pool exports them, see docs/client.md. */
export interface PoolMetrics {
  /** tcp_pool_size: connections in the pool, lent or idle. */
  size(connections: number): void;
  /** tcp_pool_acquire_duration_seconds */
  acquired(seconds: number): void;
  /** tcp_pool_connection_reuse_total */
  reused(): void;
}

export const NO_POOL_METRICS: PoolMetrics = {
  size: () => undefined,
  acquired: () => undefined,
  reused: () => undefined,
};

interface Idle<T> {
  readonly connection: T;
  readonly timer: NodeJS.Timeout;
}

interface Shelf<T> {
  /** The one put back last is last: it is lent first, so that the others can get old and be closed. */
  readonly idle: Idle<T>[];
  readonly waiting: Set<() => void>;
  /** Lent, idle, or being opened. */
  size: number;
}

export interface PoolOptions<T> {
  /** Makes a usable connection, or rejects. */
  open: (address: string) => Promise<T>;
  limits?: Partial<PoolLimits>;
  metrics?: PoolMetrics;
}

/** Connections per address, kept for the next user. What is lent must come back, usable or not. */
export class TcpPool<T extends Pooled> {
  readonly #open: (address: string) => Promise<T>;
  readonly #limits: PoolLimits;
  readonly #metrics: PoolMetrics;
  readonly #shelves = new Map<string, Shelf<T>>();
  readonly #lent = new Map<T, string>();
  #size = 0;
  #closed = false;

  constructor({ open, limits, metrics = NO_POOL_METRICS }: PoolOptions<T>) {
    this.#open = open;
    this.#limits = { ...POOL_LIMITS, ...limits };
    this.#metrics = metrics;
  }

  /** Connections in the pool, lent or idle. */
  get size(): number {
    return this.#size;
  }

  /** Rejects with what `open` rejects with, with QUEUE_FULL when too many wait, or with the reason of `signal`. */
  async acquire(address: string, signal?: AbortSignal): Promise<T> {
    const startedMs = performance.now();
    for (;;) {
      signal?.throwIfAborted();
      if (this.#closed) throw new DistricError('SHUTTING_DOWN', 'the pool is closed');
      const shelf = this.#shelf(address);
      const idle = this.#takeIdle(shelf);
      if (idle !== undefined) {
        this.#metrics.reused();
        return this.#lend(idle, address, startedMs);
      }
      if (shelf.size < this.#limits.perAddressMax) {
        return this.#lend(await this.#openOne(shelf, address), address, startedMs);
      }
      await this.#wait(shelf, signal);
    }
  }

  /** Puts a lent connection back; one that is not usable any more leaves the pool. */
  release(connection: T): void {
    const address = this.#lent.get(connection);
    assert(address !== undefined, 'what comes back to a pool was lent by it');
    this.#lent.delete(connection);
    const shelf = this.#shelf(address);
    if (!connection.usable || this.#closed) {
      connection.drain('pool_closed');
      this.#shrink(shelf);
    } else {
      const timer = setTimeout(() => {
        shelf.idle.splice(shelf.idle.indexOf(entry), 1);
        connection.drain('idle');
        this.#shrink(shelf);
      }, this.#limits.idleMsMax);
      timer.unref();
      const entry = { connection, timer };
      shelf.idle.push(entry);
    }
    wakeOne(shelf);
  }

  /** Ends the idle connections now, the lent ones when they come back; nothing is lent any more. */
  close(): void {
    this.#closed = true;
    for (const shelf of this.#shelves.values()) {
      for (let idle = this.#takeIdle(shelf); idle !== undefined; idle = this.#takeIdle(shelf)) {
        idle.drain('pool_closed');
        this.#shrink(shelf);
      }
      for (const wake of shelf.waiting) wake();
    }
  }

  #shelf(address: string): Shelf<T> {
    let shelf = this.#shelves.get(address);
    if (shelf === undefined) {
      shelf = { idle: [], waiting: new Set(), size: 0 };
      this.#shelves.set(address, shelf);
    }
    return shelf;
  }

  #takeIdle(shelf: Shelf<T>): T | undefined {
    for (let idle = shelf.idle.pop(); idle !== undefined; idle = shelf.idle.pop()) {
      clearTimeout(idle.timer);
      if (idle.connection.usable) return idle.connection;
      this.#shrink(shelf);
    }
    return undefined;
  }

  async #openOne(shelf: Shelf<T>, address: string): Promise<T> {
    shelf.size++;
    this.#metrics.size(++this.#size);
    try {
      return await this.#open(address);
    } catch (error) {
      this.#shrink(shelf);
      wakeOne(shelf);
      throw error;
    }
  }

  #lend(connection: T, address: string, startedMs: number): T {
    this.#lent.set(connection, address);
    this.#metrics.acquired((performance.now() - startedMs) / 1_000);
    return connection;
  }

  #shrink(shelf: Shelf<T>): void {
    shelf.size--;
    this.#metrics.size(--this.#size);
  }

  #wait(shelf: Shelf<T>, signal: AbortSignal | undefined): Promise<void> {
    if (shelf.waiting.size >= this.#limits.waitingMax) {
      throw new DistricError('QUEUE_FULL', 'too many wait for a connection to that address');
    }
    return new Promise((resolve) => {
      const wake = (): void => {
        shelf.waiting.delete(wake);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      shelf.waiting.add(wake);
      signal?.addEventListener('abort', wake, { once: true });
    });
  }
}

function wakeOne<T>(shelf: Shelf<T>): void {
  for (const wake of shelf.waiting) {
    wake();
    return;
  }
}
