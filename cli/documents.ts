/** Rules and workflows from files, directories and standard input, as `apply -f` and `validate -f` take them. */
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { isScalar, parseAllDocuments, visit } from 'yaml';
import type { Document } from 'yaml';
import { parseDocuments } from '../api/documents.ts';
import { parseJson } from '../api/json.ts';
import type { Rule } from '../api/rule.ts';
import type { Workflow } from '../api/workflow.ts';
import type { FieldError } from '../base/errors.ts';
import { DistricError } from '../base/errors.ts';
import { CliError, EXIT } from './exit-code.ts';
import { readAll } from './terminal.ts';
import type { Io } from './terminal.ts';

export interface Placed<T> {
  document: T;
  /** `rules.yaml`, or `rules.yaml#2` for the second document of several. */
  place: string;
}

export interface LoadedDocuments {
  workflows: Placed<Workflow>[];
  rules: Placed<Rule>[];
  /** What was left out, and why. */
  warnings: string[];
}

interface Source {
  /** As shown to the user. */
  name: string;
  text: string;
  /** Named by the user, not found in a directory: then it has to hold something. */
  named: boolean;
}

const DOCUMENT_FILE = /\.(ya?ml|json)$/iu;
const PLUGIN_FILE = /\.plugin\.(ts|js|mjs)$/u;
const FILES_MAX = 10_000;
const DOCUMENT_BYTES_MAX = 16 * 1024 * 1024;
const API_GROUP = 'distric.io/';
const KINDS = new Set(['Rule', 'Workflow']);
const WRAPPERS = new Set(['rule', 'rules', 'workflow', 'workflows']);

/** @throws CliError REFUSED with every fault of every document, each named by file and field. */
export async function loadDocuments(paths: readonly string[], io: Io): Promise<LoadedDocuments> {
  const loaded: LoadedDocuments = { workflows: [], rules: [], warnings: [] };
  const faults: FieldError[] = [];
  for (const given of paths) {
    for (const source of await readSources(given, io)) loadSource(source, loaded, faults);
  }
  findDuplicates('workflow', loaded.workflows, faults);
  findDuplicates('rule', loaded.rules, faults);
  if (faults.length > 0) {
    throw new CliError(EXIT.REFUSED, `${String(faults.length)} ${plural(faults.length, 'fault')} found`, faults);
  }
  return loaded;
}

export function plural(count: number, noun: string): string {
  return count === 1 ? noun : `${noun}s`;
}

/** The directories at or below `paths` that hold plugin files, for the workers' configuration. */
export async function findPluginDirs(paths: readonly string[], io: Io): Promise<string[]> {
  const dirs = new Set<string>();
  for (const given of paths) {
    if (given === '-') continue;
    for (const file of await listFiles(path.resolve(io.cwd, given), given)) {
      if (PLUGIN_FILE.test(file)) dirs.add(path.dirname(file));
    }
  }
  return [...dirs];
}

async function readSources(given: string, io: Io): Promise<Source[]> {
  if (given === '-') return [{ name: 'stdin', text: await readAll(io.stdin), named: true }];
  const absolute = path.resolve(io.cwd, given);
  const files = await listFiles(absolute, given);
  const sources: Source[] = [];
  for (const file of files) {
    const named = file === absolute;
    if (!named && !DOCUMENT_FILE.test(file)) continue;
    const name = displayName(io.cwd, file);
    if ((await stat(file)).size > DOCUMENT_BYTES_MAX) {
      throw new CliError(EXIT.REFUSED, `${name} is larger than ${String(DOCUMENT_BYTES_MAX)} bytes`);
    }
    sources.push({ name, text: await readFile(file, 'utf8'), named });
  }
  return sources;
}

/** Relative where that is shorter to read. */
function displayName(cwd: string, file: string): string {
  const relative = path.relative(cwd, file);
  return relative.startsWith('..') ? file : relative;
}

/** The file itself, or all files below the directory in the order of their names; no hidden folders, no node_modules. */
async function listFiles(absolute: string, given: string): Promise<string[]> {
  const stats = await stat(absolute).catch(() => undefined);
  if (stats === undefined) throw new CliError(EXIT.NOT_FOUND, `there is no file or directory ${given}`);
  if (!stats.isDirectory()) return [absolute];
  const files: string[] = [];
  const folders = [absolute];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (entry.name.startsWith('.') || entry.name === 'node_modules') continue;
      const child = path.join(folder, entry.name);
      if (entry.isDirectory()) folders.push(child);
      else if (entry.isFile()) files.push(child);
    }
    if (files.length > FILES_MAX) {
      throw new CliError(
        EXIT.REFUSED,
        `${given} holds more than ${String(FILES_MAX)} files: name the folders you mean`,
      );
    }
  }
  return files.sort();
}

