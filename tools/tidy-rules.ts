/** What the linter cannot see: rules over whole files, their names and their links. Each gives a list of findings. */
import { posix } from 'node:path';
import ts from 'typescript';
import { layerViolation } from './layers.ts';

export const FILE_LINES_MAX = 600;

/** One letter of each is in brackets, so that this file does not find itself. */
const UNFINISHED = /\b(?:[T]ODO|[F]IXME)\b/;
const MACHINE_PATH = /(?<![\w.$}-])\/(?:[w]ork|[r]oot|[h]ome\/\w+)\//;
const REGISTRY_HOST = /\b[r]egistry\.[a-z0-9-]+\.[a-z]{2,}|https?:\/\/[r]egistry\./;
const FOCUSED = /^(?:it|test|describe)\.(?:only|skip|todo|failing)\b|^(?:xit|xtest|xdescribe|fit|fdescribe)$/;
const EXPECTATION = /\b(?:expect|assert|check)\w*\s*[(.]/;
const FILE_NAME = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9-]+)+$/;

/** Findings in one TypeScript file; `path` is relative to the root. */
export function sourceFindings(path: string, text: string): string[] {
  const findings: string[] = [];
  const lines = text.split('\n').length;
  if (lines > FILE_LINES_MAX) findings.push(`${path} has ${lines} lines; the limit is ${FILE_LINES_MAX}`);
  const name = posix.basename(path);
  if (!FILE_NAME.test(name)) findings.push(`${path}: file names are kebab-case`);
  if (/^(?:index|utils?|helpers?)\./.test(name)) findings.push(`${path}: name a file by the noun it holds`);
  for (const imported of ts.preProcessFile(text, true, true).importedFiles) {
    const violation = layerViolation(path, importTarget(path, imported.fileName));
    if (violation !== undefined) findings.push(violation);
  }
  if (path.endsWith('.test.ts')) findings.push(...testFindings(path, text));
  return findings;
}

/** Findings in any text file of the project. */
export function textFindings(path: string, text: string): string[] {
  const findings: string[] = [];
  text.split('\n').forEach((line, index) => {
    const place = `${path}:${index + 1}`;
    if (UNFINISHED.test(line)) findings.push(`${place} leaves something to be done: do it or file an issue`);
    if (MACHINE_PATH.test(line)) findings.push(`${place} names a path of one machine`);
    if (REGISTRY_HOST.test(line)) findings.push(`${place} names a package registry`);
  });
  return findings;
}

/** Relative links of a Markdown page that lead nowhere. `exists` takes a path relative to the root. */
export function linkFindings(path: string, text: string, exists: (path: string) => boolean): string[] {
  const prose = text.replace(/^(?:```|~~~)[\s\S]*?^(?:```|~~~)/gm, '').replace(/`[^`\n]*`/g, '');
  const findings: string[] = [];
  for (const [, link] of prose.matchAll(/\]\(\s*<?([^)\s>]+)/g)) {
    if (link === undefined || /^[a-z][a-z0-9+.-]*:/i.test(link) || link.startsWith('#')) continue;
    const target = posix.normalize(posix.join(posix.dirname(path), decodeURIComponent(link.replace(/[#?].*$/, ''))));
    if (!exists(target)) findings.push(`${path} links to ${link}, which does not exist`);
  }
  return findings;
}

/** Pages that a comment or a text in the source sends its reader to, such as `docs/protocol.md`. */
export function mentionFindings(path: string, text: string, exists: (path: string) => boolean): string[] {
  const mentioned = new Set([...text.matchAll(/(?<![\w/.-])docs\/[\w./-]+\.md\b/g)].map((match) => match[0]));
  return [...mentioned].filter((page) => !exists(page)).map((page) => `${path} mentions ${page}, which does not exist`);
}

function testFindings(path: string, text: string): string[] {
  const findings: string[] = [];
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2024, true);
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) {
      const place = `${path}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
      if (FOCUSED.test(node.expression.getText())) findings.push(`${place} leaves a test out`);
      else if (isTestCall(node) && !EXPECTATION.test(node.arguments[1]?.getText() ?? '')) {
        findings.push(`${place} is a test that expects nothing`);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return findings;
}

/** `it(name, body)`, `test(name, body)` and `it.each(table)(name, body)`. */
function isTestCall(node: ts.CallExpression): boolean {
  const callee = ts.isCallExpression(node.expression)
    ? node.expression.expression.getText()
    : node.expression.getText();
  const isEach = ts.isCallExpression(node.expression) || ts.isTaggedTemplateExpression(node.expression);
  return isEach ? /^(?:it|test)\.each/.test(callee) : callee === 'it' || callee === 'test';
}

function importTarget(importer: string, specifier: string): string {
  return specifier.startsWith('.') ? posix.normalize(posix.join(posix.dirname(importer), specifier)) : specifier;
}
