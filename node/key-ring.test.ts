import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { keyText } from '../api/access.ts';
import type { KeyRecord } from './core/state/access-table.ts';
import { KeyRing, TOUCH_INTERVAL_MS, TOUCHED_MAX } from './key-ring.ts';

const SECRET = 'S'.repeat(43);
const OTHER = 'T'.repeat(43);
const NOW = 1_700_000_000_000;

const hash = (secret: string): string => createHash('sha256').update(secret).digest('hex');

function ringOf(...records: KeyRecord[]) {
  const compared: string[] = [];
  const ring = new KeyRing({
    hash,
    equal: (a, b) => {
      compared.push(b);
      return a === b;
    },
  });
  ring.setKeys(records);
  return { ring, compared };
}

function record(more: Partial<KeyRecord> = {}): KeyRecord {
  return {
    id: 'k1',
    name: 'ci',
    role: 'operator',
    hash: hash(SECRET),
    previousHash: null,
    previousUntil: null,
    createdAt: NOW,
    expiresAt: null,
    revokedAt: null,
    rateLimit: null,
    lastUsedAt: null,
    ...more,
  };
}

describe('KeyRing', () => {
  it('tells whose key it is', () => {
    const { ring } = ringOf(record({ rateLimit: 5 }));
    const actor = { kind: 'key', id: 'k1', name: 'ci', role: 'operator' };
    expect(ring.identify(keyText('k1', SECRET), NOW)).toEqual({ actor, rateLimit: 5 });
    expect(ring.identify(undefined, NOW)).toEqual({ failure: 'missing' });
    for (const text of ['', 'dk_k1', `dk_k1_${SECRET}x`, SECRET]) {
      expect(ring.identify(text, NOW)).toEqual({ failure: 'malformed' });
    }
  });

  it('does the same work for an unknown id as for a wrong secret, and answers alike', () => {
    const { ring, compared } = ringOf(record());
    expect(ring.identify(keyText('k1', OTHER), NOW)).toEqual({ failure: 'unknown' });
    const wrongSecret = compared.splice(0).length;
    expect(ring.identify(keyText('k2', OTHER), NOW)).toEqual({ failure: 'unknown' });
    expect(compared).toHaveLength(wrongSecret);
  });

  it('tells "expired" and "revoked" only to whoever has the secret', () => {
    const { ring } = ringOf(record({ expiresAt: NOW }), record({ id: 'k2', revokedAt: NOW - 1 }));
    expect(ring.identify(keyText('k1', SECRET), NOW - 1)).toHaveProperty('actor');
    expect(ring.identify(keyText('k1', SECRET), NOW)).toEqual({ failure: 'expired' });
    expect(ring.identify(keyText('k2', SECRET), NOW)).toEqual({ failure: 'revoked' });
    for (const id of ['k1', 'k2']) expect(ring.identify(keyText(id, OTHER), NOW)).toEqual({ failure: 'unknown' });
  });

  it('takes both secrets of a rotated key until the overlap ends', () => {
    const { ring } = ringOf(record({ hash: hash(OTHER), previousHash: hash(SECRET), previousUntil: NOW + 10 }));
    for (const secret of [SECRET, OTHER]) expect(ring.identify(keyText('k1', secret), NOW)).toHaveProperty('actor');
    expect(ring.identify(keyText('k1', SECRET), NOW + 10)).toEqual({ failure: 'expired' });
    expect(ring.identify(keyText('k1', OTHER), NOW + 10)).toHaveProperty('actor');
  });

  it('takes the bootstrap key only when there is one, and no other text as one', () => {
    const { ring } = ringOf();
    expect(ring.identify(keyText('bootstrap', SECRET), NOW)).toEqual({ failure: 'unknown' });
    expect(ring.setBootstrapKey(keyText('k1', SECRET))).toBe(false);
    expect(ring.setBootstrapKey(keyText('bootstrap', SECRET))).toBe(true);
    expect(ring.identify(keyText('bootstrap', SECRET), NOW)).toMatchObject({
      actor: { kind: 'bootstrap', role: 'admin' },
    });
    expect(ring.identify(keyText('bootstrap', OTHER), NOW)).toEqual({ failure: 'unknown' });
  });

  it('refuses a role that this release does not know', () => {
    const { ring } = ringOf(record({ role: 'emperor' }));
    expect(ring.identify(keyText('k1', SECRET), NOW)).toEqual({ failure: 'unknown' });
  });

  it('reports a use once a minute, and never more keys than its limit', () => {
    const { ring } = ringOf(record(), record({ id: 'k2', lastUsedAt: NOW - 1 }));
    for (const id of ['k1', 'k1', 'k2']) ring.identify(keyText(id, SECRET), NOW);
    expect(ring.takeUsed()).toEqual(['k1']);
    ring.identify(keyText('k1', SECRET), NOW + TOUCH_INTERVAL_MS - 1);
    expect(ring.takeUsed()).toEqual([]);
    ring.identify(keyText('k1', SECRET), NOW + TOUCH_INTERVAL_MS);
    expect(ring.takeUsed()).toEqual(['k1']);
    const many = Array.from({ length: TOUCHED_MAX + 1 }, (_, i) => record({ id: `n${i}` }));
    ring.setKeys(many);
    for (const { id } of many) ring.identify(keyText(id, SECRET), NOW);
    expect(ring.takeUsed()).toHaveLength(TOUCHED_MAX);
  });
});
