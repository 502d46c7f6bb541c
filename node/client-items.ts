/** Messages as they come over the binary protocol: held to the same rules as those over REST. */
import { isKeptHeader, KEPT_HEADER_BYTES_MAX, KEPT_HEADERS_MAX } from '../api/kept-headers.ts';
import { parseJson } from '../api/json.ts';
import { parseMessage } from '../api/message.ts';
import { IDEMPOTENCY_KEY_CHARS_MAX, SOURCE_CHARS_MAX } from '../api/rest.ts';
import { DistricError } from '../base/errors.ts';
import { encodeText, type Host } from '../base/host.ts';
import { uuidTimeMs } from '../base/uuid.ts';
import type { Body } from './core/tlv/messages.ts';
import type { IncomingItem } from './requests.ts';

/** Ids sort by their time: one that is far off would put a message where nobody looks. */
const ID_AGE_MS_MAX = 3_600_000;
const PLAIN_TEXT = /^[\x21-\x7e]+$/;
/** What a decoder puts for bytes that are no UTF-8; it may also be there by right. */
const REPLACEMENT = '\ufffd';

function refuse(field: string, reason: string): never {
  throw new DistricError('INVALID_REQUEST', `${field}: ${reason}`, [{ field, reason }]);
}

/** Throws INVALID_REQUEST. */
export function checkSource(source: string | undefined): void {
  if (source !== undefined && (source.length > SOURCE_CHARS_MAX || !PLAIN_TEXT.test(source))) {
    refuse('source', `must be 1 to ${SOURCE_CHARS_MAX} visible ASCII characters without spaces`);
  }
}

/** Throws INVALID_REQUEST, INVALID_JSON, INVALID_MESSAGE, PAYLOAD_TOO_LARGE. */
export function readItem(
  host: Host,
  { payload, idempotencyKey, headers, messageId }: Body<'CLIENT_MESSAGE'>['items'][number],
  source: string | undefined,
  itemBytesMax: number,
  wallMs: number,
): IncomingItem {
  if (payload.length > itemBytesMax) {
    const reason = `the message has ${payload.length} bytes; at most ${itemBytesMax} are taken`;
    throw new DistricError('PAYLOAD_TOO_LARGE', reason, [{ field: 'payload', reason }]);
  }
  const item: IncomingItem = { payload, value: parseMessage(readUtf8(host, payload)) };
  if (source !== undefined) item.source = source;
  if (idempotencyKey !== undefined) {
    if (idempotencyKey.length > IDEMPOTENCY_KEY_CHARS_MAX || !PLAIN_TEXT.test(idempotencyKey)) {
      const reason = `must be 1 to ${IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters without spaces`;
      refuse('idempotencyKey', reason);
    }
    item.idempotencyKey = idempotencyKey;
  }
  if (messageId !== undefined) {
    const timeMs = uuidTimeMs(messageId);
    if (timeMs === undefined || Math.abs(timeMs - wallMs) > ID_AGE_MS_MAX) {
      refuse('messageId', 'must be a UUIDv7 in lower case, made within the hour by the clock of this coordinator');
    }
    item.messageId = messageId;
  }
  if (headers !== undefined) item.headers = readHeaders(headers);
  return item;
}

/** Only where a replacement character shows up must the bytes be compared. */
function readUtf8(host: Host, bytes: Uint8Array): string {
  const text = host.readText(bytes, 0, bytes.length);
  if (!text.includes(REPLACEMENT)) return text;
  const again = encodeText(host, text);
  if (again.length === bytes.length && again.every((byte, i) => byte === bytes[i])) return text;
  const reason = 'not valid UTF-8';
  throw new DistricError('INVALID_JSON', `the message is ${reason}`, [{ field: 'payload', reason }]);
}

function readHeaders(text: string): Record<string, string> {
  if (text.length > 2 * KEPT_HEADER_BYTES_MAX) refuse('headers', `more than ${KEPT_HEADER_BYTES_MAX} bytes`);
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse('headers', 'must be a JSON object');
  const headers: Record<string, string> = {};
  let bytes = 0;
  let count = 0;
  for (const [name, content] of Object.entries(value)) {
    const field = `headers.${name.slice(0, 100)}`;
    if (!/^[a-z0-9-]+$/.test(name) || !isKeptHeader(name))
      refuse(field, 'only x- and ce- names, in lower case, are kept');
    if (typeof content !== 'string') refuse(field, 'must be text');
    bytes += name.length + content.length;
    if (++count > KEPT_HEADERS_MAX) refuse('headers', `more than ${KEPT_HEADERS_MAX}`);
    headers[name] = content;
  }
  if (bytes > KEPT_HEADER_BYTES_MAX) refuse('headers', `more than ${KEPT_HEADER_BYTES_MAX} bytes together`);
  return headers;
}
