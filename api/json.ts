/**
 * Strict JSON (RFC 8259): refuses what JSON.parse silently changes (duplicate keys, integers beyond 2^53, 1e400)
 * and what hurts later (deep nesting, `__proto__`).
 *
 * Every message passes here, so the good case is one scan of the text, the native parser, and one walk over
 * the result: as many keys in the result as colons outside strings in the text means no key came twice.
 * Only a text with something suspicious is read again, by `findJsonFault`, to find and name the place.
 */
import { DistricError } from '../base/errors.ts';
import { findJsonFault } from './json-fault.ts';

const JSON_DEPTH_MAX = 64;

export interface JsonLimits {
  /** Lists and objects inside each other; at most 512 because the walk is recursive. */
  depthMax: number;
}

const DEFAULT_LIMITS: JsonLimits = { depthMax: JSON_DEPTH_MAX };

/** Larger than any number of keys, so that one such value makes the sum miss the number of colons. */
const SUSPICIOUS = 2 ** 40;
const TOO_DEEP = -1;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** The value of `text`, or throws INVALID_JSON whose `fields` name the place (`items[3].id`, `$` for the root) and the reason. */
export function parseJson(text: string, limits: JsonLimits = DEFAULT_LIMITS): unknown {
  const colons = countColons(text, limits.depthMax);
  if (colons !== TOO_DEEP) {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw fault(text, limits);
    }
    if (countKeys(value) === colons || findJsonFault(text, limits.depthMax) === undefined) return value;
  }
  throw fault(text, limits);
}

function fault(text: string, limits: JsonLimits): DistricError {
  const found = findJsonFault(text, limits.depthMax) ?? { field: '$', reason: 'is not valid JSON' };
  return new DistricError('INVALID_JSON', `the JSON is not valid: ${found.field}: ${found.reason}`, [found]);
}

/** Colons outside strings, or TOO_DEEP. On text that is not JSON the number means nothing: the parser refuses it. */
function countColons(text: string, depthMax: number): number {
  let colons = 0;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      for (i++; i < text.length; i++) {
        const inner = text.charCodeAt(i);
        if (inner === QUOTE) break;
        if (inner === BACKSLASH) i++;
      }
    } else if (code === COLON) colons++;
    else if (code === OPEN_OBJECT || code === OPEN_LIST) {
      if (++depth > depthMax) return TOO_DEEP;
    } else if (code === CLOSE_OBJECT || code === CLOSE_LIST) depth--;
  }
  return colons;
}

/** Keys of all objects in `value`; far too many when a number or a key must be looked at in the text. */
function countKeys(value: unknown): number {
  if (typeof value === 'number') {
    return value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER ? SUSPICIOUS : 0;
  }
  if (typeof value !== 'object' || value === null) return 0;
  let keys = 0;
  if (Array.isArray(value)) {
    for (const item of value as unknown[]) keys += countKeys(item);
    return keys;
  }
  const object = value as Record<string, unknown>;
  for (const key in object) {
    keys += key === '__proto__' ? SUSPICIOUS : 1 + countKeys(object[key]);
  }
  return keys;
}
