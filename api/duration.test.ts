import { describe, expect, it } from '@jest/globals';
import { durationMs } from './duration.ts';

describe('durationMs', () => {
  it.each([
    [30, 30_000],
    [0.25, 250],
    ['500ms', 500],
    ['10s', 10_000],
    ['1.5s', 1_500],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    ['365d', 31_536_000_000],
    [0.000_01, 1],
  ])('reads %j as %d ms', (value, expected) => {
    expect(durationMs(value)).toBe(expected);
  });

  it.each([
    0,
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    31_536_001,
    '',
    '10',
    '10 s',
    's',
    '-5s',
    '0s',
    '1w',
    '366d',
    '1e3s',
  ])('refuses %j and quotes it', (value) => {
    expect(() => durationMs(value)).toThrow(`${JSON.stringify(value)} is not a duration`);
  });
});
