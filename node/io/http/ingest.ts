/**
 * From the bytes of a request to items for the gateway: the hot path of the server. An item keeps a view of the
 * request's bytes as its payload, and is decoded and parsed once.
 */
import { isAscii, isUtf8 } from 'node:buffer';
import { parseMessage } from '../../../api/message.ts';
import { DistricError } from '../../../base/errors.ts';
import type { IncomingItem } from '../../requests.ts';
import type { ApiLimits } from './limits.ts';
import { splitArray, splitLines } from './split.ts';

/** What a request says about all its items. */
export interface Envelope {
  source?: string;
  headers?: Record<string, string>;
}

export interface RefusedAt {
  index: number;
  error: DistricError;
}

export interface Batch {
  /** The items that are fit for the gateway, in order. */
  items: IncomingItem[];
  /** The others, by their index among all, in order. */
  refused: RefusedAt[];
  /** Both together. */
  total: number;
}

type Encoding = 'latin1' | 'utf8';

function invalidUtf8(): DistricError {
  const reason = 'not valid UTF-8';
  return new DistricError('INVALID_JSON', `the body is ${reason}`, [{ field: 'body', reason }]);
}

/** ASCII decodes faster as Latin-1, byte by character. Undefined when the bytes are not UTF-8 at all. */
function encodingOf(bytes: Buffer): Encoding | undefined {
  if (isAscii(bytes)) return 'latin1';
  return isUtf8(bytes) ? 'utf8' : undefined;
}

function itemOf(payload: Buffer, value: Record<string, unknown>, envelope: Envelope): IncomingItem {
  const item: IncomingItem = { payload, value };
  if (envelope.source !== undefined) item.source = envelope.source;
  if (envelope.headers !== undefined) item.headers = envelope.headers;
  return item;
}

function itemTooLarge(bytes: number, itemBytesMax: number): DistricError {
  const reason = `the message has ${bytes} bytes; at most ${itemBytesMax} are taken`;
  return new DistricError('PAYLOAD_TOO_LARGE', reason, [{ field: 'body', reason }]);
}

/** One message of a request of its own. Throws PAYLOAD_TOO_LARGE, INVALID_JSON, INVALID_MESSAGE. */
export function readSingle(body: Buffer, limits: ApiLimits, envelope: Envelope): IncomingItem {
  if (body.length > limits.itemBytesMax) throw itemTooLarge(body.length, limits.itemBytesMax);
  const encoding = encodingOf(body);
  if (encoding === undefined) throw invalidUtf8();
  return itemOf(body, parseMessage(body.toString(encoding)), envelope);
}

function isSyntaxError(text: string): boolean {
  try {
    JSON.parse(text);
    return false;
  } catch {
    return true;
  }
}

function refusal(error: unknown): DistricError {
  if (error instanceof DistricError) return error;
  throw error;
}

/** A JSON array. An item that is JSON but no valid message is refused alone; broken JSON anywhere refuses the request. */
export function readArray(body: Buffer, limits: ApiLimits, envelope: Envelope): Batch {
  const encoding = encodingOf(body);
  if (encoding === undefined) throw invalidUtf8();
  const ranges = splitArray(body, limits.itemsMax);
  const batch = readRanges(body, ranges, encoding, limits, envelope);
  for (const { index, error } of batch.refused) {
    if (error.code !== 'INVALID_JSON') continue;
    if (!isSyntaxError(body.toString(encoding, ranges[2 * index], ranges[2 * index + 1]))) continue;
    const fields = error.fields.map(({ field, reason }) => ({ field: `[${index}] ${field}`.trim(), reason }));
    throw new DistricError('INVALID_JSON', `the array is not valid JSON at item ${index}: ${error.message}`, fields);
  }
  return batch;
}

/** NDJSON: each line stands for itself, a broken one too. */
export function readLines(body: Buffer, limits: ApiLimits, envelope: Envelope): Batch {
  return readRanges(body, splitLines(body, limits.itemsMax), encodingOf(body), limits, envelope);
}

function readRanges(
  body: Buffer,
  ranges: readonly number[],
  encoding: Encoding | undefined,
  limits: ApiLimits,
  envelope: Envelope,
): Batch {
  const total = ranges.length / 2;
  if (total === 0) {
    const reason = 'no message in it';
    throw new DistricError('INVALID_REQUEST', `the body has ${reason}`, [{ field: 'body', reason }]);
  }
  const items: IncomingItem[] = [];
  const refused: RefusedAt[] = [];
  for (let index = 0; index < total; index++) {
    const start = ranges[2 * index] ?? 0;
    const end = ranges[2 * index + 1] ?? 0;
    const payload = body.subarray(start, end);
    if (end - start > limits.itemBytesMax) {
      refused.push({ index, error: itemTooLarge(end - start, limits.itemBytesMax) });
    } else if (encoding === undefined && !isUtf8(payload)) {
      refused.push({ index, error: invalidUtf8() });
    } else {
      try {
        const value = parseMessage(body.toString(encoding ?? 'utf8', start, end));
        items.push(itemOf(payload, value, envelope));
      } catch (error) {
        refused.push({ index, error: refusal(error) });
      }
    }
  }
  return { items, refused, total };
}
