/**
 * Checks documents against their schemas and says what is wrong in words for people:
 * the place as a path (`tasks[2].depends_on[0]`), the value quoted, the nearest known word.
 */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import type { Static, TSchema } from 'typebox';
import { DistricError, type FieldError } from '../base/errors.ts';
import { nearestWord } from './nearest-word.ts';

/** More faults than these are counted, not told. */
export const FAULTS_MAX = 20;
/** Values (scalars, lists and objects) in one document; bounds the work on YAML aliases and on hostile input. */
const DOCUMENT_VALUES_MAX = 100_000;
/** Room for 32 levels of conditions (two levels of JSON each) in any of the wrappers. */
export const DOCUMENT_DEPTH_MAX = 72;
const QUOTE_LENGTH_MAX = 60;
/** How the document itself is called where a path would be empty. */
const ROOT = '$';

const ajv = new Ajv({ allErrors: true, verbose: true, strict: true, allowUnionTypes: true });

/** Returns the faults; none means that the input has the schema's type. */
export type Check<T> = (input: unknown, at: string) => { value: T } | { faults: FieldError[] };

/** Compiles `schema` once. Properties named in `reserved` are known words that this version does not execute. */
export function compileCheck<S extends TSchema>(schema: S, reserved: readonly string[] = []): Check<Static<S>> {
  const validate: ValidateFunction = ajv.compile(schema);
  return (input, at) => {
    if (validate(input)) return { value: input as Static<S> };
    return { faults: tellFaults(validate.errors ?? [], at, reserved) };
  };
}

/** Like `compileCheck`, for a whole document called `what`: returns the typed value or throws INVALID_DOCUMENT. */
export function compileParse<S extends TSchema>(
  schema: S,
  reserved: readonly string[] = [],
): (what: string, input: unknown) => Static<S> {
  const check = compileCheck(schema, reserved);
  return (what, input) => {
    const checked = check(input, ROOT);
    if ('value' in checked) return checked.value;
    throw faultsError(what, checked.faults);
  };
}

/** Throws when there are faults: INVALID_DOCUMENT with the first of them in words and all (capped) as fields. */
export function refuseFaults(what: string, faults: readonly FieldError[]): void {
  if (faults.length > 0) throw faultsError(what, faults);
}

function faultsError(what: string, faults: readonly FieldError[]): DistricError {
  const more = faults.length > 1 ? ` (and ${faults.length > FAULTS_MAX ? 'many' : faults.length - 1} more)` : '';
  const first = `${faults[0]?.field ?? ROOT}: ${faults[0]?.reason ?? 'is not valid'}`;
  return new DistricError('INVALID_DOCUMENT', `${what} is not valid: ${first}${more}`, faults.slice(0, FAULTS_MAX));
}

/**
 * Refuses what is not a JSON value of bounded size (dates, NaN, functions, cycles by YAML aliases, `__proto__` keys):
 * everything after this may walk the document without a second thought. Throws INVALID_DOCUMENT.
 */
export function refuseUnbounded(what: string, input: unknown): void {
  const fault = boundFault(input, '', 0, { count: 0 });
  if (fault !== undefined) refuseFaults(what, [{ field: fault.field || ROOT, reason: fault.reason }]);
}

