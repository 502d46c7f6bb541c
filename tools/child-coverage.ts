/**
 * Coverage of processes that tests start: nodes, plugin hosts, the CLI. Node writes V8's raw figures for each of them
 * into the folder NODE_V8_COVERAGE names. Types are stripped in place, so V8's offsets are offsets in the source.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Range {
  startOffset: number;
  endOffset: number;
  count: number;
}

interface Script {
  url: string;
  functions: { ranges: Range[] }[];
}

/** The test runner's own processes compile the sources differently, so that their offsets mean something else. */
const TEST_RUNNER = /\/node_modules\/jest-(?:runner|worker)\//;

/** Offsets in a source that some process has run, by path relative to `rootDir`. */
export class ChildCoverage {
  readonly #ranges = new Map<string, Range[][]>();

  static read(folder: string, rootDir: string): ChildCoverage {
    const coverage = new ChildCoverage();
    for (const name of readdirSync(folder)) {
      const { result } = JSON.parse(readFileSync(join(folder, name), 'utf8')) as { result: Script[] };
      coverage.add(result, rootDir);
    }
    return coverage;
  }

  add(scripts: readonly Script[], rootDir: string): void {
    if (scripts.some(({ url }) => TEST_RUNNER.test(url))) return;
    for (const { url, functions } of scripts) {
      if (!url.startsWith('file:')) continue;
      const path = fileURLToPath(url.replace(/[?#].*$/, ''));
      if (!path.startsWith(`${rootDir}/`)) continue;
      const relative = path.slice(rootDir.length + 1);
      const runs = this.#ranges.get(relative) ?? [];
      runs.push(functions.flatMap(({ ranges }) => ranges));
      this.#ranges.set(relative, runs);
    }
  }

  get files(): readonly string[] {
    return [...this.#ranges.keys()];
  }

  /** Within one process the innermost range decides, and V8 lists outer ranges before inner ones. */
  hasRun(path: string, offset: number): boolean {
    return (this.#ranges.get(path) ?? []).some((ranges) => {
      let count = 0;
      for (const range of ranges) if (range.startOffset <= offset && offset < range.endOffset) count = range.count;
      return count > 0;
    });
  }
}
