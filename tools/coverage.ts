/**
 * Line coverage of parts of the tree, from the `lcov.info` that the test runner writes and from the processes that tests
 * start. V8 counts every line of a file, comments, blank lines and types too; only lines with code that runs count here.
 */
import ts from 'typescript';

export interface CoverageGate {
  name: string;
  includes: (path: string) => boolean;
  /** Least share of covered lines, in percent, over all files of the part together. */
  linesPercentMin: number;
  /** Whether a line counts that only a process started by a test has run: it was run, but not looked at. */
  countsChildren: boolean;
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
const PURE = /^(?:base|api|node\/core|operator\/planner)\/|^node\/(?!main\.ts$)[^/]+$/;

export const COVERAGE_GATES: readonly CoverageGate[] = [
  { name: 'pure rooms', includes: (path) => PURE.test(path), linesPercentMin: 90, countsChildren: false },
  { name: 'whole tree', includes: () => true, linesPercentMin: 80, countsChildren: true },
];

/** A part without any line of code fails: then nothing was measured. */
export function checkCoverage(
  lcov: string,
  readSource: (path: string) => string,
  hasRunInChild: (path: string, offset: number) => boolean,
  gates: readonly CoverageGate[] = COVERAGE_GATES,
): CoverageResult[] {
  const files = [...hitsByFile(lcov)].map(([path, hits]) => {
    const code = [...codeLines(readSource(path))];
    const missed = code.filter(([line]) => (hits.get(line) ?? 0) === 0);
    const missedByAll = missed.filter(([, offset]) => !hasRunInChild(path, offset));
    return { path, total: code.length, missed: missed.length, missedByAll: missedByAll.length };
  });
  return gates.map(({ name, includes, linesPercentMin, countsChildren }) => {
    const part = files
      .filter(({ path }) => includes(path))
      .map(({ path, total, missed, missedByAll }) => ({
        path,
        total,
        uncovered: countsChildren ? missedByAll : missed,
      }));
    const total = part.reduce((sum, file) => sum + file.total, 0);
    const uncovered = part.reduce((sum, file) => sum + file.uncovered, 0);
    const linesPercent = total === 0 ? 0 : (100 * (total - uncovered)) / total;
    const worst = part
      .filter((file) => file.uncovered > 0)
      .sort((a, b) => b.uncovered - a.uncovered)
      .slice(0, WORST_SHOWN)
      .map((file) => ({ path: file.path, uncovered: file.uncovered }));
    return { name, linesPercent, linesPercentMin, ok: linesPercent >= linesPercentMin, worst };
  });
}

/** The lines (from 1) on which something that runs begins, each with the offset of the first such thing. */
export function codeLines(text: string): Map<number, number> {
  const source = ts.createSourceFile('x.ts', text, ts.ScriptTarget.ES2024, true);
  const lines = new Map<number, number>();
  const visit = (node: ts.Node): void => {
    if (isErased(node)) return;
    if (node !== source) {
      const offset = node.getStart(source);
      const line = source.getLineAndCharacterOfPosition(offset).line + 1;
      lines.set(line, Math.min(lines.get(line) ?? Infinity, offset));
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return lines;
}

/** What is not there when the program runs, or runs whenever the file is loaded at all. */
function isErased(node: ts.Node): boolean {
  const isSignature = ts.isFunctionLike(node) && !('body' in node && node.body !== undefined);
  return (
    ts.isTypeNode(node) ||
    ts.isInterfaceDeclaration(node) ||
    ts.isTypeAliasDeclaration(node) ||
    ts.isTypeParameterDeclaration(node) ||
    ts.isImportDeclaration(node) ||
    (ts.isExportDeclaration(node) && node.isTypeOnly) ||
    isSignature ||
    node.kind === ts.SyntaxKind.EndOfFileToken
  );
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
