/** The admin key of a cluster on this machine, in a file that only its owner can read. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { BOOTSTRAP_KEY_ID, keyText, parseKeyText } from '../api/access.ts';
import { CliError, EXIT } from './exit-code.ts';

export const ADMIN_KEY_FILE_NAME = 'admin.key';
const SECRET_BYTES = 32;
const OWNER_ONLY = 0o600;

/** Makes the key if there is none yet. */
export function ensureAdminKey(dataDir: string): string {
  const file = path.join(dataDir, ADMIN_KEY_FILE_NAME);
  if (!existsSync(file)) {
    const key = keyText(BOOTSTRAP_KEY_ID, randomBytes(SECRET_BYTES).toString('base64url'));
    writeFileSync(file, `${key}\n`, { mode: OWNER_ONLY, flag: 'wx' });
  }
  return readKeyFile(file);
}

/** Undefined when the cluster has none. */
export function localAdminKey(dataDir: string): string | undefined {
  const file = path.join(dataDir, ADMIN_KEY_FILE_NAME);
  return existsSync(file) ? readKeyFile(file) : undefined;
}

/** A key from its file. No message has anything of the content. */
export function readKeyFile(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new CliError(
      EXIT.NOT_FOUND,
      `can't read the key file: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return checkedKey(text, file);
}

/** Refuses what can be no key before it is sent anywhere. */
export function checkedKey(text: string, source: string): string {
  if (parseKeyText(text) !== undefined) return text;
  throw new CliError(EXIT.USAGE, `${source} does not hold a key of the form dk_ID_SECRET`);
}
