import type { HardState } from '../../core/raft/log-reader.ts';
import { Environment, readRecord } from './environment.ts';
import { HARD_STATE_KEY } from './log-disk.ts';
import { BOOT_KEY, type BootRecord } from './log-store.ts';

/** A log on disk, looked at while no node runs on it: as it is, with its faults. */
export class LogView {
  readonly #environment: Environment;
  readonly firstIndex: number;
  readonly lastIndex: number;

  private constructor(environment: Environment) {
    this.#environment = environment;
    const { db } = environment;
    const [first] = db.getKeys({ start: 1, end: Number.MAX_SAFE_INTEGER, limit: 1 });
    const [last] = db.getKeys({ start: Number.MAX_SAFE_INTEGER, end: 0, reverse: true, limit: 1 });
    this.firstIndex = typeof first === 'number' ? first : 1;
    this.lastIndex = typeof last === 'number' ? last : 0;
  }

  /** @throws StorageError */
  static async open(dir: string): Promise<LogView> {
    return new LogView(await Environment.openForReading(dir, 'log'));
  }

  /** Undefined in a directory that no node ever started on. */
  get boot(): BootRecord | undefined {
    return readRecord(this.#environment.db, BOOT_KEY) as BootRecord | undefined;
  }

  get hardState(): HardState | undefined {
    return readRecord(this.#environment.db, HARD_STATE_KEY) as HardState | undefined;
  }

  /** Every entry there is, by its place: a gap shows in the indexes. */
  *entries(from = 1): Generator<{ index: number; bytes: Uint8Array }> {
    for (const { key, value } of this.#environment.db.getRange({ start: from, end: Number.MAX_SAFE_INTEGER })) {
      if (typeof key === 'number') yield { index: key, bytes: value };
    }
  }

  usedBytes(): number {
    return this.#environment.usedBytes();
  }

  fileBytes(): number {
    return this.#environment.fileBytes();
  }

  close(): Promise<void> {
    return this.#environment.close();
  }
}
