import { describe, expect, it } from '@jest/globals';
import { atLeast, atMost, comparison, createReport, figure, renderTable, rounded } from './report.ts';

describe('comparison()', () => {
  it('passes at the ratio it must reach, and not below', () => {
    const peer = { name: 'etcd', value: 10_000 };
    expect(comparison('ingest', 30_000, 'messages/s', peer, 3)).toMatchObject({ ratio: 3, must: 3, ok: true });
    expect(comparison('ingest', 29_000, 'messages/s', peer, 3)).toMatchObject({ ratio: 2.9, ok: false });
    expect(comparison('ingest', 1, 'messages/s', peer)).toMatchObject({ ok: true });
  });

  it('fails when the peer it must be held against was not measured', () => {
    expect(comparison('ingest', 30_000, 'messages/s', undefined, 3)).toMatchObject({ must: 3, ok: false });
    expect(comparison('ingest', 30_000, 'messages/s', undefined)).toMatchObject({ ok: true });
  });
});

describe('atMost() and atLeast()', () => {
  it('pass at the limit, and say which side of it counts', () => {
    expect([atMost('a', 1, 'µs', 1).ok, atMost('a', 1.01, 'µs', 1).ok]).toEqual([true, false]);
    expect([atLeast('a', 50, '/s', 50).ok, atLeast('a', 49, '/s', 50).ok]).toEqual([true, false]);
    const table = renderTable([atMost('encode', 2, 'µs', 1), atLeast('calls', 60_000, '/s', 50_000)]);
    for (const cell of ['<= 1', 'FAILED', '>= 50,000', 'ok']) expect(table).toContain(cell);
  });
});

describe('createReport()', () => {
  const good = figure('a', 1, 'ms');

  it('is ok when every row is, something was measured and nothing failed beside it', () => {
    expect(createReport([good], 0).ok).toBe(true);
    expect(createReport([good, { ...good, ok: false }], 0).ok).toBe(false);
    expect(createReport([good], 1).ok).toBe(false);
    expect(createReport([], 0).ok).toBe(false);
  });
});

describe('renderTable()', () => {
  it('names value, peer, ratio and verdict', () => {
    const table = renderTable([comparison('ingest', 45_678, 'messages/s', { name: 'etcd', value: 14_000 }, 5)]);
    for (const cell of ['ingest', '45,678', '14,000', '3.26 x', '>= 5 x', 'FAILED']) expect(table).toContain(cell);
  });
});

describe('rounded()', () => {
  it('keeps three digits of small values and whole large ones', () => {
    expect([0.012345, 12.345, 99.99, 12_345.6].map(rounded)).toEqual([0.0123, 12.3, 100, 12_346]);
  });
});
