/**
 * Recorded frames of every message: what is on the wire stays readable. A vector is never changed; when a message gets
 * a field, another one is added that has it (`node tools/record-vectors.ts`).
 */
import type { Host } from '../../../base/host.ts';
import { encodeFrame, FRAME_FLAGS } from './frame.ts';
import { encodeMessage, MESSAGES, type Message, type MessageKind } from './messages.ts';
import type { Struct } from './struct.ts';
import { fullSample, minimalSample } from './struct-samples.ts';

export interface Vector {
  kind: MessageKind;
  form: string;
  /** The frame in hexadecimal. */
  frame: string;
  /** What it decodes to; bytes as `{ hex }`. */
  body: unknown;
}

const MESSAGE_ID = 1;
const TIMESTAMP_US = 1_700_000_000_000_000;

/** Vectors that `recorded` lacks: a smallest one of each kind, and one that has each field of each kind. */
export function missingVectors(host: Host, recorded: readonly Vector[]): Vector[] {
  return (Object.keys(MESSAGES) as MessageKind[]).flatMap((kind) => {
    const type = MESSAGES[kind].struct as Struct<unknown>;
    const own = recorded.filter((vector) => vector.kind === kind);
    const missing: Vector[] = [];
    if (own.length === 0) missing.push(vectorOf(host, kind, 'minimal', minimalSample(host, type)));
    const seen = new Set(own.flatMap(({ body }) => presentFields(type, body)));
    const full = fullSample(host, type);
    const unseen = presentFields(type, full).some((field) => !seen.has(field));
    // A message without fields has nothing to add to its smallest vector.
    if (unseen) missing.push(vectorOf(host, kind, own.length < 2 ? 'full' : `full, ${own.length}`, full));
    return missing;
  });
}

function vectorOf(host: Host, kind: MessageKind, form: string, body: Record<string, unknown>): Vector {
  const { code, payload } = encodeMessage(host, { kind, body } as unknown as Message);
  const frame = encodeFrame(host, code, FRAME_FLAGS.oneWay, MESSAGE_ID, TIMESTAMP_US, payload);
  return { kind, form, frame: hexOf(frame), body: toJson(body) };
}

/** Paths of the fields that `body` has, those of structs in it too: `results.token`. */
function presentFields(type: Struct<unknown>, body: unknown): string[] {
  if (typeof body !== 'object' || body === null) return [];
  const record = body as Record<string, unknown>;
  return type.fields.flatMap(({ name, inner }) => {
    const value = record[name];
    if (value === undefined) return [];
    const items = inner === undefined ? [] : Array.isArray(value) ? (value as unknown[]) : [value];
    const below = inner === undefined ? [] : items.flatMap((item) => presentFields(inner, item));
    return [name, ...below.map((path) => `${name}.${path}`)];
  });
}

/** `value` with bytes as `{ hex }`. */
export function toJson(value: unknown): unknown {
  if (value instanceof Uint8Array) return { hex: hexOf(value) };
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJson(item)]));
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
