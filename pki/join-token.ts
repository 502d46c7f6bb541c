/**
 * Join tokens: `GRANT.SIGNATURE@sha256:HASH`. GRANT says what may be joined and until when; SIGNATURE is an HMAC over it
 * by a secret that the coordinators share, so a token needs no state anywhere; HASH is that of the authority's
 * certificate, so the node that joins knows the cluster before it tells its token.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { isIdentityName } from '../api/identity.ts';
import { DistricError } from '../base/errors.ts';

export const JOIN_SECRET_BYTES = 32;
const NONCE_BYTES = 12;
const TOKEN_CHARS_MAX = 1_024;
const TOKEN = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})@sha256:([0-9a-f]{64})$/;

export interface JoinGrant {
  role: 'coordinator' | 'worker';
  /** The one node that may join; any name of the role when absent. */
  name?: string;
  /** Wall clock, ms since the epoch. */
  expiresMs: number;
  /** How often each coordinator takes it. */
  uses: number;
  nonce: string;
}

export function newJoinSecret(): string {
  return `${randomBytes(JOIN_SECRET_BYTES).toString('base64url')}\n`;
}

/** Throws INVALID_DOCUMENT. */
export function readJoinSecret(text: string): Uint8Array {
  const secret = Buffer.from(text.trim(), 'base64url');
  if (secret.length >= JOIN_SECRET_BYTES) return secret;
  throw new DistricError('INVALID_DOCUMENT', `a join secret is ${JOIN_SECRET_BYTES} bytes or more in base64url`);
}

export function createJoinToken(secret: Uint8Array, authorityHash: string, grant: Omit<JoinGrant, 'nonce'>): string {
  const nonce = randomBytes(NONCE_BYTES).toString('base64url');
  const text = Buffer.from(JSON.stringify({ ...grant, nonce })).toString('base64url');
  return `${text}.${signatureOf(secret, text).toString('base64url')}@sha256:${authorityHash}`;
}

/** The authority that a token pins. Throws INVALID_REQUEST; the token itself is in no message. */
export function authorityHashOf(token: string): string {
  return partsOf(token).hash;
}

/**
 * What the token grants, if the secret signed it and it has not expired. Throws UNAUTHENTICATED with the reason; that the
 * signature is wrong is found out in constant time, and before anything in the token is looked at.
 */
export function verifyJoinToken(secret: Uint8Array, token: string, nowMs: number): JoinGrant {
  const { text, signature } = partsOf(token);
  const given = Buffer.from(signature, 'base64url');
  const wanted = signatureOf(secret, text);
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) {
    throw new DistricError('UNAUTHENTICATED', 'the join token was not made with the join secret of this cluster');
  }
  const grant = grantOf(text);
  if (grant.expiresMs > nowMs) return grant;
  throw new DistricError('UNAUTHENTICATED', `the join token expired at ${new Date(grant.expiresMs).toISOString()}`);
}

function partsOf(token: string): { text: string; signature: string; hash: string } {
  const [, text, signature, hash] = token.length > TOKEN_CHARS_MAX ? [] : (TOKEN.exec(token.trim()) ?? []);
  if (text !== undefined && signature !== undefined && hash !== undefined) return { text, signature, hash };
  throw new DistricError('INVALID_REQUEST', 'that is no join token: expected GRANT.SIGNATURE@sha256:HASH');
}

function signatureOf(secret: Uint8Array, text: string): Buffer {
  return createHmac('sha256', secret).update('distric join token\n').update(text).digest();
}

function grantOf(text: string): JoinGrant {
  const grant: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  if (isGrant(grant)) return grant;
  throw new DistricError('UNAUTHENTICATED', 'the join token is of another version of this program');
}

function isGrant(value: unknown): value is JoinGrant {
  if (typeof value !== 'object' || value === null) return false;
  const { role, name, expiresMs, uses, nonce } = value as Record<string, unknown>;
  if (role !== 'coordinator' && role !== 'worker') return false;
  if (name !== undefined && !(typeof name === 'string' && isIdentityName(name))) return false;
  return typeof expiresMs === 'number' && typeof uses === 'number' && typeof nonce === 'string';
}
