/**
 * All objects of one kind, kept as they are: listed once, then followed. Whatever goes wrong, it begins again after a
 * pause that grows; what has gone meanwhile is told as deleted. A watch that falls silent ends by itself within half a
 * minute, so nothing is missed for longer than that.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { KubeObject } from '../planner/model.ts';
import { isStatus, type KubeClient } from './kube-client.ts';
import type { Kind } from './kube-objects.ts';

/** The server ends a watch then: before the library takes one for dead that was silent for 30 s. */
const WATCH_SECONDS = 25;
const WATCH_MS_MIN = 1_000;
const BACKOFF_MS = 500;
const BACKOFF_MS_MAX = 30_000;

export interface InformerOptions {
  client: KubeClient;
  kind: Kind;
  /** All namespaces when undefined. */
  namespace: string | undefined;
  labelSelector?: string;
  /** Only enqueues: a throw in here would end the watch. */
  onChange: (object: KubeObject) => void;
  log: { warn(fields: object, text: string): void };
  /** 0 to 1, to spread what many do at once. */
  random?: () => number;
}

export function keyOf({ metadata: { namespace = '', name } }: Pick<KubeObject, 'metadata'>): string {
  return `${namespace}/${name}`;
}

export class Informer {
  readonly #options: InformerOptions;
  readonly #objects = new Map<string, KubeObject>();
  readonly #stopped = new AbortController();
  #resourceVersion: string | undefined;
  #failures = 0;
  #synced: Promise<void>;
  #markSynced: () => void = () => undefined;
  #running: Promise<void> | undefined;

  constructor(options: InformerOptions) {
    this.#options = options;
    this.#synced = new Promise((resolve) => (this.#markSynced = resolve));
  }

  /** Resolves once everything was listed; waits for a kind that is not there yet. */
  start(): Promise<void> {
    this.#running ??= this.#run();
    return this.#synced;
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  get(namespace: string, name: string): KubeObject | undefined {
    return this.#objects.get(`${namespace}/${name}`);
  }

  all(): Iterable<KubeObject> {
    return this.#objects.values();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      try {
        this.#resourceVersion ??= await this.#list();
        this.#markSynced();
        const startedMs = performance.now();
        await this.#watch();
        // One that ends as soon as it has begun must not be begun again without end.
        const restMs = WATCH_MS_MIN - (performance.now() - startedMs);
        if (restMs > 0) await delay(restMs, undefined, { signal });
      } catch (error) {
        await this.#failed(error);
      }
    }
  }

  async #failed(error: unknown): Promise<void> {
    if (this.#stopped.signal.aborted) return;
    const { kind, log, random = Math.random } = this.#options;
    // Too old to go on from: everything is listed anew, at once the first time.
    if (isStatus(error, 410)) this.#resourceVersion = undefined;
    const pauseMs = Math.min(BACKOFF_MS * 2 ** this.#failures, BACKOFF_MS_MAX) * (0.5 + random() / 2);
    this.#failures++;
    const reason = error instanceof Error ? error.message : String(error);
    log.warn({ kind: kind.kind, reason, pauseMs: Math.round(pauseMs) }, 'the watch is begun again');
    await delay(pauseMs, undefined, { signal: this.#stopped.signal }).catch(() => undefined);
  }

  async #list(): Promise<string> {
    const { client, kind, namespace, labelSelector } = this.#options;
    const { items, resourceVersion } = await client.list(kind, namespace, labelSelector);
    const seen = new Set(items.map(keyOf));
    for (const [key, object] of this.#objects) if (!seen.has(key)) this.#forget(object);
    for (const item of items) this.#keep(item);
    return resourceVersion;
  }

  async #watch(): Promise<void> {
    const { client, kind, namespace, labelSelector } = this.#options;
    const query = { labelSelector, resourceVersion: this.#resourceVersion, timeoutSeconds: WATCH_SECONDS };
    await client.watch(kind, namespace, query, this.#stopped.signal, ({ type, object }) => {
      this.#resourceVersion = object.metadata.resourceVersion ?? this.#resourceVersion;
      this.#failures = 0;
      if (type === 'DELETED') this.#forget(object);
      else if (type !== 'BOOKMARK') this.#keep(object);
    });
  }

  #keep(object: KubeObject): void {
    const before = this.#objects.get(keyOf(object));
    this.#objects.set(keyOf(object), object);
    if (before?.metadata.resourceVersion !== object.metadata.resourceVersion) this.#options.onChange(object);
  }

  #forget(object: KubeObject): void {
    this.#objects.delete(keyOf(object));
    this.#options.onChange(object);
  }
}