type Parsed = { value: unknown } | { fault: string };

function loadSource(source: Source, loaded: LoadedDocuments, faults: FieldError[]): void {
  const documents = source.name.toLowerCase().endsWith('.json') ? [parseJsonText(source.text)] : parseYaml(source.text);
  documents.forEach((parsed, index) => {
    const place = documents.length === 1 ? source.name : `${source.name}#${String(index + 1)}`;
    if ('fault' in parsed) {
      faults.push({ field: place, reason: parsed.fault });
      return;
    }
    const otherKind = otherKindOf(parsed.value);
    if (otherKind !== undefined)
      loaded.warnings.push(`${place}: left out: ${otherKind} is neither a Rule nor a Workflow`);
    else if (source.named || isOurs(parsed.value)) loadValue(parsed.value, place, loaded, faults);
    else loaded.warnings.push(`${place}: left out: neither a rule nor a workflow`);
  });
}

function loadValue(value: unknown, place: string, loaded: LoadedDocuments, faults: FieldError[]): void {
  try {
    const { rules, workflows } = parseDocuments([value]);
    loaded.rules.push(...rules.map((document) => ({ document, place })));
    loaded.workflows.push(...workflows.map((document) => ({ document, place })));
  } catch (error) {
    if (!(error instanceof DistricError)) throw error;
    if (error.fields.length === 0) faults.push({ field: place, reason: error.message });
    for (const { field, reason } of error.fields) {
      faults.push({ field: field === '$' ? place : `${place}: ${field}`, reason });
    }
  }
}

function parseJsonText(text: string): Parsed {
  try {
    return { value: parseJson(text) };
  } catch (error) {
    return { fault: error instanceof Error ? error.message : String(error) };
  }
}

function parseYaml(text: string): Parsed[] {
  const documents: Parsed[] = [];
  for (const document of parseAllDocuments(text)) {
    const [error] = document.errors;
    const fault =
      error === undefined ? inexactInteger(document) : (error.message.split('\n')[0] ?? '').replace(/:$/u, '');
    if (fault !== undefined) documents.push({ fault });
    // Empty documents are what a stray `---` leaves.
    else if (!isEmpty(document)) documents.push(toValue(document));
  }
  return documents;
}

function toValue(document: Document.Parsed): Parsed {
  try {
    return { value: document.toJS() };
  } catch (error) {
    // Aliases that would expand without end.
    return { fault: error instanceof Error ? error.message : String(error) };
  }
}

function isEmpty({ contents }: Document.Parsed): boolean {
  return contents === null || (isScalar(contents) && contents.value === null);
}

/** Half of the digits would be lost without a word. */
function inexactInteger(document: Document.Parsed): string | undefined {
  let fault: string | undefined;
  visit(document, {
    Scalar(_, { value, source }) {
      if (typeof value !== 'number' || !Number.isInteger(value) || Number.isSafeInteger(value)) return;
      fault ??= `the integer ${source ?? String(value)} is beyond 2^53: quote it to keep it as text`;
    },
  });
  return fault;
}

/** `DistricCluster` and the like: resources that another program takes. */
function otherKindOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('kind' in value) || !('apiVersion' in value)) return undefined;
  const { apiVersion, kind } = value;
  if (typeof kind !== 'string' || typeof apiVersion !== 'string') return undefined;
  return apiVersion.startsWith(API_GROUP) && KINDS.has(kind) ? undefined : `${apiVersion} ${kind}`;
}

/** By the outermost keys alone: events and package files lie beside the documents in a directory. */
function isOurs(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0 && value.every((item) => !Array.isArray(item) && isOurs(item));
  if (typeof value !== 'object' || value === null) return false;
  const keys = Object.keys(value);
  if ('apiVersion' in value && 'kind' in value) return true;
  // An event may have a `workflow` too, but not alone.
  if (keys.length > 0 && keys.every((key) => WRAPPERS.has(key))) return true;
  return 'tasks' in value || ('conditions' in value && 'actions' in value);
}

function findDuplicates(kind: string, placed: readonly Placed<{ id: string }>[], faults: FieldError[]): void {
  const places = new Map<string, string>();
  for (const { document, place } of placed) {
    const other = places.get(document.id);
    if (other === undefined) places.set(document.id, place);
    else faults.push({ field: place, reason: `${kind} ${JSON.stringify(document.id)} is also defined in ${other}` });
  }
}
