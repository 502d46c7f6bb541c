/**
 * Tells who holds a key: this coordinator's copy of the cluster's keys, beside the one of `auth.adminKeyFile`.
 *
 * Invariants
 * 1. An unknown id and a wrong secret cost the same work and get the same answer.
 * 2. "Expired" and "revoked" are told only to whoever has the secret.
 * 3. A key is reported as used at most once in TOUCH_INTERVAL_MS, and at most TOUCHED_MAX keys at a time.
 */
import { type Actor, BOOTSTRAP_KEY_ID, isAccessRole, parseKeyText } from '../api/access.ts';
import type { KeyRecord } from './core/state/access-table.ts';

export const TOUCH_INTERVAL_MS = 60_000;
export const TOUCHED_MAX = 1_000;

export interface Digest {
  /** SHA-256, hex. */
  hash(secret: string): string;
  /** In a time that does not depend on where the two differ. */
  equal(a: string, b: string): boolean;
}

export type AuthFailure = 'missing' | 'malformed' | 'unknown' | 'expired' | 'revoked';

export type Identified = { actor: Actor; rateLimit: number | null } | { failure: AuthFailure };

/** Compared with when there is no such key: no secret has this hash. */
const NO_HASH = '0'.repeat(64);

export class KeyRing {
  readonly #digest: Digest;
  #keys: ReadonlyMap<string, KeyRecord> = new Map();
  #bootstrapHash: string | undefined;
  readonly #touchedMs = new Map<string, number>();
  #used = new Set<string>();

  constructor(digest: Digest) {
    this.#digest = digest;
  }

  /** The text of the admin key file; false when it is none of a bootstrap key. Only its hash is kept. */
  setBootstrapKey(text: string): boolean {
    const parsed = parseKeyText(text);
    if (parsed?.id !== BOOTSTRAP_KEY_ID) return false;
    this.#bootstrapHash = this.#digest.hash(parsed.secret);
    return true;
  }

  setKeys(records: readonly KeyRecord[]): void {
    this.#keys = new Map(records.map((record) => [record.id, record]));
    for (const id of this.#touchedMs.keys()) if (!this.#keys.has(id)) this.#touchedMs.delete(id);
  }

  /** Whose key `text` is. `wallMs` is this node's wall clock: keys expire by it. */
  identify(text: string | undefined, wallMs: number): Identified {
    if (text === undefined) return { failure: 'missing' };
    const parsed = parseKeyText(text);
    if (parsed === undefined) return { failure: 'malformed' };
    const hash = this.#digest.hash(parsed.secret);
    if (parsed.id === BOOTSTRAP_KEY_ID) return this.#identifyBootstrap(hash);
    const record = this.#keys.get(parsed.id);
    const current = this.#digest.equal(hash, record?.hash ?? NO_HASH);
    const previous = this.#digest.equal(hash, record?.previousHash ?? NO_HASH);
    if (record === undefined || !isAccessRole(record.role) || (!current && !previous)) return { failure: 'unknown' };
    if (record.revokedAt !== null) return { failure: 'revoked' };
    const endsAt = Math.min(record.expiresAt ?? Infinity, current ? Infinity : (record.previousUntil ?? 0));
    if (endsAt <= wallMs) return { failure: 'expired' };
    this.#noteUse(record, wallMs);
    const { id, name, role, rateLimit } = record;
    return { actor: { kind: 'key', id, name, role }, rateLimit };
  }

  /** Keys whose use is to be put on record now. */
  takeUsed(): string[] {
    const used = [...this.#used];
    this.#used.clear();
    return used;
  }

  #identifyBootstrap(hash: string): Identified {
    const fits = this.#digest.equal(hash, this.#bootstrapHash ?? NO_HASH);
    if (!fits) return { failure: 'unknown' };
    const actor: Actor = { kind: 'bootstrap', id: BOOTSTRAP_KEY_ID, name: BOOTSTRAP_KEY_ID, role: 'admin' };
    return { actor, rateLimit: 0 };
  }

  #noteUse({ id, lastUsedAt }: KeyRecord, wallMs: number): void {
    if (wallMs - Math.max(lastUsedAt ?? 0, this.#touchedMs.get(id) ?? 0) < TOUCH_INTERVAL_MS) return;
    if (this.#used.size >= TOUCHED_MAX) return;
    this.#touchedMs.set(id, wallMs);
    this.#used.add(id);
  }
}
