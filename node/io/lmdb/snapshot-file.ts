import { mkdirSync } from 'node:fs';
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * So much may wait in memory for the disk: on many file systems a sync of the log waits for it as well, and left to
 * itself the kernel would gather hundreds of MiB. Nobody needs the file itself to be on the disk.
 */
const UNSYNCED_BYTES_MAX = 4 * 1024 * 1024;

/**
 * A file that ends with this process at the latest, however that ends: its name is taken away at once. Snapshots on their
 * way are worth nothing to anybody else.
 */
export class SnapshotFile {
  readonly #handle: FileHandle;
  /** Where the next piece goes. */
  sizeBytes = 0;
  #unsyncedBytes = 0;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  static async create(dir: string, name: string): Promise<SnapshotFile> {
    mkdirSync(dir, { recursive: true });
    const path = join(dir, name);
    const handle = await open(path, 'w+');
    try {
      await unlink(path);
    } catch (error) {
      await handle.close();
      throw error;
    }
    return new SnapshotFile(handle);
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, this.sizeBytes);
      done += bytesWritten;
      this.sizeBytes += bytesWritten;
    }
    this.#unsyncedBytes += bytes.length;
    if (this.#unsyncedBytes < UNSYNCED_BYTES_MAX) return;
    this.#unsyncedBytes = 0;
    await this.#handle.datasync();
  }

  /** As many as there are, up to `bytesMax`. */
  async read(offset: number, bytesMax: number): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(bytesMax, this.sizeBytes - offset)));
    for (let done = 0; done < bytes.length;) {
      const { bytesRead } = await this.#handle.read(bytes, done, bytes.length - done, offset + done);
      if (bytesRead === 0) throw new Error(`the file of a snapshot ends at ${String(offset + done)}, before its end`);
      done += bytesRead;
    }
    return bytes;
  }

  /** After what is under way. */
  async close(): Promise<void> {
    await this.#handle.close();
  }
}
