/**
 * API keys as the cluster holds them: the hash of a secret, a role, and how long it counts.
 *
 * Invariants
 * 1. No secret is in here: whoever reads the state cannot use a key.
 * 2. `version` rises (in this process) with every change that decides who gets in; a touch is none.
 * 3. Times are wall clock, ms since the epoch: a key expires on the day that its owner was told.
 */
import type { KeyResource } from '../../../api/rest.ts';
import { DistricError } from '../../../base/errors.ts';
import { decodeText, encodeText, type Host } from '../../../base/host.ts';
import { isoTime } from '../../../base/iso-time.ts';
import { accessKey, afterPrefix } from './keys.ts';
import type { Overlay } from './overlay.ts';

/** Keys the cluster holds, dead ones among them; over it the oldest dead ones go. */
export const KEYS_MAX = 5_000;

export interface KeyRecord {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  /** SHA-256 of the secret, hex. */
  readonly hash: string;
  /** Of the secret before the last rotation, good until `previousUntil`. */
  readonly previousHash: string | null;
  readonly previousUntil: number | null;
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
  /** Requests per second; null: as configured, 0: no limit. */
  readonly rateLimit: number | null;
  readonly lastUsedAt: number | null;
}

export type NewKey = Pick<KeyRecord, 'id' | 'name' | 'role' | 'hash' | 'expiresAt' | 'rateLimit'>;

function timeOrNull(ms: number | null): string | null {
  return ms === null ? null : isoTime(ms);
}

/** A key as REST and the audit log tell of it. */
export function keyResource(key: KeyRecord): KeyResource {
  return {
    id: key.id,
    name: key.name,
    role: key.role,
    created_at: isoTime(key.createdAt),
    expires_at: timeOrNull(key.expiresAt),
    revoked_at: timeOrNull(key.revokedAt),
    rate_limit: key.rateLimit,
    last_used_at: timeOrNull(key.lastUsedAt),
    previous_secret_until: timeOrNull(key.previousUntil),
  };
}

export class AccessTable {
  readonly #host: Host;
  readonly #overlay: Overlay;
  readonly keys = new Map<string, KeyRecord>();
  version = 0;

  constructor(host: Host, overlay: Overlay) {
    this.#host = host;
    this.#overlay = overlay;
    for (const { value } of overlay.range('y/', afterPrefix('y/'))) {
      const record = JSON.parse(decodeText(host, value)) as KeyRecord;
      this.keys.set(record.id, record);
    }
  }

  /** Throws NOT_FOUND. */
  get(id: string): KeyRecord {
    const record = this.keys.get(id);
    if (record === undefined) throw new DistricError('NOT_FOUND', `there is no key "${id}"`);
    return record;
  }

  create(key: NewKey, wallMs: number): KeyRecord {
    if (this.keys.has(key.id)) throw new DistricError('ALREADY_EXISTS', `there is a key "${key.id}" already`);
    if (this.keys.size >= KEYS_MAX) this.#makeRoom(wallMs);
    const record: KeyRecord = {
      ...key,
      previousHash: null,
      previousUntil: null,
      createdAt: wallMs,
      revokedAt: null,
      lastUsedAt: null,
    };
    return this.#change(record);
  }

  /** For good. A key that is revoked already keeps its time. */
  revoke(id: string, wallMs: number): KeyRecord {
    const record = this.get(id);
    return record.revokedAt === null ? this.#change({ ...record, revokedAt: wallMs }) : record;
  }

  /** The secret that is good now stays so for `overlapMs`; one that was replaced before it ends at once. */
  rotate(id: string, hash: string, overlapMs: number, wallMs: number): KeyRecord {
    const record = this.get(id);
    if (!isAlive(record, wallMs)) {
      throw new DistricError('IN_USE', `key "${id}" is revoked or has expired: create a new one`);
    }
    const overlap = overlapMs === 0 ? null : { hash: record.hash, until: wallMs + overlapMs };
    return this.#change({
      ...record,
      hash,
      previousHash: overlap?.hash ?? null,
      previousUntil: overlap?.until ?? null,
    });
  }

  /** Unknown ids were removed meanwhile: nothing to do. */
  touch(ids: readonly string[], wallMs: number): void {
    for (const id of ids) {
      const record = this.keys.get(id);
      if (record === undefined || (record.lastUsedAt ?? 0) >= wallMs) continue;
      this.#put({ ...record, lastUsedAt: wallMs });
    }
  }

  #makeRoom(wallMs: number): void {
    let oldest: KeyRecord | undefined;
    for (const record of this.keys.values()) {
      if (isAlive(record, wallMs)) continue;
      if (oldest === undefined || record.createdAt < oldest.createdAt) oldest = record;
    }
    if (oldest === undefined) {
      throw new DistricError('INVALID_DOCUMENT', `the cluster holds ${String(KEYS_MAX)} keys already, its limit`);
    }
    this.keys.delete(oldest.id);
    this.#overlay.delete(accessKey(oldest.id));
  }

  #change(record: KeyRecord): KeyRecord {
    this.version++;
    this.#put(record);
    return record;
  }

  #put(record: KeyRecord): void {
    this.keys.set(record.id, record);
    this.#overlay.put(accessKey(record.id), encodeText(this.#host, JSON.stringify(record)));
  }
}

function isAlive(record: KeyRecord, wallMs: number): boolean {
  return record.revokedAt === null && (record.expiresAt === null || record.expiresAt > wallMs);
}
