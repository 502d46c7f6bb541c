import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isoTime } from './iso-time.ts';

describe('isoTime()', () => {
  it('gives what Date gives, over four thousand years', () => {
    const range = { min: Date.UTC(1000, 0, 1), max: Date.UTC(5000, 0, 1) };
    fc.assert(fc.property(fc.integer(range), (ms) => isoTime(ms) === new Date(ms).toISOString()));
  });

  it('knows leap days', () => {
    expect(isoTime(Date.UTC(2000, 1, 29))).toBe('2000-02-29T00:00:00.000Z');
    expect(isoTime(Date.UTC(2100, 2, 1))).toBe('2100-03-01T00:00:00.000Z');
  });
});
