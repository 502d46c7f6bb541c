/**
 * The disk, or the data on it, is not as it must be. Never retried: after a failed sync the page cache
 * may claim what the disk does not hold (Rebello et al., "Can Applications Recover from fsync Failures?",
 * USENIX ATC 2020), so the process reports it and exits.
 */
export class StorageError extends Error {
  override readonly name = 'StorageError';
}

/** A store or its disk has no room for more: what was being written is not there, what was before is whole. */
export class StorageFullError extends StorageError {}

/** Of a failed write: the limit of a store, or the disk, is full. */
export function isFull(error: unknown): boolean {
  return error instanceof StorageFullError || /ENOSPC|No space left on device/.test(reasonOf(error));
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
