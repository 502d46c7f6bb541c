/**
 * Workers the cluster knows, by id, with their current session; who of them is to be drained; and the task types that
 * were ever registered.
 */
import { DistricError } from '../../../base/errors.ts';
import { decodeText, encodeText, type Host } from '../../../base/host.ts';
import type { Infer } from '../tlv/struct.ts';
import type { RegisterWorker } from './commands.ts';
import { afterPrefix, drainKey, typeKey, workerKey } from './keys.ts';
import type { Overlay } from './overlay.ts';

/** Slots that a worker keeps for one workflow, or for one type of task. */
export interface Reservation {
  of: 'workflow' | 'type';
  name: string;
  slots: number;
}

/** Each is absent where it is not told, or the state is of an earlier release. */
interface Told {
  /** Of `types`, in their order. */
  versions?: string[];
  zone?: string;
  /** `name=value` */
  labels?: readonly string[];
  softwareVersion?: string;
  reserved?: Reservation[];
}

export interface Worker extends Told {
  id: string;
  session: string;
  /** Attempts it takes at a time. */
  capacity: number;
  address: string;
  types: string[];
  /** It says itself that it takes nothing more. */
  draining: boolean;
  /** Wall clock of the leader at registration, ms since the epoch. */
  registeredAt: number;
}

/** An order stays, whatever session the worker has, until it is taken back or the worker leaves. */
export interface DrainOrder {
  workerId: string;
  /** Wall clock of the order, ms since the epoch. */
  orderedAt: number;
  graceMs: number;
  /** Cluster time at which what still runs is handed back; 0: that is done. */
  dueMs: number;
}

export interface RegisteredType {
  name: string;
  version: string;
  configSchema: string | null;
}

export const WORKERS_MAX = 10_000;
/** Workers that hand back what they run in one entry of the log. */
const HANDED_BACK_MAX = 10;

export class WorkerTable {
  readonly #host: Host;
  readonly #overlay: Overlay;
  readonly workers = new Map<string, Worker>();
  readonly bySession = new Map<string, Worker>();
  readonly drains = new Map<string, DrainOrder>();
  readonly types = new Map<string, RegisteredType>();
  /** Cluster time at which the first of the orders is due. */
  nextDueMs = Infinity;

  constructor(host: Host, overlay: Overlay) {
    this.#host = host;
    this.#overlay = overlay;
    for (const worker of this.#stored<Worker>('k/')) {
      this.workers.set(worker.id, worker);
      this.bySession.set(worker.session, worker);
    }
    for (const order of this.#stored<DrainOrder>('kd/')) this.drains.set(order.workerId, order);
    for (const type of this.#stored<RegisteredType>('t/')) this.types.set(type.name, type);
    this.#findNextDue();
  }

  *#stored<T>(prefix: string): Iterable<T> {
    for (const { value } of this.#overlay.range(prefix, afterPrefix(prefix))) {
      yield JSON.parse(decodeText(this.#host, value)) as T;
    }
  }

  put(worker: Worker): void {
    const before = this.workers.get(worker.id);
    if (before !== undefined) this.bySession.delete(before.session);
    this.workers.set(worker.id, worker);
    this.bySession.set(worker.session, worker);
    this.#overlay.put(workerKey(worker.id), encodeText(this.#host, JSON.stringify(worker)));
  }

  delete(id: string): void {
    const worker = this.workers.get(id);
    if (worker === undefined) return;
    this.workers.delete(id);
    this.bySession.delete(worker.session);
    this.#overlay.delete(workerKey(id));
  }

  registerType(type: RegisteredType): void {
    const before = this.types.get(type.name);
    if (before?.version === type.version && before.configSchema === type.configSchema) return;
    this.types.set(type.name, type);
    this.#overlay.put(typeKey(type.name), encodeText(this.#host, JSON.stringify(type)));
  }

  // ---- draining ----------------------------------------------------------------------------------------------------

  /** The worker gets nothing more, by its own word or by an order. */
  isDraining(worker: Worker): boolean {
    return worker.draining || this.drains.has(worker.id);
  }

  /** Throws NOT_FOUND for a worker that nobody knows, QUEUE_FULL. */
  orderDrain(order: DrainOrder): void {
    const { workerId } = order;
    if (!this.drains.has(workerId)) {
      if (!this.workers.has(workerId)) throw new DistricError('NOT_FOUND', `there is no worker "${workerId}"`);
      // Orders outlive their workers.
      if (this.drains.size >= WORKERS_MAX) {
        throw new DistricError('QUEUE_FULL', `${String(WORKERS_MAX)} workers are being drained, the limit`);
      }
    }
    this.#putOrder(order);
  }

  /** Does nothing where there is no order. Throws NOT_FOUND for a worker that nobody knows. */
  endDrain(workerId: string): void {
    if (!this.drains.delete(workerId)) {
      if (!this.workers.has(workerId)) throw new DistricError('NOT_FOUND', `there is no worker "${workerId}"`);
      return;
    }
    this.#overlay.delete(drainKey(workerId));
    this.#findNextDue();
  }

  /** The workers whose time to finish is over, some at a time; each is told once for an order. */
  takeDue(timeMs: number): Worker[] {
    if (this.nextDueMs > timeMs) return [];
    const due = [...this.drains.values()].filter(({ dueMs }) => dueMs > 0 && dueMs <= timeMs);
    // In order of their ids: replicas need one order, also after a restart.
    due.sort((a, b) => (a.workerId < b.workerId ? -1 : 1)).splice(HANDED_BACK_MAX);
    for (const order of due) this.#putOrder({ ...order, dueMs: 0 });
    return due.flatMap(({ workerId }) => this.workers.get(workerId) ?? []);
  }

  #putOrder(order: DrainOrder): void {
    this.drains.set(order.workerId, order);
    this.#overlay.put(drainKey(order.workerId), encodeText(this.#host, JSON.stringify(order)));
    this.#findNextDue();
  }

  #findNextDue(): void {
    this.nextDueMs = Infinity;
    for (const { dueMs } of this.drains.values()) if (dueMs > 0) this.nextDueMs = Math.min(this.nextDueMs, dueMs);
  }
}

/** What a worker tells of itself and earlier releases did not keep. */
export function toldOf({ types, zone, labels, softwareVersion, reserved }: Infer<typeof RegisterWorker>): Told {
  return {
    versions: types.map(({ version }) => version),
    ...(zone === undefined ? {} : { zone }),
    ...(labels === undefined ? {} : { labels }),
    ...(softwareVersion === undefined ? {} : { softwareVersion }),
    ...(reserved === undefined ? {} : { reserved: reserved.map(reservationOf) }),
  };
}

function reservationOf({ of, name, slots }: { of: string; name: string; slots: number }): Reservation {
  return { of: of === 'workflow' ? 'workflow' : 'type', name, slots };
}
