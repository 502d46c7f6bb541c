/** What a message may be: one JSON object of bounded size. */
import { DistricError } from '../base/errors.ts';
import { parseJson } from './json.ts';

export const MESSAGE_ITEM_BYTES_MAX = 1_048_576;
export const MESSAGE_REQUEST_BYTES_MAX = 16 * 1_048_576;

/**
 * The message in `text`. Throws INVALID_JSON, INVALID_MESSAGE when it is not an object, or PAYLOAD_TOO_LARGE.
 * The size check here counts UTF-16 units, never more than the bytes: whoever has the bytes checks them exactly.
 */
export function parseMessage(text: string): Record<string, unknown> {
  if (text.length > MESSAGE_ITEM_BYTES_MAX) {
    throw new DistricError('PAYLOAD_TOO_LARGE', `a message has at most ${MESSAGE_ITEM_BYTES_MAX} bytes`);
  }
  return requireMessage(parseJson(text));
}

/** The same check for a value that strict JSON has already given, such as one item of a list. Throws INVALID_MESSAGE. */
export function requireMessage(value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  const found = Array.isArray(value) ? 'a list' : value === null ? 'null' : `a ${typeof value}`;
  const reason = `a message is a JSON object, not ${found}`;
  throw new DistricError('INVALID_MESSAGE', reason, [{ field: '$', reason }]);
}
