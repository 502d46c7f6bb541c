/** `worker.reserved`: slots of a worker that are kept for some tasks. */
import type { NodeConfig } from './config-schema.ts';

export interface Reserved {
  of: 'workflow' | 'type';
  name: string;
  slots: number;
}

/** As the configuration has been checked. */
export function reservedSlots({ worker }: NodeConfig): Reserved[] {
  return worker.reserved.map((text) => {
    const [kind = '', slots = ''] = text.split('=');
    const colon = kind.indexOf(':');
    return { of: kind.startsWith('workflow') ? 'workflow' : 'type', name: kind.slice(colon + 1), slots: Number(slots) };
  });
}

export function checkReserved(config: NodeConfig, refuse: (field: string, reason: string) => void): void {
  const all = reservedSlots(config);
  const kept = all.reduce((sum, { slots }) => sum + slots, 0);
  const { concurrency } = config.worker;
  if (kept > concurrency) {
    refuse('worker.reserved', `keeps ${String(kept)} slots of the ${String(concurrency)} in worker.concurrency`);
  }
  all.forEach(({ of, name }, i) => {
    const first = all.findIndex((other) => other.of === of && other.name === name);
    if (first < i) refuse(`worker.reserved[${String(i)}]`, `keeps slots for the ${of} "${name}" a second time`);
  });
}