function boundFault(value: unknown, at: string, depth: number, seen: { count: number }): FieldError | undefined {
  if (++seen.count > DOCUMENT_VALUES_MAX) return { field: at, reason: `more than ${DOCUMENT_VALUES_MAX} values` };
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined;
  if (typeof value === 'number') {
    return Number.isFinite(value) ? undefined : { field: at, reason: `${value} is not a finite number` };
  }
  if (typeof value !== 'object' || !isPlain(value)) return { field: at, reason: 'is not a JSON value' };
  if (depth >= DOCUMENT_DEPTH_MAX) return { field: at, reason: `nested deeper than ${DOCUMENT_DEPTH_MAX} levels` };
  for (const [key, inner] of Object.entries(value)) {
    const place = Array.isArray(value) ? `${at}[${key}]` : joinPath(at, key);
    if (key === '__proto__') return { field: place, reason: 'this property name is not allowed' };
    const fault = boundFault(inner, place, depth + 1, seen);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (Array.isArray(value) || prototype === null) return true;
  // An object of another realm (a test runner's sandbox) has a root prototype too, only not ours.
  return prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}

function joinPath(base: string, name: string): string {
  return base === '' || base === ROOT ? name : `${base}.${name}`;
}

/** A value in an error text: as JSON, cut to a readable length. */
export function quote(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = typeof value === 'string' ? JSON.stringify(value.slice(0, QUOTE_LENGTH_MAX + 1)) : String(value);
  return text.length > QUOTE_LENGTH_MAX + 2 ? `${text.slice(0, QUOTE_LENGTH_MAX)}…"` : text;
}

function tellFaults(errors: readonly ErrorObject[], at: string, reserved: readonly string[]): FieldError[] {
  const unions = new Set(errors.filter((error) => error.keyword === 'anyOf').map((error) => `${error.schemaPath}/`));
  const constants = new Set(errors.filter((error) => error.keyword === 'const').map((error) => error.instancePath));
  const told = errors.filter((error) => {
    if ([...unions].some((union) => error.schemaPath.startsWith(union))) return false;
    // A wrong type is no news beside the one value allowed.
    return error.keyword !== 'type' || !constants.has(error.instancePath);
  });
  return told.slice(0, FAULTS_MAX + 1).map((error) => tellFault(error, at, reserved));
}

function tellFault(error: ErrorObject, at: string, reserved: readonly string[]): FieldError {
  const field = pointerPath(at, error.instancePath);
  const params = error.params as Record<string, unknown>;
  if (error.keyword === 'required') {
    return { field: joinPath(field, String(params['missingProperty'])), reason: 'is required' };
  }
  if (error.keyword === 'additionalProperties') {
    const name = String(params['additionalProperty']);
    const known = Object.keys((error.parentSchema?.['properties'] ?? {}) as Record<string, unknown>);
    return { field: joinPath(field, name), reason: unknownProperty(name, known, reserved) };
  }
  return { field: field || ROOT, reason: tellValue(error, params) };
}

function unknownProperty(name: string, known: readonly string[], reserved: readonly string[]): string {
  if (reserved.includes(name)) return `${quote(name)} is not supported by this version`;
  return `unknown property ${quote(name)}${didYouMean(name, known)}`;
}

function didYouMean(word: string, known: readonly string[]): string {
  const nearest = nearestWord(word, known);
  return nearest === undefined ? ` (known: ${known.join(', ')})` : `; did you mean ${quote(nearest)}?`;
}

function tellValue(error: ErrorObject, params: Record<string, unknown>): string {
  const found = quote(error.data);
  const description: unknown = error.parentSchema?.['description'];
  switch (error.keyword) {
    case 'type':
      return `must be ${typeWord(String(params['type']))}, not ${found}`;
    case 'const':
      return `must be ${quote(params['allowedValue'])}, not ${found}`;
    case 'enum': {
      const allowed = (params['allowedValues'] as unknown[]).map(String);
      return `must be one of ${allowed.join(', ')}, not ${found}`;
    }
    case 'minItems':
    case 'maxItems': {
      const found = Array.isArray(error.data) ? error.data.length : 0;
      return `must have ${error.keyword === 'minItems' ? 'at least' : 'at most'} ${String(params['limit'])} items, not ${found}`;
    }
    default:
      if (typeof description === 'string') return `${found} is not ${description}`;
      return `${error.message ?? 'is not valid'}, not ${found}`;
  }
}

function typeWord(type: string): string {
  const words: Record<string, string> = {
    object: 'an object',
    array: 'a list',
    integer: 'a whole number',
    boolean: 'true or false',
    string: 'text',
  };
  return words[type] ?? `a ${type}`;
}

/** From `/tasks/2/depends_on/0` (RFC 6901) to `tasks[2].depends_on[0]`. */
function pointerPath(at: string, pointer: string): string {
  let path = at === ROOT ? '' : at;
  for (const segment of pointer.split('/').slice(1)) {
    const name = segment.replaceAll('~1', '/').replaceAll('~0', '~');
    path = /^[0-9]+$/.test(name) ? `${path}[${name}]` : joinPath(path, name);
  }
  return path;
}
