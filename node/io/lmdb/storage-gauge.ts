import { statfsSync } from 'node:fs';
import { STORAGE_LIMITS } from '../../coordinator-parts.ts';
import type { Fullness } from '../../storage-watch.ts';

/** A store's share of its limit, and its part of the file system. */
export interface MeasuredStore {
  /** Of `bytesMax`. */
  usedBytes: () => number;
  /** On disk, free pages in the file included: these are used again before the file grows. */
  fileBytes: () => number;
  bytesMax: number;
}

/**
 * What a node can have of its disk is what it has and what is free: the files of others count by what they leave. A disk
 * on which that is less than this is judged as if it were this: what is under way needs room in bytes, not in shares.
 */
export const DISK_BYTES_MIN = 2 * 1024 * 1024 * 1024;
const MIB = 1024 * 1024;

/** How full the log, the state and the file system under both are. */
export class StorageGauge {
  readonly #dir: string;
  readonly #log: MeasuredStore;
  readonly #state: MeasuredStore;
  readonly #hardShare: number;

  /** `hardShare`: how full the disk may become by what can wait, a snapshot say. */
  constructor(dir: string, log: MeasuredStore, state: MeasuredStore, hardShare = STORAGE_LIMITS.hard) {
    this.#dir = dir;
    this.#log = log;
    this.#state = state;
    this.#hardShare = hardShare;
  }

  /** The fullest of the three; `pendingBytes` are about to be written to the state. */
  fullest(pendingBytes: number): Fullness {
    const log: Fullness = { what: 'log', share: this.#log.usedBytes() / this.#log.bytesMax };
    const state: Fullness = { what: 'state', share: (this.#state.usedBytes() + pendingBytes) / this.#state.bytesMax };
    const { usedBytes, bytesMax } = this.disk();
    const disk: Fullness = { what: 'disk', share: usedBytes / bytesMax };
    return [log, state, disk].reduce((fullest, one) => (one.share > fullest.share ? one : fullest));
  }

  /** Why there is no room for so many bytes more beside the stores; undefined: there is. */
  noRoom(bytes: number): string | undefined {
    const { usedBytes, bytesMax } = this.disk();
    const keptBytes = (1 - this.#hardShare) * bytesMax;
    const freeBytes = bytesMax - usedBytes;
    if (freeBytes - keptBytes >= bytes) return undefined;
    const [free, kept, needed] = [freeBytes, keptBytes, bytes].map((one) => `${String(Math.ceil(one / MIB))} MiB`);
    return `${String(needed)} are needed, ${String(free)} are free, and ${String(kept)} of them are kept for log and state`;
  }

  /** Of the file system: what is not free of what the node can have. */
  disk(): { usedBytes: number; bytesMax: number } {
    const { bavail, bsize } = statfsSync(this.#dir);
    const freeBytes = bavail * bsize;
    const ownBytes = this.#log.fileBytes() + this.#state.fileBytes();
    const bytesMax = Math.max(ownBytes + freeBytes, DISK_BYTES_MIN);
    return { usedBytes: bytesMax - freeBytes, bytesMax };
  }
}
