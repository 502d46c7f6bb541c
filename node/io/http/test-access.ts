/** For tests: guards of the HTTP server, open or with keys. */
import type { KeyRecord } from '../../core/state/access-table.ts';
import { AccessLimits, type AccessLimitOptions } from '../../access-limits.ts';
import { KeyRing } from '../../key-ring.ts';
import { AccessGuard, type AccessMetrics, type AccessOptions, digest } from './access.ts';

export class CountedAccess implements AccessMetrics {
  readonly failures: string[] = [];
  limited = 0;

  authFailed(reason: string): void {
    this.failures.push(reason);
  }

  rateLimited(): void {
    this.limited++;
  }
}

export function openAccess(): AccessGuard {
  return guardWith(new KeyRing(digest), { mode: 'disabled' });
}

export type GuardOptions = Partial<AccessOptions> & Partial<AccessLimitOptions>;

export function guardWith(ring: KeyRing, options: GuardOptions = {}): AccessGuard {
  const limits = new AccessLimits({ requestsPerSecondPerKey: 0, ...options });
  return new AccessGuard({
    mode: 'required',
    clusterName: 'test',
    ring,
    metrics: new CountedAccess(),
    limits,
    ...options,
  });
}

export function keyRecord(id: string, role: string, secret: string, more: Partial<KeyRecord> = {}): KeyRecord {
  return {
    id,
    name: `the ${role}`,
    role,
    hash: digest.hash(secret),
    previousHash: null,
    previousUntil: null,
    createdAt: 0,
    expiresAt: null,
    revokedAt: null,
    rateLimit: null,
    lastUsedAt: null,
    ...more,
  };
}
