import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { alternativeNames, identityOf, identityUri, IDENTITY_ROLES, parseIdentityUri } from './identity.ts';

const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/);

describe('identity', () => {
  it('reads what it writes', () => {
    const identities = fc.record({ clusterName: name, role: fc.constantFrom(...IDENTITY_ROLES), name });
    fc.assert(
      fc.property(identities, (identity) => {
        expect(parseIdentityUri(identityUri(identity))).toEqual(identity);
      }),
    );
  });

  it.each([
    '',
    'distric://c/worker',
    'distric://c/worker/',
    'distric://c/king/n1',
    'distric://c/worker/n1/x',
    'distric://c/worker/n1?x',
    'distric://c/worker/n 1',
    'distric://c/worker/n1"',
    'DISTRIC://c/worker/n1',
    'https://c/worker/n1',
    `distric://c/worker/${'n'.repeat(64)}`,
  ])('refuses %j', (text) => {
    expect(parseIdentityUri(text)).toBeUndefined();
  });

  it('finds the one identity among other names', () => {
    const names = 'DNS:n1.example, URI:spiffe://x/y, URI:distric://c/worker/n1, IP Address:127.0.0.1';
    expect(identityOf(names)).toEqual({ clusterName: 'c', role: 'worker', name: 'n1' });
    expect(alternativeNames(names, 'DNS')).toEqual(['n1.example']);
    expect(alternativeNames(names, 'IP Address')).toEqual(['127.0.0.1']);
  });

  it('takes no identity from inside another name', () => {
    expect(identityOf('DNS:"a, URI:distric://c/coordinator/n1, DNS:b"')).toBeUndefined();
    expect(identityOf('DNS:"a\\", URI:distric://c/coordinator/n1"')).toBeUndefined();
    expect(identityOf('DNS:a"b, URI:distric://c/coordinator/n1')).toBeUndefined();
    expect(identityOf('')).toBeUndefined();
  });

  it('takes none of two', () => {
    expect(identityOf('URI:distric://c/worker/n1, URI:distric://c/worker/n2')).toBeUndefined();
    expect(identityOf('URI:distric://c/worker/n1, URI:distric://broken')).toBeUndefined();
  });
});
