/** For commands that work on files, without a cluster. LMDB is loaded only by them. */
import path from 'node:path';
import { userInfo } from 'node:os';
import { CliError, EXIT } from './exit-code.ts';
import type { Session } from './session.ts';

export function pathOf({ io }: Session, given: string): string {
  return path.resolve(io.cwd, given);
}

/** Whom the audit log names. */
export function operatorName(): string {
  try {
    return userInfo().username;
  } catch {
    return ''; // an account without a name
  }
}

/** What is said of a file or directory, under its name and with an exit code. */
export async function about<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    // Read without instanceof: errors of the file system may come from another realm.
    const { code, name: kind, message } = error as { code?: unknown; name?: unknown; message?: unknown };
    if (code === 'ENOENT') throw new CliError(EXIT.NOT_FOUND, `${name}: there is no such file or directory`);
    if (kind === 'BackupError') throw new CliError(EXIT.REFUSED, `${name}: ${String(message)}`);
    throw error;
  }
}

export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
