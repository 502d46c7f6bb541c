/** The admin key of this node's configuration: read at the start, held as a hash. */
import { readFileSync, statSync } from 'node:fs';
import { DistricError } from '../../base/errors.ts';
import type { KeyRing } from '../key-ring.ts';

/** Others may not read it, nor the group write it; a group may read: that is how Kubernetes mounts a secret. */
const OPEN_MODES = 0o027;
const FILE_BYTES_MAX = 1_024;

function refuse(file: string, reason: string): never {
  throw new DistricError('INVALID_DOCUMENT', `auth.adminKeyFile: ${file} ${reason}`, [
    { field: 'auth.adminKeyFile', reason: `${file} ${reason}` },
  ]);
}

/** Nothing when `file` is empty. Throws INVALID_DOCUMENT; no message has anything of the content. */
export function loadAdminKey(file: string, ring: KeyRing): void {
  if (file === '') return;
  let text: string;
  try {
    const { mode, size } = statSync(file);
    if ((mode & OPEN_MODES) !== 0) refuse(file, 'is open to others: chmod 600 it');
    if (size > FILE_BYTES_MAX) refuse(file, 'is too large to be a key');
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    if (error instanceof DistricError) throw error;
    return refuse(file, `can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!ring.setBootstrapKey(text)) refuse(file, 'does not hold a key of the form dk_bootstrap_ and 43 characters');
}
