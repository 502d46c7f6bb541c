/** A worker, and what a task asks of one, as far as choosing goes. */

/** Slots kept for the tasks of one workflow, or of one type. */
export interface SlotReservation {
  readonly of: 'workflow' | 'type';
  readonly name: string;
  readonly slots: number;
}

export interface PoolWorker {
  readonly id: string;
  /** Attempts it takes at a time. */
  readonly capacity: number;
  readonly types: readonly string[];
  /** `name=value`, with `zone=…` where it has a zone. */
  readonly labels: readonly string[];
  readonly zone: string | undefined;
  readonly reserved: readonly SlotReservation[];
}

export interface Load {
  /** Attempts it has. */
  readonly used: number;
  /** Of these, those that each of its reservations is for. */
  readonly usedReserved: readonly number[];
}

export interface Demand {
  /** The same for all that ask the same. */
  readonly key: string;
  readonly workflow: string;
  readonly type: string;
  /** Of each list the worker has to have one as a label. */
  readonly selector: readonly (readonly string[])[];
}

/** The place in `reserved` of what is kept for such tasks; a workflow's before a type's. -1: nothing is. */
export function reservationFor(reserved: readonly SlotReservation[], { workflow, type }: Demand): number {
  const own = reserved.findIndex(({ of, name }) => of === 'workflow' && name === workflow);
  return own >= 0 ? own : reserved.findIndex(({ of, name }) => of === 'type' && name === type);
}

/** Slots that are free to tasks of the reservation at `place`, -1 for those that nothing is kept for. */
export function freeSlots({ capacity, reserved }: PoolWorker, { used, usedReserved }: Load, place: number): number {
  let kept = 0;
  reserved.forEach(({ slots }, i) => {
    if (i !== place) kept += Math.max(0, slots - (usedReserved[i] ?? 0));
  });
  return capacity - used - kept;
}
