import { describe, expect, it } from '@jest/globals';
import { envelopeOf, idempotencyKeyOf } from './kept-headers.ts';
import { API_LIMITS } from './limits.ts';

describe('envelopeOf()', () => {
  it('keeps x- and ce- headers and the source', () => {
    const request = { 'x-github-event': 'push', 'ce-id': '7', accept: '*/*', 'distric-source': 'github', host: 'h' };
    expect(envelopeOf(request, API_LIMITS)).toEqual({
      source: 'github',
      headers: { 'x-github-event': 'push', 'ce-id': '7' },
    });
  });

  it('leaves out credentials and what proxies add', () => {
    const names = ['x-api-key', 'x-auth-token', 'x-amz-security-token', 'x-forwarded-for', 'x-real-ip', 'x-request-id'];
    expect(envelopeOf(Object.fromEntries(names.map((name) => [name, 'v'])), API_LIMITS)).toEqual({});
  });

  it('refuses too many or too large headers', () => {
    const many = Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`x-${i}`, 'v']));
    expect(() => envelopeOf(many, API_LIMITS)).toThrow(/more than 32/);
    expect(() => envelopeOf({ 'x-a': 'v'.repeat(4096) }, API_LIMITS)).toThrow(/bytes together/);
  });

  it('refuses a source that is empty, spaced or too long', () => {
    for (const source of ['', 'two words', 's'.repeat(257)]) {
      expect(() => envelopeOf({ 'distric-source': source }, API_LIMITS)).toThrow(/Distric-Source/);
    }
  });
});

describe('idempotencyKeyOf()', () => {
  it('takes visible ASCII within the limit', () => {
    expect(idempotencyKeyOf({ 'idempotency-key': 'order-1' })).toBe('order-1');
    expect(idempotencyKeyOf({})).toBeUndefined();
    expect(() => idempotencyKeyOf({ 'idempotency-key': 'a, b' })).toThrow(/Idempotency-Key/);
    expect(() => idempotencyKeyOf({ 'idempotency-key': 'k'.repeat(257) })).toThrow(/Idempotency-Key/);
  });
});
