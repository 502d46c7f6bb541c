import { assert } from '../../../base/assert.ts';
import { ANCHOR_KEY } from '../../core/state/keys.ts';
import { RecordReader } from '../../core/state/snapshot-stream.ts';
import type { Writes } from '../../core/state/store.ts';
import { nodeHost } from '../host.ts';
import { SnapshotFile } from './snapshot-file.ts';
import type { StateStore } from './state-store.ts';
import { StorageError } from './storage-error.ts';

/** Of the file, read in one go. */
const PIECE_BYTES = 256 * 1024;
/** Of one commit into the new state: bounds memory, and how long handing it over holds up the loop. */
const COMMIT_BYTES = 1024 * 1024;
const RECORD_BYTES = 64;

/** A snapshot that comes in: put aside in a file, then written into an empty store. */
export class IncomingSnapshot {
  readonly snapshotId: string;
  readonly #dir: string;
  #file: SnapshotFile | undefined;
  #lastWrite: Promise<void> = Promise.resolve();
  #offset = 0;
  /** Of everything handed in: the file is held against it before its content becomes the state. */
  #checksum = 0;
  #stopped = false;

  constructor(snapshotId: string, dir: string) {
    this.snapshotId = snapshotId;
    this.#dir = dir;
  }

  /** Resolves with the offset below which every byte is in the file. */
  async keep(offset: number, bytes: Uint8Array): Promise<number> {
    assert(this.#offset === offset, 'pieces come in order');
    const end = offset + bytes.length;
    this.#offset = end;
    this.#checksum = nodeHost.crc32(bytes, this.#checksum);
    this.#lastWrite = this.#lastWrite.then(async () => {
      if (this.#stopped) return;
      this.#file ??= await SnapshotFile.create(this.#dir, 'incoming');
      await this.#file.append(bytes);
    });
    await this.#lastWrite;
    return end;
  }

  /** @throws StorageError: the file is not what was handed in; an Error when it was stopped meanwhile. */
  async writeInto(store: StateStore, anchor: Uint8Array): Promise<void> {
    await this.#lastWrite;
    let writes: Writes = new Map();
    let bytes = 0;
    const reader = new RecordReader(nodeHost, (key, value) => {
      writes.set(key, value);
      bytes += RECORD_BYTES + key.length + value.length;
    });
    let checksum = 0;
    for (let offset = 0; offset < this.#offset;) {
      if (this.#stopped || this.#file === undefined) throw new Error('the installation was stopped');
      const piece = await this.#file.read(offset, PIECE_BYTES);
      offset += piece.length;
      checksum = nodeHost.crc32(piece, checksum);
      reader.push(piece);
      if (bytes < COMMIT_BYTES) continue;
      await store.commit(writes);
      writes = new Map();
      bytes = 0;
    }
    if (checksum !== this.#checksum) {
      throw new StorageError('a snapshot that was put aside has changed on the disk: check the disk');
    }
    reader.end();
    writes.set(ANCHOR_KEY, anchor);
    await store.commit(writes);
  }

  async close(): Promise<void> {
    this.#stopped = true;
    await this.#lastWrite.catch(() => undefined);
    await this.#file?.close();
    this.#file = undefined;
  }
}
