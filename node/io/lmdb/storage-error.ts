/**
 * The disk, or the data on it, is not as it must be. Never retried: after a failed sync the page cache
 * may claim what the disk does not hold (Rebello et al., "Can Applications Recover from fsync Failures?",
 * USENIX ATC 2020), so the process reports it and exits.
 */
export class StorageError extends Error {
  override readonly name = 'StorageError';
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
