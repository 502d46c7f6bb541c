import { describe, expect, it } from '@jest/globals';
import { checkCoverage, codeLines } from './coverage.ts';

const never = (): boolean => false;
const source = (count: number): string => 'run();\n'.repeat(count);
const record = (path: string, total: number, covered: number): string =>
  [
    `SF:${path}`,
    ...Array.from({ length: total }, (_, index) => `DA:${index + 1},${index < covered ? 3 : 0}`),
    'end_of_record',
  ].join('\n');

describe('checkCoverage()', () => {
  it('weighs files by their lines, part by part', () => {
    const lcov = [
      record('node/core/raft/raft.ts', 90, 90),
      record('node/node.ts', 10, 0),
      record('node/io/http/server.ts', 100, 60),
      record('node/main.ts', 10, 10),
    ].join('\n');
    const totals: Record<string, number> = { 'node/core/raft/raft.ts': 90, 'node/io/http/server.ts': 100 };
    const [pure, whole] = checkCoverage(lcov, (path) => source(totals[path] ?? 10), never);
    expect(pure).toMatchObject({ linesPercent: 90, ok: true, worst: [{ path: 'node/node.ts', uncovered: 10 }] });
    expect(whole).toMatchObject({ ok: false });
    expect(whole?.linesPercent).toBeCloseTo((100 * 160) / 210);
    expect(whole?.worst[0]).toEqual({ path: 'node/io/http/server.ts', uncovered: 40 });
  });

  it('counts lines that a started process has run for the whole, but not for the pure rooms', () => {
    const hasRun = (_path: string, offset: number): boolean => offset < 3 * 'run();\n'.length;
    const [pure, whole] = checkCoverage(record('node/node.ts', 4, 1), () => source(4), hasRun);
    expect(pure).toMatchObject({ linesPercent: 25 });
    expect(whole).toMatchObject({ linesPercent: 75 });
  });

  it('fails a part in which nothing was measured', () => {
    const results = checkCoverage(record('cli/distric.ts', 10, 10), () => source(10), never);
    expect(results.map(({ ok }) => ok)).toEqual([false, true]);
  });
});

describe('codeLines()', () => {
  it('leaves out comments, blank lines, imports and types', () => {
    const text = [
      '/** A comment. */',
      "import type { A } from './a.ts';",
      'export interface B {',
      '  c: number;',
      '}',
      '',
      'export function d(b: string): number;',
      'export function d(b: B): number {',
      '  // Another.',
      '  return b.c;',
      '}',
    ].join('\n');
    expect([...codeLines(text).keys()]).toEqual([8, 10]);
    expect(text.slice(codeLines(text).get(10))).toMatch(/^return/);
  });
});
