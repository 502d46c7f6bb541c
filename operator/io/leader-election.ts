/**
 * One operator works at a time, by a Lease. Whoever holds it renews it; whoever fails to for too long must end at once,
 * because another one may have begun (the process exits: there is no state worth saving).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { V1MicroTime } from '@kubernetes/client-node';
import type { KubeObject } from '../planner/model.ts';
import { isStatus, type KubeClient } from './kube-client.ts';

const LEASE = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };
export const LEASE_SECONDS = 15;
const RENEW_MS = 4_000;
/** Less than the lease: the holder gives up before another may take over. */
const LOST_MS = 10_000;

interface LeaseSpec {
  holderIdentity?: string;
  renewTime?: string;
  acquireTime?: string;
  leaseTransitions?: number;
}

export interface ElectionOptions {
  client: KubeClient;
  namespace: string;
  name: string;
  identity: string;
  onLost: (reason: string) => void;
}

export class LeaderElection {
  readonly #options: ElectionOptions;
  readonly #stopped = new AbortController();
  /** When the lease last changed as seen from here: clocks of others are not trusted. */
  #seen: { version: string | undefined; atMs: number } = { version: undefined, atMs: 0 };
  #renewedMs = 0;
  #holding: Promise<void> | undefined;

  constructor(options: ElectionOptions) {
    this.#options = options;
  }

  /** Resolves once this one leads, false when it was stopped before; from then on the lease is kept, or `onLost` is called. */
  async acquire(): Promise<boolean> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      const isHeld = await this.#try().catch(() => false);
      if (isHeld) {
        this.#holding = this.#hold();
        return true;
      }
      await this.#pause(RENEW_MS / 2);
    }
    return false;
  }

  /** Lets the next one begin at once. */
  async release(): Promise<void> {
    this.#stopped.abort();
    if (this.#holding === undefined) return;
    await this.#holding;
    const { client, namespace, name, identity } = this.#options;
    const lease = await client.get(LEASE, namespace, name).catch(() => undefined);
    const spec = lease?.['spec'] as LeaseSpec | undefined;
    if (lease === undefined || spec?.holderIdentity !== identity) return;
    await client.replace({ ...lease, spec: { ...spec, holderIdentity: '' } }).catch(() => undefined);
  }

  async #hold(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await this.#pause(RENEW_MS);
      if (this.#stopped.signal.aborted) return;
      // A request that hangs must not keep this one from noticing in time.
      const inTime = delay(LOST_MS - RENEW_MS, undefined, { ref: false });
      const isHeld = await Promise.race([this.#try().catch(() => undefined), inTime]);
      if (isHeld === false) {
        this.#options.onLost('another operator holds the lease');
        return;
      }
      if (performance.now() - this.#renewedMs > LOST_MS) {
        this.#options.onLost('the lease could not be renewed in time');
        return;
      }
    }
  }

  /** True: held and renewed. False: another one holds it. Throws when that is not known. */
  async #try(): Promise<boolean> {
    const { client, namespace, name, identity } = this.#options;
    const startedMs = performance.now();
    // With microseconds: any other form the API server refuses.
    const now = new V1MicroTime(Date.now());
    const mine = { holderIdentity: identity, leaseDurationSeconds: LEASE_SECONDS, renewTime: now };
    const lease = await client.get(LEASE, namespace, name);
    try {
      if (lease === undefined) {
        const spec = { ...mine, acquireTime: now, leaseTransitions: 0 };
        await client.create({ ...LEASE, metadata: { name, namespace }, spec });
      } else {
        const spec = (lease['spec'] ?? {}) as LeaseSpec;
        const isOwn = spec.holderIdentity === identity;
        if (!isOwn && !this.#hasExpired(lease, spec)) return false;
        const transitions = (spec.leaseTransitions ?? 0) + (isOwn ? 0 : 1);
        const acquireTime = isOwn ? (spec.acquireTime ?? now) : now;
        await client.replace({ ...lease, spec: { ...spec, ...mine, acquireTime, leaseTransitions: transitions } });
      }
    } catch (error) {
      // Somebody else was quicker.
      if (isStatus(error, 409)) return this.#renewedMs > 0 ? this.#throw(error) : false;
      throw error;
    }
    this.#renewedMs = startedMs;
    return true;
  }

  #throw(error: unknown): never {
    throw error;
  }

  #hasExpired(lease: KubeObject, { holderIdentity = '' }: LeaseSpec): boolean {
    if (holderIdentity === '') return true;
    const version = lease.metadata.resourceVersion;
    if (this.#seen.version !== version) this.#seen = { version, atMs: performance.now() };
    return performance.now() - this.#seen.atMs > 1_000 * LEASE_SECONDS;
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#stopped.signal }).catch(() => undefined);
  }
}
