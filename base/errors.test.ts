import { describe, expect, it } from '@jest/globals';
import { nodeHost } from '../node/io/host.ts';
import { assert, AssertionError, unreachable } from './assert.ts';
import { DistricError, ERRORS, type ErrorCode } from './errors.ts';
import { decodeText, encodeText } from './host.ts';

describe('DistricError', () => {
  it('knows its status and whether the same request may succeed later', () => {
    expect(new DistricError('QUEUE_FULL', 'full')).toMatchObject({ status: 503, retryable: true, fields: [] });
    const fields = [{ field: 'a.b', reason: 'no' }];
    expect(new DistricError('INVALID_DOCUMENT', 'bad', fields)).toMatchObject({
      status: 400,
      retryable: false,
      fields,
    });
  });

  it('walks no stack, and leaves those of our own faults as they are', () => {
    const thrown = new DistricError('NOT_FOUND', 'not there');
    expect(thrown.stack).not.toContain('\n');
    expect(new Error('ours').stack).toContain('errors.test.ts');
  });

  it('keeps to what is promised: 429, 503 and 504 may be tried again, other refusals not', () => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      const { status, retryable } = ERRORS[code];
      expect([code, retryable]).toEqual([code, [408, 429, 503, 504].includes(status)]);
    }
  });
});

describe('assert()', () => {
  it('stops at what does not hold', () => {
    expect(() => assert(true, 'fine')).not.toThrow();
    expect(() => assert(0, 'zero holds')).toThrow(new AssertionError('assertion failed: zero holds'));
    expect(() => unreachable({ kind: 'x' } as never, 'kind')).toThrow('unexpected kind: {"kind":"x"}');
  });
});

describe('text', () => {
  it('goes to UTF-8 and back', () => {
    for (const text of ['', 'plain', 'naïve – ☃ 🎉']) {
      const bytes = encodeText(nodeHost, text);
      expect(Buffer.from(bytes).toString()).toBe(text);
      expect(decodeText(nodeHost, bytes)).toBe(text);
    }
  });
});
