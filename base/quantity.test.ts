import { describe, expect, it } from '@jest/globals';
import { quantityOf } from './quantity.ts';

describe('quantityOf', () => {
  it.each([
    ['20Gi', 20 * 2 ** 30],
    ['1.5Ki', 1_536],
    ['2G', 2e9],
    ['500m', 0.5],
    ['1e3', 1_000],
    ['7', 7],
  ])('reads %s as %d', (text, number) => {
    expect(quantityOf(text)).toBe(number);
  });

  it.each(['', '-1', 'Gi', '1 Gi', '1ki', '1KiB', '0x10'])('refuses %j', (text) => {
    expect(() => quantityOf(text)).toThrow(/no quantity/);
  });
});
