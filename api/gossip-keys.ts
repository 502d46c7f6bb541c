/**
 * The keys that datagrams are sealed with, as a file: a list of `{ id, key }` in YAML or JSON.
 *
 * The first key seals; every key opens. So keys are changed without loss in three steps, each on all nodes before the
 * next: add the new key at the end, move it to the front, remove the old one.
 */
import { parse } from 'yaml';
import { DistricError, type FieldError } from '../base/errors.ts';

export const KEY_BYTES = 32;
export const KEY_ID_MAX = 65_535;
const KEYS_MAX = 8;
const KEY_CHARS = 44;

export interface GossipKey {
  readonly id: number;
  readonly bytes: Uint8Array;
}

export interface GossipKeys {
  /** The one that seals. */
  readonly primary: GossipKey;
  readonly byId: ReadonlyMap<number, GossipKey>;
}

/** Throws DistricError INVALID_DOCUMENT; it never quotes a key. */
export function parseGossipKeys(text: string): GossipKeys {
  const faults: FieldError[] = [];
  const keys = entries(text, faults).map((entry, index) => gossipKey(entry, `[${index}]`, faults));
  const byId = new Map<number, GossipKey>();
  for (const [index, key] of keys.entries()) {
    if (key === undefined) continue;
    if (byId.has(key.id)) faults.push({ field: `[${index}].id`, reason: `another key has the id ${key.id}` });
    byId.set(key.id, key);
  }
  const [primary] = keys;
  if (primary !== undefined && faults.length === 0) return { primary, byId };
  const details = faults.map(({ field, reason }) => `${field} ${reason}`).join('; ');
  throw new DistricError('INVALID_DOCUMENT', `correct the key file: ${details}`, faults);
}

function entries(text: string, faults: FieldError[]): readonly unknown[] {
  let parsed: unknown;
  try {
    parsed = parse(text);
  } catch {
    // The parser quotes the line, which may hold a key.
    faults.push({ field: '', reason: 'it is neither YAML nor JSON' });
    return [];
  }
  if (Array.isArray(parsed) && parsed.length > 0 && parsed.length <= KEYS_MAX) return parsed as unknown[];
  faults.push({ field: '', reason: `it must be a list of 1 to ${KEYS_MAX} keys` });
  return [];
}

function gossipKey(entry: unknown, place: string, faults: FieldError[]): GossipKey | undefined {
  const { id, key } = typeof entry === 'object' && entry !== null ? (entry as { id?: unknown; key?: unknown }) : {};
  const bytes = typeof key === 'string' ? decodeKey(key.trim()) : undefined;
  const idFits = typeof id === 'number' && Number.isInteger(id) && id >= 1 && id <= KEY_ID_MAX;
  if (!idFits) faults.push({ field: `${place}.id`, reason: `must be an integer from 1 to ${KEY_ID_MAX}` });
  if (bytes === undefined) {
    faults.push({ field: `${place}.key`, reason: `must be ${KEY_BYTES} bytes in base64 (${KEY_CHARS} characters)` });
  }
  return idFits && bytes !== undefined ? { id, bytes } : undefined;
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Base64 (RFC 4648 §4) of exactly KEY_BYTES. */
function decodeKey(text: string): Uint8Array | undefined {
  if (text.length !== KEY_CHARS || !/^[A-Za-z0-9+/]{43}=$/.test(text)) return undefined;
  const bytes = new Uint8Array(KEY_BYTES);
  let pending = 0;
  let pendingBits = 0;
  let at = 0;
  for (const letter of text.slice(0, -1)) {
    pending = ((pending << 6) | ALPHABET.indexOf(letter)) & 0xffff;
    pendingBits += 6;
    if (pendingBits < 8) continue;
    pendingBits -= 8;
    bytes[at++] = pending >>> pendingBits;
  }
  return bytes;
}
