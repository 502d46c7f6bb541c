/** Workers the cluster knows, by id, with their current session; and the task types that were ever registered. */
import { decodeText, encodeText, type Host } from '../../../base/host.ts';
import { afterPrefix, typeKey, workerKey } from './keys.ts';
import type { Overlay } from './overlay.ts';

export interface Worker {
  id: string;
  session: string;
  /** Attempts it takes at a time. */
  capacity: number;
  address: string;
  types: string[];
  draining: boolean;
  /** Wall clock of the leader at registration, ms since the epoch. */
  registeredAt: number;
}

export interface RegisteredType {
  name: string;
  version: string;
  configSchema: string | null;
}

export const WORKERS_MAX = 10_000;

export class WorkerTable {
  readonly #host: Host;
  readonly #overlay: Overlay;
  readonly workers = new Map<string, Worker>();
  readonly types = new Map<string, RegisteredType>();

  constructor(host: Host, overlay: Overlay) {
    this.#host = host;
    this.#overlay = overlay;
    for (const { value } of overlay.range('k/', afterPrefix('k/'))) {
      const worker = JSON.parse(decodeText(host, value)) as Worker;
      this.workers.set(worker.id, worker);
    }
    for (const { value } of overlay.range('t/', afterPrefix('t/'))) {
      const type = JSON.parse(decodeText(host, value)) as RegisteredType;
      this.types.set(type.name, type);
    }
  }

  put(worker: Worker): void {
    this.workers.set(worker.id, worker);
    this.#overlay.put(workerKey(worker.id), encodeText(this.#host, JSON.stringify(worker)));
  }

  delete(id: string): void {
    if (this.workers.delete(id)) this.#overlay.delete(workerKey(id));
  }

  registerType(type: RegisteredType): void {
    const before = this.types.get(type.name);
    if (before?.version === type.version && before.configSchema === type.configSchema) return;
    this.types.set(type.name, type);
    this.#overlay.put(typeKey(type.name), encodeText(this.#host, JSON.stringify(type)));
  }
}
