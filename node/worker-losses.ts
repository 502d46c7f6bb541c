/**
 * Leader only: which workers are given up. One whose connection is gone has lost its attempts after a while, or at once
 * when gossip has found it dead as well; gossip alone, whose datagrams a firewall may swallow, kills nobody.
 *
 * When more than half of the workers go at once, it is more likely that something between them and this node is broken
 * than that all are dead: they are waited for, for a while, before their tasks are given to what is left.
 */

/** Fewer than these are no mass failure, whatever their share. */
export const MASS_FAILURE_MIN = 3;
/** So long they are waited for, and nobody for longer: else one that comes and goes could keep the others waiting. */
export const MASS_FAILURE_WAIT_MS = 30_000;

export interface LossesSource {
  /** A worker without a connection for so long has lost its attempts. */
  lossMs: number;
  /** Those the cluster knows, by id. */
  registered: () => ReadonlyMap<string, unknown>;
  /** Gossip has found it dead, or heard that it left. */
  isGone: (workerId: string) => boolean;
}

export interface Suspension {
  sinceMs: number;
  /** Workers that are missed, and all there are. */
  missing: number;
  workers: number;
}

interface Missing {
  /** On the monotonic clock. */
  readonly goneMs: number;
  /** When its time began, which it may do anew after a mass failure. */
  readonly sinceMs: number;
}

export class WorkerLosses {
  readonly #source: LossesSource;
  /** Without a connection. */
  readonly #missingById = new Map<string, Missing>();
  #suspendedSinceMs: number | undefined;

  constructor(source: LossesSource) {
    this.#source = source;
  }

  connected(workerId: string): void {
    this.#missingById.delete(workerId);
  }

  disconnected(workerId: string, nowMs: number): void {
    this.#missingById.set(workerId, { goneMs: nowMs, sinceMs: nowMs });
  }

  /** A new leader gives everybody its time to come back. */
  begin(missing: Iterable<string>, nowMs: number): void {
    this.#missingById.clear();
    this.#suspendedSinceMs = undefined;
    for (const id of missing) this.disconnected(id, nowMs);
  }

  /** While too many are missed for any to be given up. */
  get suspension(): Suspension | undefined {
    if (this.#suspendedSinceMs === undefined) return undefined;
    return { sinceMs: this.#suspendedSinceMs, missing: this.#missing(), workers: this.#source.registered().size };
  }

  /** Those to give up now, and why; each is told once. */
  take(nowMs: number): { workerId: string; reason: string }[] {
    const due: { workerId: string; reason: string; isOverdue: boolean }[] = [];
    for (const [workerId, { goneMs, sinceMs }] of this.#missingById) {
      const reason = this.#reasonFor(workerId, nowMs - sinceMs);
      const isOverdue = nowMs - goneMs >= this.#source.lossMs + MASS_FAILURE_WAIT_MS;
      if (reason !== undefined) due.push({ workerId, reason, isOverdue });
    }
    const mustWait = this.#mustWait(due.length > 0, nowMs);
    const taken = due.filter(({ isOverdue }) => isOverdue || !mustWait);
    for (const { workerId } of taken) this.#missingById.delete(workerId);
    return taken.map(({ workerId, reason }) => ({ workerId, reason }));
  }

  #reasonFor(workerId: string, missingMs: number): string | undefined {
    const { lossMs, isGone } = this.#source;
    if (missingMs >= lossMs) return `no connection for ${String(lossMs)} ms`;
    return isGone(workerId) ? 'no connection, and gossip has found it gone' : undefined;
  }

  #mustWait(someAreDue: boolean, nowMs: number): boolean {
    const missing = this.#missing();
    const isMass = missing >= MASS_FAILURE_MIN && missing * 2 > this.#source.registered().size;
    if (!isMass) {
      if (this.#suspendedSinceMs === undefined) return false;
      // They come back: the rest of them get their time as if they had just gone.
      this.#suspendedSinceMs = undefined;
      for (const [workerId, { goneMs }] of this.#missingById)
        this.#missingById.set(workerId, { goneMs, sinceMs: nowMs });
      return true;
    }
    if (!someAreDue) return this.#suspendedSinceMs !== undefined;
    this.#suspendedSinceMs ??= nowMs;
    if (nowMs - this.#suspendedSinceMs < MASS_FAILURE_WAIT_MS) return true;
    this.#suspendedSinceMs = undefined;
    return false;
  }

  #missing(): number {
    let missing = 0;
    const registered = this.#source.registered();
    for (const workerId of this.#missingById.keys()) if (registered.has(workerId)) missing++;
    return missing;
  }
}
