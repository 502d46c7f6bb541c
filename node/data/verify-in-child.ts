import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { StorageError } from '../io/lmdb/storage-error.ts';
import type { VerifyReport } from './verify.ts';

export type Verdict = { report: VerifyReport } | { error: string };

const PROGRAM = fileURLToPath(new URL('verify-child.ts', import.meta.url));

/**
 * `verifyData` in a process of its own. LMDB maps its file into memory and trusts it: a page with a wrong pointer may end
 * the process that follows it, and then that is the finding.
 * @throws StorageError
 */
export function verifyInChild(dir: string): Promise<VerifyReport> {
  return new Promise((resolve, reject) => {
    const child = fork(PROGRAM, [dir], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    let verdict: Verdict | undefined;
    child.on('message', (message) => (verdict = message as Verdict));
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (verdict === undefined) {
        const end = signal ?? `code ${String(code)}`;
        reject(new StorageError(`${dir} is damaged: the process that read it was ended by it (${end})`));
      } else if ('error' in verdict) reject(new StorageError(verdict.error));
      else resolve(verdict.report);
    });
  });
}
