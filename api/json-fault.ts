/** The slow, careful reader behind `parseJson`: finds the first fault of a JSON text and names its place. */
import type { FieldError } from '../base/errors.ts';

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const LITERAL = /true|false|null/y;
const SPACE = /[ \t\n\r]*/y;

const KEY_QUOTE_LENGTH_MAX = 100;
const SAFE_DIGITS = 15;
/** Beyond this doubles skip integers. */
const INTEGER_MAX = 2n ** 53n;

/** Thrown and caught inside this file: carries the fault up through the recursion. */
class Fault extends Error {
  readonly field: string;
  readonly reason: string;

  constructor(path: readonly (string | number)[], reason: string) {
    super(reason);
    this.field = tellPath(path);
    this.reason = reason;
  }
}

/** The first fault in the order of the text; undefined when the text is strict JSON no deeper than `depthMax`. */
export function findJsonFault(text: string, depthMax: number): FieldError | undefined {
  try {
    new Reader(text, depthMax).readDocument();
    return undefined;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { field: error.field, reason: error.reason };
  }
}

function tellPath(path: readonly (string | number)[]): string {
  let told = '';
  for (const step of path) {
    if (typeof step === 'number') told += `[${step}]`;
    else told += (told === '' ? '' : '.') + step.slice(0, KEY_QUOTE_LENGTH_MAX);
  }
  return told === '' ? '$' : told;
}

class Reader {
  readonly #text: string;
  readonly #depthMax: number;
  readonly #path: (string | number)[] = [];
  #at = 0;

  constructor(text: string, depthMax: number) {
    this.#text = text;
    this.#depthMax = depthMax;
  }

  readDocument(): void {
    this.#readValue();
    this.#take(SPACE);
    if (this.#at < this.#text.length) throw this.#syntaxFault('the end of the text');
  }

  #readValue(): void {
    this.#take(SPACE);
    const first = this.#text[this.#at];
    if (first === '{') this.#readObject();
    else if (first === '[') this.#readList();
    else if (first === '"')
      this.#readString('a string with its closing quote, valid escapes and no raw control characters');
    else if (first === '-' || (first !== undefined && first >= '0' && first <= '9')) this.#readNumber();
    else if (this.#take(LITERAL) === undefined) throw this.#syntaxFault('a value');
  }

  #readObject(): void {
    this.#enter();
    const keys = new Set<string>();
    for (let next = this.#firstItem('}'); next; next = this.#nextItem('}')) {
      this.#take(SPACE);
      const key = this.#readString('a property name in double quotes');
      this.#path.push(key);
      if (keys.has(key)) throw new Fault(this.#path, 'duplicate key');
      if (key === '__proto__') throw new Fault(this.#path, 'this property name is not allowed');
      keys.add(key);
      this.#take(SPACE);
      if (this.#text[this.#at] !== ':') throw this.#syntaxFault('":"');
      this.#at++;
      this.#readValue();
      this.#path.pop();
    }
  }

  #readList(): void {
    this.#enter();
    for (let next = this.#firstItem(']'), i = 0; next; next = this.#nextItem(']'), i++) {
      this.#path.push(i);
      this.#readValue();
      this.#path.pop();
    }
  }

  #enter(): void {
    if (this.#path.length >= this.#depthMax) {
      throw new Fault(this.#path, `nested deeper than ${this.#depthMax} levels`);
    }
    this.#at++;
  }

  #firstItem(close: string): boolean {
    this.#take(SPACE);
    if (this.#text[this.#at] !== close) return true;
    this.#at++;
    return false;
  }

  #nextItem(close: string): boolean {
    this.#take(SPACE);
    const mark = this.#text[this.#at];
    if (mark !== ',' && mark !== close) throw this.#syntaxFault(`"," or "${close}"`);
    this.#at++;
    return mark === ',';
  }

  #readString(expected: string): string {
    if (this.#text[this.#at] !== '"') throw this.#syntaxFault(expected);
    let end = this.#at + 1;
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === '\\' ? 2 : 1;
    try {
      // The native parser decides on escapes and control characters, as it does in the fast way.
      const value = JSON.parse(this.#text.slice(this.#at, end + 1)) as string;
      this.#at = end + 1;
      return value;
    } catch {
      throw this.#syntaxFault(expected);
    }
  }

  #readNumber(): void {
    const raw = this.#take(NUMBER);
    if (raw === undefined) throw this.#syntaxFault('a number');
    if (!Number.isFinite(Number(raw))) throw new Fault(this.#path, `${tellNumber(raw)} is not finite as a double`);
    const [whole = ''] = raw.replace('-', '').split('.');
    // With an exponent the writer did not spell an integer out, and expects a double.
    if (/[eE]/.test(raw) || whole.length <= SAFE_DIGITS || BigInt(whole) <= INTEGER_MAX) return;
    const reason = `${tellNumber(raw)} is beyond 2^53, where doubles skip integers; send it as text`;
    throw new Fault(this.#path, reason);
  }

  /** What `pattern` (sticky) matches here, passing over it; undefined, and no move, when it does not match. */
  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#text) ?? [];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #syntaxFault(expected: string): Fault {
    const before = this.#text.slice(0, this.#at);
    const line = before.split('\n').length;
    const column = this.#at - before.lastIndexOf('\n');
    const found = this.#text[this.#at];
    const told = found === undefined ? 'the text ends' : `there is ${JSON.stringify(found)}`;
    return new Fault(this.#path, `line ${line}, column ${column}: expected ${expected}, but ${told}`);
  }
}

function tellNumber(raw: string): string {
  return raw.length > 40 ? `${raw.slice(0, 40)}…` : raw;
}
