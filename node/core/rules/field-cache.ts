/**
 * Fields of the message under evaluation, read at most once each, shared by all rules of a set.
 *
 * 1. A field text has one slot, whatever number of conditions name it.
 * 2. `undefined` means missing; a JSON null is `null`.
 * 3. Only own properties of objects and elements of lists are seen: `constructor` or `length` of nothing ever matches.
 * 4. A slot whose path has `[*]` holds the list of the values found; none found is missing.
 */
import { assert } from '../../../base/assert.ts';
import { parseFieldPath, type FieldPath, type PathStep } from '../../../api/field-path.ts';

/** What came with a message beside its payload; header names in lower case. */
export interface Envelope {
  source?: string;
  headers?: Readonly<Record<string, string>>;
}

type Message = Readonly<Record<string, unknown>>;
type Reader = (message: Message, envelope: Envelope) => unknown;

const NO_MESSAGE: Message = {};
const NO_ENVELOPE: Envelope = {};

export class FieldCache {
  readonly #slots = new Map<string, number>();
  readonly #many: boolean[] = [];
  readonly #readers: Reader[] = [];
  readonly #values: unknown[] = [];
  /** Number of the evaluation that a slot was read in: cheaper than clearing all slots each time. */
  readonly #readIn: number[] = [];
  #evaluation = 0;
  #message: Message = NO_MESSAGE;
  #envelope: Envelope = NO_ENVELOPE;

  /** The slot of a field path that validation has accepted. */
  slotOf(field: string): number {
    const known = this.#slots.get(field);
    if (known !== undefined) return known;
    const parsed = parseFieldPath(field);
    assert('path' in parsed, 'a compiled rule has valid field paths');
    const slot = this.#readers.length;
    this.#slots.set(field, slot);
    this.#many.push(parsed.path.origin === 'message' && parsed.path.steps.some((step) => step.kind === 'every'));
    this.#readers.push(compileReader(parsed.path));
    this.#values.push(undefined);
    this.#readIn.push(0);
    return slot;
  }

  /** True when the slot holds a list of values, one for each place the path leads to. */
  isMany(slot: number): boolean {
    return this.#many[slot] === true;
  }

  begin(message: Message, envelope: Envelope): void {
    this.#message = message;
    this.#envelope = envelope;
    this.#evaluation++;
  }

  read(slot: number): unknown {
    if (this.#readIn[slot] === this.#evaluation) return this.#values[slot];
    const value = this.#readers[slot]?.(this.#message, this.#envelope);
    this.#values[slot] = value;
    this.#readIn[slot] = this.#evaluation;
    return value;
  }
}

function compileReader(path: FieldPath): Reader {
  if (path.origin === 'source') return (_message, envelope) => envelope.source;
  if (path.origin === 'header') {
    const { name } = path;
    return (_message, envelope) => property(envelope.headers, name);
  }
  const { steps } = path;
  const [first] = steps;
  if (steps.length === 1 && first?.kind === 'name') {
    const { name } = first;
    return (message) => (Object.hasOwn(message, name) ? message[name] : undefined);
  }
  if (steps.some((step) => step.kind === 'every')) {
    return (message) => {
      const found: unknown[] = [];
      collect(message, steps, 0, found);
      return found.length === 0 ? undefined : found;
    };
  }
  return (message) => {
    let value: unknown = message;
    for (const step of steps) value = follow(value, step);
    return value;
  };
}

function follow(value: unknown, step: PathStep): unknown {
  if (step.kind === 'name') return property(value, step.name);
  return Array.isArray(value) && step.kind === 'index' ? value[step.index] : undefined;
}

function property(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}

/** Recursion is as deep as the path has `[*]`, and visits each place in the message at most once. */
function collect(start: unknown, steps: readonly PathStep[], from: number, found: unknown[]): void {
  let value = start;
  for (let i = from; i < steps.length; i++) {
    const step = steps[i];
    if (step === undefined || value === undefined) return;
    if (step.kind === 'every') {
      if (Array.isArray(value)) for (const item of value as unknown[]) collect(item, steps, i + 1, found);
      return;
    }
    value = follow(value, step);
  }
  if (value !== undefined) found.push(value);
}
