import { Gauge, Registry, collectDefaultMetrics, Counter, Histogram } from 'prom-client';
import { EventLoopDelay } from './event-loop-delay.ts';

/** From 50 µs, a sync on a fast disk, to 10 s, a disk in trouble. */
const DISK_SECONDS = [
  0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
];

const DELAY_QUANTILES = [0.5, 0.99, 0.999];

export interface NodeIdentity {
  nodeId: string;
  role: 'coordinator' | 'worker';
  version: string;
}

/** The registry of one node (never the process-wide one of prom-client), with what every role reports. */
export interface StoreFill {
  usedBytes: number;
  /** What the store may use. */
  bytesMax: number;
}

export class NodeMetrics {
  readonly registry = new Registry();
  readonly eventLoopDelay = new EventLoopDelay();
  readonly #fsync: Histogram;
  readonly #fsyncBytes: Counter;
  readonly #commit: Histogram;
  readonly #commitKeys: Counter;

  constructor({ nodeId, role, version }: NodeIdentity) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    new Gauge({
      name: 'distric_build_info',
      help: 'Always 1; the labels say what runs here.',
      labelNames: ['version', 'node_version', 'role', 'node'],
      registers,
    }).set({ version, node_version: process.version, role, node: nodeId }, 1);
    const { eventLoopDelay } = this;
    new Gauge({
      name: 'distric_event_loop_delay_seconds',
      help: 'How late timers run, over the last 30 to 60 seconds.',
      labelNames: ['quantile'],
      registers,
      collect() {
        for (const quantile of DELAY_QUANTILES) this.set({ quantile }, eventLoopDelay.seconds(quantile * 100));
      },
    });
    this.#fsync = new Histogram({
      name: 'distric_log_fsync_duration_seconds',
      help: 'Writing and syncing one group of the Raft log.',
      buckets: DISK_SECONDS,
      registers,
    });
    this.#fsyncBytes = new Counter({
      name: 'distric_log_fsync_bytes_total',
      help: 'Bytes synced to the Raft log.',
      registers,
    });
    this.#commit = new Histogram({
      name: 'distric_state_commit_duration_seconds',
      help: 'Writing and syncing one commit of the state.',
      buckets: DISK_SECONDS,
      registers,
    });
    this.#commitKeys = new Counter({
      name: 'distric_state_commit_keys_total',
      help: 'Keys written or deleted in the state.',
      registers,
    });
  }

  /** One sync of the log took `seconds` and carried `bytes`; fits the log store's `onFlush`. */
  readonly logFlushed = (seconds: number, bytes: number): void => {
    this.#fsync.observe(seconds);
    this.#fsyncBytes.inc(bytes);
  };

  /** One commit of the state took `seconds` and carried `keys`; fits the state store's `onCommit`. */
  readonly stateCommitted = (seconds: number, keys: number): void => {
    this.#commit.observe(seconds);
    this.#commitKeys.inc(keys);
  };

  /** Reports the fill of each store and of the file system, asked at each scrape. */
  observeStorage(stores: Record<string, () => StoreFill>): void {
    const labelNames = ['store'];
    const registers = [this.registry];
    new Gauge({
      name: 'distric_storage_used_bytes',
      help: 'Bytes in use on disk, of the log, the state, and the file system (disk: all that is not free of its limit).',
      labelNames,
      registers,
      collect() {
        for (const [store, fill] of Object.entries(stores)) this.set({ store }, fill().usedBytes);
      },
    });
    new Gauge({
      name: 'distric_storage_limit_bytes',
      help: 'Most bytes a store may use; of the disk: what this node has of it and what is free.',
      labelNames,
      registers,
      collect() {
        for (const [store, fill] of Object.entries(stores)) this.set({ store }, fill().bytesMax);
      },
    });
  }

  /** Reports how long the node's certificate and the authorities it trusts are good for, asked at each scrape. */
  observeCertificates(secondsLeft: (kind: 'node' | 'ca') => number): void {
    new Gauge({
      name: 'distric_certificate_expiry_seconds',
      help: "Until the node's certificate (node) and the first of its trusted authorities (ca) expire; negative after.",
      labelNames: ['kind'],
      registers: [this.registry],
      collect() {
        for (const kind of ['node', 'ca'] as const) this.set({ kind }, secondsLeft(kind));
      },
    });
  }

  close(): void {
    this.eventLoopDelay.close();
    this.registry.clear();
  }
}
