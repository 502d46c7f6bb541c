/** Which request headers become part of a message, and those that steer its acceptance. */
import type { IncomingHttpHeaders } from 'node:http';
import { isKeptHeader } from '../../../api/kept-headers.ts';
import { IDEMPOTENCY_KEY_CHARS_MAX, SOURCE_CHARS_MAX } from '../../../api/rest.ts';
import { DistricError } from '../../../base/errors.ts';
import type { Envelope } from './ingest.ts';
import type { ApiLimits } from './limits.ts';

function refuse(field: string, reason: string): never {
  throw new DistricError('INVALID_REQUEST', `header ${field}: ${reason}`, [{ field, reason }]);
}

function plainHeader(headers: IncomingHttpHeaders, name: string, label: string, charsMax: number): string | undefined {
  const value = headers[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || value.length === 0 || value.length > charsMax || !/^[\x21-\x7e]+$/.test(value)) {
    refuse(label, `must be 1 to ${charsMax} visible ASCII characters without spaces, given once`);
  }
  return value;
}

export function idempotencyKeyOf(headers: IncomingHttpHeaders): string | undefined {
  return plainHeader(headers, 'idempotency-key', 'Idempotency-Key', IDEMPOTENCY_KEY_CHARS_MAX);
}

/** `Distric-Source`, and the `x-` and `ce-` headers. Throws INVALID_REQUEST over the limits: nothing is cut silently. */
export function envelopeOf(request: IncomingHttpHeaders, limits: ApiLimits): Envelope {
  const envelope: Envelope = {};
  const source = plainHeader(request, 'distric-source', 'Distric-Source', SOURCE_CHARS_MAX);
  if (source !== undefined) envelope.source = source;
  let kept: Record<string, string> | undefined;
  let count = 0;
  let bytes = 0;
  for (const name in request) {
    if (!isKeptHeader(name)) continue;
    const value = request[name];
    if (typeof value !== 'string') continue;
    bytes += name.length + value.length;
    if (++count > limits.keptHeadersMax) refuse(name, `more than ${limits.keptHeadersMax} x- and ce- headers`);
    if (bytes > limits.keptHeaderBytesMax) {
      refuse(name, `the x- and ce- headers have more than ${limits.keptHeaderBytesMax} bytes together`);
    }
    kept ??= {};
    kept[name] = value;
  }
  if (kept !== undefined) envelope.headers = kept;
  return envelope;
}
