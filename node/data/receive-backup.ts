import { existsSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory } from '../io/lmdb/directory-lock.ts';
import { StorageError } from '../io/lmdb/storage-error.ts';
import type { OnProgress } from './backup-file.ts';
import { type BackupHeader, BackupReader } from './backup-format.ts';

/** The state in it is everything that the cluster was told. */
const MODE = 0o600;

/**
 * Keeps a backup as it comes in, checked on the way. `file` is there once it is whole and on disk, or not at all.
 * @throws BackupError: what came is not whole; StorageError: there is such a file already; what `pieces` or the disk throws.
 */
export async function receiveBackup(
  pieces: AsyncIterable<Uint8Array>,
  file: string,
  onProgress: OnProgress = () => undefined,
): Promise<BackupHeader> {
  const refuseExisting = (): void => {
    if (existsSync(file)) throw new StorageError(`${file} is there already: give the backup a name of its own`);
  };
  refuseExisting();
  const unfinished = `${file}.part-${String(process.pid)}`;
  const handle = await open(unfinished, 'wx', MODE);
  try {
    try {
      const reader = new BackupReader();
      for await (const piece of pieces) {
        reader.push(piece);
        await handle.appendFile(piece);
        if (reader.header !== undefined) onProgress(reader.stateBytes, reader.header.state_bytes);
      }
      const header = reader.end();
      await handle.sync();
      refuseExisting();
      await rename(unfinished, file);
      syncDirectory(dirname(file));
      return header;
    } finally {
      await handle.close();
    }
  } finally {
    await rm(unfinished, { force: true });
  }
}
