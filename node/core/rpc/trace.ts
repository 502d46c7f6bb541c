/**
 * Trace context (W3C Trace Context, `traceparent`) of a call: a text field with the reserved tag 0xFFF0 behind the
 * fields of any message. It is always the last field and always of one length, so a message without it costs one look.
 */
import type { Host } from '../../../base/host.ts';
import { FIELD_HEADER_BYTES, getU16, getU32, putU16, putU32, WIRE_TYPES } from '../tlv/wire.ts';

const TRACE_TAG = 0xfff0;
const TRACEPARENT_CHARS = 55;
const TRACE_FIELD_BYTES = FIELD_HEADER_BYTES + TRACEPARENT_CHARS;
const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

export function isTraceparent(text: string): boolean {
  return TRACEPARENT.test(text);
}

/** `payload` with the field behind it. `traceparent` is one by `isTraceparent`. */
export function withTrace(host: Host, payload: Uint8Array, traceparent: string): Uint8Array {
  const traced = host.alloc(payload.length + TRACE_FIELD_BYTES);
  traced.set(payload, 0);
  traced[payload.length] = WIRE_TYPES.text;
  putU16(traced, payload.length + 1, TRACE_TAG);
  putU32(traced, payload.length + 3, TRACEPARENT_CHARS);
  host.writeText(traceparent, traced, payload.length + FIELD_HEADER_BYTES);
  return traced;
}

/** The trace context of a message; undefined when it has none, or none of this form. */
export function traceOf(host: Host, payload: Uint8Array): string | undefined {
  const at = payload.length - TRACE_FIELD_BYTES;
  if (at < 0 || getU16(payload, at + 1) !== TRACE_TAG || payload[at] !== WIRE_TYPES.text) return undefined;
  // Bytes inside another field may look the same: only a field boundary counts.
  let from = 0;
  while (from < at) from += FIELD_HEADER_BYTES + getU32(payload, from + 3);
  if (from !== at || getU32(payload, at + 3) !== TRACEPARENT_CHARS) return undefined;
  const text = host.readText(payload, at + FIELD_HEADER_BYTES, payload.length);
  return isTraceparent(text) ? text : undefined;
}
