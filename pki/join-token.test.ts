import { describe, expect, it } from '@jest/globals';
import { DistricError } from '../base/errors.ts';
import { authorityHashOf, createJoinToken, newJoinSecret, readJoinSecret, verifyJoinToken } from './join-token.ts';

const secret = readJoinSecret(newJoinSecret());
const hash = 'ab'.repeat(32);
const grant = { role: 'worker', expiresMs: 1_000, uses: 2 } as const;

function codeOf(verify: () => unknown): string {
  try {
    verify();
  } catch (error) {
    if (error instanceof DistricError) return error.code;
  }
  return 'none';
}

describe('join tokens', () => {
  it('grant what they were made for, until they expire', () => {
    const token = createJoinToken(secret, hash, { ...grant, name: 'w1' });
    expect(token).toMatch(/^[\w-]+\.[\w-]{43}@sha256:(ab){32}$/);
    expect(authorityHashOf(token)).toBe(hash);
    expect(verifyJoinToken(secret, ` ${token}\n`, 999)).toMatchObject({ ...grant, name: 'w1' });
    expect(() => verifyJoinToken(secret, token, 1_000)).toThrow(/expired at 1970-01-01T00:00:01/);
  });

  it('differ each time', () => {
    expect(createJoinToken(secret, hash, grant)).not.toBe(createJoinToken(secret, hash, grant));
  });

  it('are refused when forged: another secret, another grant, another signature', () => {
    const token = createJoinToken(secret, hash, grant);
    const [text = '', rest = ''] = token.split('.');
    const promoted = Buffer.from(text, 'base64url').toString().replace('worker', 'coordinator');
    const forged = `${Buffer.from(promoted).toString('base64url')}.${rest}`;
    const flipped = `${text}.${rest.startsWith('A') ? 'B' : 'A'}${rest.slice(1)}`;
    const others = readJoinSecret(newJoinSecret());
    expect(codeOf(() => verifyJoinToken(others, token, 0))).toBe('UNAUTHENTICATED');
    for (const bad of [forged, flipped]) expect(codeOf(() => verifyJoinToken(secret, bad, 0))).toBe('UNAUTHENTICATED');
  });

  it.each(['', 'a.b', `a.${'b'.repeat(43)}`, `a.${'b'.repeat(43)}@sha256:${'g'.repeat(64)}`, 'x'.repeat(2_000)])(
    'are refused when they are none: %j',
    (token) => {
      expect(codeOf(() => verifyJoinToken(secret, token, 0))).toBe('INVALID_REQUEST');
    },
  );

  it('of another version are refused', () => {
    for (const odd of [
      { ...grant, role: 'king' },
      { ...grant, name: 'a b' },
      { ...grant, uses: 'many' },
    ]) {
      const token = createJoinToken(secret, hash, odd as typeof grant);
      expect(() => verifyJoinToken(secret, token, 0)).toThrow(/another version/);
    }
  });

  it('need a secret of full length', () => {
    expect(() => readJoinSecret('c2hvcnQ')).toThrow(/32 bytes/);
    expect(() => readJoinSecret('')).toThrow(DistricError);
  });
});
