/**
 * Forgetting what is old or too much: messages, and instances that have ended. A sweep is an entry of the log that walks
 * a bounded part of one table, so that every replica deletes the same rows at the same place in the log.
 *
 * Invariants
 * 1. A message stays while an instance of it runs, and as long as its idempotency key: a duplicate gets the first outcome.
 * 2. The instances of a message go together, from the last to the first: their ordinals have no gap.
 * 3. An entry looks at a bounded number of rows and deletes a bounded number of keys; the next one goes on from there.
 */
import type { Infer } from '../tlv/struct.ts';
import type { Instance } from '../workflow/instance.ts';
import type { Sweep } from './commands.ts';
import type { InstanceTable } from './instance-table.ts';
import { instanceIdOf, type MessageTable } from './message-table.ts';

export type SweptTable = 'messages' | 'instances';

/** Rows looked at by one entry. */
export const SWEEP_ROWS_MAX = 500;
/** Keys deleted by one entry, but for those of the last row: an instance has one for each output, too. */
export const SWEEP_KEYS_MAX = 2_000;

/** Where the next entry goes on; undefined: the table has been walked. */
export interface Swept {
  deleted: number;
  next: string | undefined;
}

/** Sorts before the ids that were made at `ms` or later: UUIDv7 begin with their time, in 12 hexadecimal digits. */
export function idBound(ms: number): string {
  const digits = Math.max(0, ms).toString(16).padStart(12, '0');
  return `${digits.slice(0, 8)}-${digits.slice(8)}`;
}

export class Retention {
  readonly #messages: MessageTable;
  readonly #instances: InstanceTable;
  #rowsLeft = 0;
  #keysLeft = 0;

  constructor(messages: MessageTable, instances: InstanceTable) {
    this.#messages = messages;
    this.#instances = instances;
  }

  /** False: a sweep would find nothing to delete. */
  isDue(table: SweptTable, before: number, keep: number): boolean {
    const { count } = table === 'messages' ? this.#messages : this.#instances;
    return count > keep || (count > 0 && this.#hasOlder(table, before));
  }

  /** `timeMs`: cluster time of the entry. */
  apply({ table, from, before, youngest, keep }: Infer<typeof Sweep>, timeMs: number): Swept {
    this.#rowsLeft = SWEEP_ROWS_MAX;
    this.#keysLeft = SWEEP_KEYS_MAX;
    const cut = { before, youngest, keep, timeMs };
    return table === 'messages' ? this.#sweepMessages(from, cut) : this.#sweepInstances(from, cut);
  }

  #hasOlder(table: SweptTable, before: number): boolean {
    const rows =
      table === 'messages' ? this.#messages.idsFrom('', idBound(before)) : this.#instances.idsFrom('', idBound(before));
    return firstOf(rows) !== undefined;
  }

  #sweepMessages(from: string, { before, youngest, keep, timeMs }: Cut): Swept {
    let deleted = 0;
    for (const id of this.#messages.idsFrom(from, idBound(youngest))) {
      if (this.#rowsLeft <= 0 || this.#keysLeft <= 0) return { deleted, next: id };
      this.#rowsLeft--;
      const item = this.#messages.get(id);
      if (item === undefined || (item.receivedAt >= before && this.#messages.count <= keep)) break;
      if (this.#messages.isKeyLive(item, timeMs) || this.#isRunning(id)) continue;
      this.#messages.delete(id);
      this.#keysLeft--;
      deleted++;
    }
    return { deleted, next: undefined };
  }

  /** Each look at an instance counts as a row: a message may have a thousand of them. */
  #isRunning(messageId: string): boolean {
    for (const id of this.#messages.instanceIdsOf(messageId)) {
      this.#rowsLeft--;
      if (this.#instances.active.has(id)) return true;
    }
    return false;
  }

  #sweepInstances(from: string, cut: Cut): Swept {
    let deleted = 0;
    // What was made since `before` has not ended before it, and only goes if there are too many.
    const end = idBound(this.#instances.count > cut.keep ? cut.youngest : cut.before);
    for (let start: string | undefined = from; ;) {
      const id: string | undefined = firstOf(this.#instances.idsFrom(start, end));
      if (id === undefined) return { deleted, next: undefined };
      if (this.#rowsLeft <= 0 || this.#keysLeft <= 0) return { deleted, next: id };
      const messageId = id.slice(0, id.lastIndexOf('-'));
      // Behind the last instance of this message, however many it has.
      start = `${messageId}-~`;
      const members = this.#endedTogether(messageId, cut);
      for (let ordinal = members; ordinal > 0; ordinal--) {
        // A large group goes on with the next entry.
        if (this.#keysLeft <= 0) return { deleted, next: instanceIdOf(messageId, 1) };
        this.#keysLeft -= this.#instances.delete(instanceIdOf(messageId, ordinal));
        deleted++;
      }
    }
  }

  /** How many instances the message has, if all of them may go; else 0. */
  #endedTogether(messageId: string, { before, keep, timeMs }: Cut): number {
    const tooMany = this.#instances.count > keep;
    const mayGo = (instance: Instance | undefined): boolean => {
      return instance !== undefined && instance.status !== 'RUNNING' && (tooMany || instance.endedAt < before);
    };
    let count = 0;
    for (const id of this.#messages.instanceIdsOf(messageId)) {
      this.#rowsLeft--;
      if (!mayGo(this.#instances.get(id))) return 0;
      count++;
    }
    const message = this.#messages.get(messageId);
    return message !== undefined && this.#messages.isKeyLive(message, timeMs) ? 0 : count;
  }
}

function firstOf(ids: Iterable<string>): string | undefined {
  for (const id of ids) return id;
  return undefined;
}

interface Cut {
  /** Wall clock, ms since the epoch: what was received, or has ended, before this is old. */
  before: number;
  /** The same: what was made since then stays, however many there are. */
  youngest: number;
  /** Rows that are kept if they are not old. */
  keep: number;
  timeMs: number;
}
