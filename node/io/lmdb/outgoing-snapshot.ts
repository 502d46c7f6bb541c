import { setTimeout as delay } from 'node:timers/promises';
import type { StateHead } from '../../core/state/snapshot-stream.ts';
import { encodeRecord, isStreamed, stateHead } from '../../core/state/snapshot-stream.ts';
import { MEMBERSHIP_KEY, META_KEY } from '../../core/state/keys.ts';
import { MemoryStore } from '../../core/state/memory-store.ts';
import { nodeHost } from '../host.ts';
import { SnapshotFile } from './snapshot-file.ts';
import type { PinnedState } from './state-store.ts';

/** Read in one go: what holds up the loop, about a millisecond, before the others have their turn. */
const SLICE_BYTES = 256 * 1024;
/** A reader of the state ends at the latest after this, */
const READER_MS_MIN = 60_000;
/** or when it was not even as fast as this, whichever is later. */
const READER_BYTES_PER_MS_MIN = 8 * 1024;

/** How long reading so much may take: what is replaced meanwhile stays in the file. */
export function readerDeadlineMs(stateBytes: number): number {
  return Math.max(READER_MS_MIN, stateBytes / READER_BYTES_PER_MS_MIN);
}

/**
 * A snapshot that was, or is being, taken.
 *
 * Pages read by short transactions would belong to different commits, and commits that waited for the copy would hold up
 * the whole node; so one read transaction lasts from the first key to the last. It pins what is replaced meanwhile, so
 * it has a deadline; the copy goes to a file, since the receiver may take any time. At least half of the time the loop is
 * left to others.
 */
export class OutgoingSnapshot {
  #file: SnapshotFile | undefined;
  #dropped = false;

  /**
   * Undefined: nothing was ever committed, or it was dropped meanwhile.
   * @throws Error: the file cannot be written, or the deadline has passed.
   */
  async take(pin: () => PinnedState, dir: string, name: string, deadlineMs: number): Promise<StateHead | undefined> {
    const file = await SnapshotFile.create(dir, name);
    if (this.#isDropped()) {
      await file.close();
      return undefined;
    }
    this.#file = file;
    const endMs = performance.now() + deadlineMs;
    const pinned = pin();
    const headRows = new MemoryStore();
    try {
      let beganMs = performance.now();
      for (const slice of slices(pinned.rows, headRows)) {
        const readMs = performance.now() - beganMs;
        if (this.#isDropped()) return undefined;
        if (performance.now() > endMs) throw new Error(`reading the state took longer than ${String(deadlineMs)} ms`);
        await file.append(slice);
        await delay(readMs);
        beganMs = performance.now();
      }
    } finally {
      pinned.release();
    }
    return this.#isDropped() ? undefined : stateHead(nodeHost, headRows);
  }

  get sizeBytes(): number {
    return this.#file?.sizeBytes ?? 0;
  }

  /** Undefined for one that was dropped, before or meanwhile. */
  async read(offset: number, bytesMax: number): Promise<{ bytes: Uint8Array; done: boolean } | undefined> {
    const file = this.#file;
    if (file === undefined || this.#isDropped()) return undefined;
    const bytes = await file.read(offset, bytesMax);
    return this.#isDropped() ? undefined : { bytes, done: offset + bytes.length >= file.sizeBytes };
  }

  /** Also when it is called again. */
  async drop(): Promise<void> {
    this.#dropped = true;
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** Asked anew after every wait. */
  #isDropped(): boolean {
    return this.#dropped;
  }
}

/** The records in slices of about the same size; what a head is made of is put into `headRows` on the way. */
function* slices(rows: PinnedState['rows'], headRows: MemoryStore): Generator<Uint8Array> {
  let records: Uint8Array[] = [];
  let bytes = 0;
  for (const { key, value } of rows) {
    if (!isStreamed(key)) continue;
    if (key === META_KEY || key === MEMBERSHIP_KEY) headRows.commit(new Map([[key, value]]));
    const record = encodeRecord(nodeHost, key, value);
    records.push(record);
    bytes += record.length;
    if (bytes < SLICE_BYTES) continue;
    yield Buffer.concat(records, bytes);
    records = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(records, bytes);
}
