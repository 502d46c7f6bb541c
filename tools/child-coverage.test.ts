import { execFileSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { ChildCoverage } from './child-coverage.ts';

const SOURCE = [
  'interface Unseen { a: number }',
  'function run(flag: boolean): string {',
  "  if (flag) return 'taken';",
  "  return 'left';",
  '}',
  "function never(): string { return 'never'; }",
  'run(true); void never;',
].join('\n');

describe('ChildCoverage', () => {
  it('tells what a real process has run from what it has not, in places of the source', () => {
    const dir = realpathSync(mkdtempSync(join(tmpdir(), 'distric-coverage-')));
    try {
      writeFileSync(join(dir, 'x.ts'), SOURCE);
      writeFileSync(join(dir, 'package.json'), '{"type":"module"}');
      const env = { ...process.env, NODE_V8_COVERAGE: join(dir, 'raw') };
      execFileSync(process.execPath, ['--no-warnings', join(dir, 'x.ts')], { env });
      const coverage = ChildCoverage.read(join(dir, 'raw'), dir);
      expect(coverage.files).toEqual(['x.ts']);
      const hasRun = (text: string): boolean => coverage.hasRun('x.ts', SOURCE.indexOf(text));
      expect(["return 'taken'", "return 'left'", "return 'never'", 'run(true)'].map(hasRun)).toEqual([
        true,
        false,
        false,
        true,
      ]);
      expect(coverage.hasRun('y.ts', 0)).toBe(false);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('counts a place that one of several processes has run, and leaves the test runner out', () => {
    const script = (count: number): Parameters<ChildCoverage['add']>[0] => [
      { url: 'file:///x/a.ts', functions: [{ ranges: [{ startOffset: 0, endOffset: 9, count }] }] },
    ];
    const coverage = new ChildCoverage();
    coverage.add(script(0), '/x');
    coverage.add([...script(1), { url: 'file:///x/node_modules/jest-worker/build/a.js', functions: [] }], '/x');
    expect(coverage.hasRun('a.ts', 3)).toBe(false);
    coverage.add(script(1), '/x');
    expect(coverage.hasRun('a.ts', 3)).toBe(true);
  });
});
