/**
 * Line coverage of parts of the tree, from the `lcov.info` that the test runner writes. V8 counts every line of a file,
 * comments, blank lines and types too; only lines with code that runs are counted here.
 */
import { stripTypeScriptTypes } from 'node:module';
import ts from 'typescript';

export interface CoverageGate {
  name: string;
  includes: (path: string) => boolean;
  /** Least share of covered lines, in percent, over all files of the part together. */
  linesPercentMin: number;
}

export interface CoverageResult {
  name: string;
  linesPercent: number;
  linesPercentMin: number;
  ok: boolean;
  /** The files with most lines that no test reaches, worst first. */
  worst: readonly { path: string; uncovered: number }[];
}

const WORST_SHOWN = 8;

/** node/main.ts only joins drivers and runs as a process of its own. */
const PURE = /^(?:base|api|node\/core)\/|^node\/(?!main\.ts$)[^/]+$/;

export const COVERAGE_GATES: readonly CoverageGate[] = [
  { name: 'pure rooms', includes: (path) => PURE.test(path), linesPercentMin: 90 },
  { name: 'whole tree', includes: () => true, linesPercentMin: 80 },
];

/** A part without any line of code fails: then nothing was measured. */
export function checkCoverage(
  lcov: string,
  readSource: (path: string) => string,
  gates: readonly CoverageGate[] = COVERAGE_GATES,
): CoverageResult[] {
  const files = [...hitsByFile(lcov)].map(([path, hits]) => {
    const code = codeLines(readSource(path));
    const covered = [...code].filter((line) => (hits.get(line) ?? 0) > 0).length;
    return { path, total: code.size, covered, uncovered: code.size - covered };
  });
  return gates.map(({ name, includes, linesPercentMin }) => {
    const part = files.filter(({ path }) => includes(path));
    const total = part.reduce((sum, file) => sum + file.total, 0);
    const covered = part.reduce((sum, file) => sum + file.covered, 0);
    const linesPercent = total === 0 ? 0 : (100 * covered) / total;
    const worst = part
      .filter(({ uncovered }) => uncovered > 0)
      .sort((a, b) => b.uncovered - a.uncovered)
      .slice(0, WORST_SHOWN)
      .map(({ path, uncovered }) => ({ path, uncovered }));
    return { name, linesPercent, linesPercentMin, ok: linesPercent >= linesPercentMin, worst };
  });
}

/** Line numbers (from 1) on which something that runs begins. */
export function codeLines(text: string): Set<number> {
  const source = ts.createSourceFile('x.js', stripTypeScriptTypes(text), ts.ScriptTarget.ES2024);
  const lines = new Set<number>();
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isEmptyStatement(node) || node.kind === ts.SyntaxKind.EndOfFileToken) return;
    if (node !== source) lines.add(source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return lines;
}

function hitsByFile(lcov: string): Map<string, Map<number, number>> {
  const files = new Map<string, Map<number, number>>();
  let hits = new Map<number, number>();
  for (const line of lcov.split('\n')) {
    if (line.startsWith('SF:')) {
      hits = new Map();
      files.set(line.slice('SF:'.length), hits);
    } else if (line.startsWith('DA:')) {
      const [number, count] = line.slice('DA:'.length).split(',').map(Number);
      if (number !== undefined && count !== undefined) hits.set(number, count);
    }
  }
  return files;
}
