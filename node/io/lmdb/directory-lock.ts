import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StorageError, reasonOf } from './storage-error.ts';

/**
 * Exclusive use of a data directory by one process.
 *
 * The lock is a kernel file lock, so it ends with its process however that ends: a crash leaves no stale lock,
 * and a reused process id can neither block nor fool anybody. Node itself offers no file locks; its SQLite
 * takes one (fcntl) when a transaction begins exclusively, and nothing is ever written to that file.
 */
export class DirectoryLock {
  readonly #file: DatabaseSync;

  private constructor(file: DatabaseSync) {
    this.#file = file;
  }

  /** @throws StorageError when another process, or this one, holds the directory. */
  static acquire(dir: string): DirectoryLock {
    mkdirSync(dir, { recursive: true });
    const ownerFile = join(dir, 'owner');
    const file = new DatabaseSync(join(dir, 'lock'));
    try {
      file.exec('PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE');
    } catch (error) {
      file.close();
      const owner = ownerOf(ownerFile);
      throw new StorageError(`stop the other process that uses the data directory ${dir}${owner}: ${reasonOf(error)}`, {
        cause: error,
      });
    }
    writeFileSync(ownerFile, String(process.pid)); // for the message above only
    return new DirectoryLock(file);
  }

  release(): void {
    this.#file.close();
  }
}

function ownerOf(ownerFile: string): string {
  try {
    return ` (process ${readFileSync(ownerFile, 'utf8')})`;
  } catch {
    return '';
  }
}

/** Makes new files of `dir` survive a power cut: a file's own sync does not cover its name. */
export function syncDirectory(dir: string): void {
  const descriptor = openSync(dir, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
