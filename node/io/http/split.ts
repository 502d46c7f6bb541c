/** Cuts a request body into the byte ranges of its items without parsing or copying them. */
import { DistricError } from '../../../base/errors.ts';

const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const BRACKET_OPEN = 0x5b;
const BACKSLASH = 0x5c;
const BRACKET_CLOSE = 0x5d;
const BRACE_OPEN = 0x7b;
const BRACE_CLOSE = 0x7d;

function isSpace(byte: number | undefined): boolean {
  return byte === SPACE || byte === LINE_FEED || byte === CARRIAGE_RETURN || byte === TAB;
}

/** Offset of the first byte that is not JSON white space; the length when there is none. */
export function skipSpace(bytes: Uint8Array, start: number): number {
  let at = start;
  while (at < bytes.length && isSpace(bytes[at])) at++;
  return at;
}

export function startsArray(bytes: Uint8Array): boolean {
  return bytes[skipSpace(bytes, 0)] === BRACKET_OPEN;
}

/** Appends the range [start, end) without the white space around it; false when nothing is left. */
function pushTrimmed(bytes: Uint8Array, start: number, end: number, ranges: number[]): boolean {
  let from = start;
  let to = end;
  while (from < to && isSpace(bytes[from])) from++;
  while (to > from && isSpace(bytes[to - 1])) to--;
  if (from === to) return false;
  ranges.push(from, to);
  return true;
}

function tooMany(itemsMax: number): DistricError {
  const reason = `more than ${itemsMax} messages in one request: send them in several`;
  return new DistricError('PAYLOAD_TOO_LARGE', reason, [{ field: 'body', reason }]);
}

function broken(index: number, reason: string): DistricError {
  return new DistricError('INVALID_JSON', `the array is not valid JSON at item ${index}: ${reason}`, [
    { field: `[${index}]`, reason },
  ]);
}

/** Ranges of the lines of NDJSON, flat (start, end, start, end, …); blank lines are left out. */
export function splitLines(bytes: Buffer, itemsMax: number): number[] {
  const ranges: number[] = [];
  let start = 0;
  while (start < bytes.length) {
    const found = bytes.indexOf(LINE_FEED, start);
    const end = found === -1 ? bytes.length : found;
    pushTrimmed(bytes, start, end, ranges);
    if (ranges.length > 2 * itemsMax) throw tooMany(itemsMax);
    start = end + 1;
  }
  return ranges;
}

/** Offset of the quote that ends the string opened before `start`, or the length when none does. */
function stringEnd(bytes: Uint8Array, start: number): number {
  let at = start;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return Math.min(at, bytes.length);
}

/**
 * Ranges of the items of a JSON array, flat; each must still be parsed. Only what decides where items begin and end
 * is checked here, with a counter instead of a stack, so depth costs nothing.
 * Throws INVALID_JSON when the array itself is broken, PAYLOAD_TOO_LARGE over `itemsMax`.
 */
export function splitArray(bytes: Uint8Array, itemsMax: number): number[] {
  const ranges: number[] = [];
  const open = skipSpace(bytes, 0);
  let depth = 0;
  let itemStart = open + 1;
  for (let at = open; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      at = stringEnd(bytes, at + 1);
    } else if (byte === BRACE_OPEN || byte === BRACKET_OPEN) {
      depth++;
    } else if (byte === BRACE_CLOSE || byte === BRACKET_CLOSE) {
      depth--;
      if (depth === 0) {
        const filled = pushTrimmed(bytes, itemStart, at, ranges);
        if (!filled && ranges.length > 0) throw broken(ranges.length / 2, 'nothing after the last comma');
        if (byte === BRACE_CLOSE) throw broken(ranges.length / 2, 'the array is closed by }');
        if (skipSpace(bytes, at + 1) < bytes.length) throw broken(ranges.length / 2, 'text after the end of the array');
        if (ranges.length > 2 * itemsMax) throw tooMany(itemsMax);
        return ranges;
      }
    } else if (byte === COMMA && depth === 1) {
      if (!pushTrimmed(bytes, itemStart, at, ranges)) throw broken(ranges.length / 2, 'nothing before the comma');
      if (ranges.length > 2 * itemsMax) throw tooMany(itemsMax);
      itemStart = at + 1;
    }
  }
  throw broken(ranges.length / 2, 'the body ends before the array does');
}
