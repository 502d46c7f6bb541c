/**
 * TLV structs: one declaration gives the TypeScript type, the encoder, the decoder and the documentation table.
 *
 *     export const Vote = struct('Vote', { term: u64(1), candidateId: text(2), hint: optional(text(3)) });
 *     export type Vote = Infer<typeof Vote>;
 *
 * Wire form of a field: type u8, tag u16, length u32, value; numbers big-endian. A list (type 0x20) holds one such
 * field per element, with tag 0; a nested struct (type 0x21) holds its fields. Fields go out in declaration order and
 * are accepted in any. Unknown tags and unknown types are skipped by length; tags are never reused.
 */
import { assert, AssertionError } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import { getF64, getI64, getU16, getU32, getU64, put64, putF64, putU16, putU32 } from './wire.ts';

/** Wire type per kind of value. */
export const WIRE_TYPES = {
  u8: 0x01,
  u16: 0x02,
  u32: 0x03,
  u64: 0x04,
  i64: 0x05,
  f64: 0x06,
  bool: 0x07,
  text: 0x10,
  bytes: 0x11,
  list: 0x20,
  nested: 0x21,
} as const;

export type Kind = keyof typeof WIRE_TYPES;
type ElementKind = 'u64' | 'text' | 'bytes' | 'nested';

const FIXED_BYTES: Partial<Record<Kind, number>> = { u8: 1, u16: 2, u32: 4, u64: 8, i64: 8, f64: 8, bool: 1 };
const KNOWN_TYPES: ReadonlySet<number> = new Set(Object.values(WIRE_TYPES));
const FIELD_HEADER_BYTES = 7;
/** Structs in structs; a declaration over it is refused, so decoding cannot recurse deeper. */
const DEPTH_MAX = 16;
/** Up to this length an ASCII text is copied here, which is faster than a call out to the host. */
const SHORT_TEXT_CHARS_MAX = 48;

/** A field as declared. `valueType` never holds a value: it carries `T` for `Infer`. */
export interface Field<T, Optional extends boolean = false> {
  readonly tag: number;
  readonly kind: Kind;
  readonly optional: Optional;
  /** Of a list: what its elements are. */
  readonly element: ElementKind | undefined;
  /** Of a nested struct, or a list of them. */
  readonly inner: Struct<unknown> | undefined;
  readonly valueType?: T;
}

export interface NamedField extends Field<unknown, boolean> {
  readonly name: string;
  readonly index: number;
  readonly wireType: number;
  /** Value length that the kind prescribes, or -1. */
  readonly fixedBytes: number;
}

/** A compiled declaration; `fields` in declaration order. */
export interface Struct<T> {
  readonly name: string;
  readonly fields: readonly NamedField[];
  readonly byTag: ReadonlyMap<number, NamedField>;
  readonly requiredCount: number;
  readonly depth: number;
  readonly valueType?: T;
}

type FieldMap = Record<string, Field<unknown, boolean>>;
type ValueOf<F> = F extends Field<infer T, boolean> ? T : never;
type OptionalKeys<F extends FieldMap> = { [K in keyof F]: F[K]['optional'] extends true ? K : never }[keyof F];
type Flat<T> = { [K in keyof T]: T[K] };
type Shape<F extends FieldMap> = Flat<
  { [K in Exclude<keyof F, OptionalKeys<F>>]: ValueOf<F[K]> } & { [K in OptionalKeys<F>]?: ValueOf<F[K]> }
>;

/** The TypeScript type of a struct's values. */
export type Infer<S> = S extends Struct<infer T> ? T : never;

/** Bytes that are not what the declaration says; the sender's fault. `offset` is counted from the decoded bytes' start. */
export class MalformedError extends Error {
  override readonly name = 'MalformedError';
  readonly place: string;
  readonly offset: number;

  constructor(place: string, offset: number, reason: string) {
    super(`${place} at byte ${offset}: ${reason}`);
    this.place = place;
    this.offset = offset;
  }
}

function field<T>(tag: number, kind: Kind, element?: ElementKind, inner?: Struct<unknown>): Field<T> {
  assert(Number.isInteger(tag) && tag >= 1 && tag < 0xfff0, `tag ${tag} is in [1, 0xfff0)`);
  return { tag, kind, optional: false, element, inner };
}

export const u8 = (tag: number): Field<number> => field(tag, 'u8');
export const u16 = (tag: number): Field<number> => field(tag, 'u16');
export const u32 = (tag: number): Field<number> => field(tag, 'u32');
/** A safe integer >= 0: what is over 2^53 - 1 is refused on both sides. */
export const u64 = (tag: number): Field<number> => field(tag, 'u64');
/** A safe integer of either sign. */
export const i64 = (tag: number): Field<number> => field(tag, 'i64');
export const f64 = (tag: number): Field<number> => field(tag, 'f64');
export const bool = (tag: number): Field<boolean> => field(tag, 'bool');
export const text = (tag: number): Field<string> => field(tag, 'text');
/** Decoded without a copy: the value is a window on the decoded buffer. */
export const bytes = (tag: number): Field<Uint8Array> => field(tag, 'bytes');
export const nested = <T>(tag: number, inner: Struct<T>): Field<T> => field(tag, 'nested', undefined, inner);

export function list(tag: number, element: 'u64'): Field<readonly number[]>;
export function list(tag: number, element: 'text'): Field<readonly string[]>;
export function list(tag: number, element: 'bytes'): Field<readonly Uint8Array[]>;
export function list<T>(tag: number, element: Struct<T>): Field<readonly T[]>;
export function list(tag: number, element: 'u64' | 'text' | 'bytes' | Struct<unknown>): Field<readonly unknown[]> {
  return typeof element === 'string' ? field(tag, 'list', element) : field(tag, 'list', 'nested', element);
}

/** May be absent: no property then, neither on the wire nor in the value. */
export function optional<T>(inner: Field<T>): Field<T, true> {
  return { ...inner, optional: true };
}

export function struct<F extends FieldMap>(name: string, declared: F): Struct<Shape<F>> {
  const fields = Object.entries(declared).map(
    ([key, one], index): NamedField => ({
      tag: one.tag,
      kind: one.kind,
      optional: one.optional,
      element: one.element,
      inner: one.inner,
      name: key,
      index,
      wireType: WIRE_TYPES[one.kind],
      fixedBytes: FIXED_BYTES[one.kind] ?? -1,
    }),
  );
  const byTag = new Map(fields.map((one) => [one.tag, one]));
  assert(byTag.size === fields.length, `${name}: tags are unique`);
  const depth = 1 + Math.max(0, ...fields.map((one) => one.inner?.depth ?? 0));
  assert(depth <= DEPTH_MAX, `${name}: nesting is at most ${DEPTH_MAX}`);
  return { name, fields, byTag, depth, requiredCount: fields.filter((one) => !one.optional).length };
}

/** The value as TLV fields, in a new buffer of exactly the size. A value that breaks its type is our bug: it throws AssertionError. */
export function encode<T>(host: Host, type: Struct<T>, value: T): Uint8Array {
  const into = host.alloc(structSize(host, type, value));
  const end = putStruct(host, type, value, into, 0);
  assert(end === into.length, 'the size pass and the write pass agree');
  return into;
}

/** Reads what `encode` wrote. Throws MalformedError, and nothing else, whatever the input is. */
export function decode<T>(host: Host, type: Struct<T>, input: Uint8Array): T {
  return getStruct(host, type, input, 0, input.length) as T;
}

function wrong(place: string, value: unknown): never {
  throw new AssertionError(`assertion failed: ${place} can be encoded, but is ${typeof value} ${String(value)}`);
}

function structSize(host: Host, type: Struct<unknown>, value: unknown): number {
  if (typeof value !== 'object' || value === null) wrong(type.name, value);
  const record = value as Record<string, unknown>;
  let size = 0;
  for (const one of type.fields) {
    const item = record[one.name];
    if (item === undefined) {
      if (!one.optional) wrong(`${type.name}.${one.name}`, item);
      continue;
    }
    size += FIELD_HEADER_BYTES + (one.fixedBytes >= 0 ? one.fixedBytes : valueSize(host, one, one.kind, item));
  }
  return size;
}

function valueSize(host: Host, one: NamedField, kind: Kind, item: unknown): number {
  if (kind === 'text') {
    if (typeof item !== 'string') wrong(one.name, item);
    return textSize(host, item);
  }
  if (kind === 'bytes') {
    if (!(item instanceof Uint8Array)) wrong(one.name, item);
    return item.length;
  }
  if (kind === 'nested' && one.inner !== undefined) return structSize(host, one.inner, item);
  if (kind === 'u64') return 8;
  if (!Array.isArray(item) || one.element === undefined) wrong(one.name, item);
  let size = FIELD_HEADER_BYTES * item.length;
  for (const element of item) size += valueSize(host, one, one.element, element);
  return size;
}

function textSize(host: Host, value: string): number {
  if (value.length > SHORT_TEXT_CHARS_MAX) return host.textByteLength(value);
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) > 0x7f) return host.textByteLength(value);
  return value.length;
}

function putText(host: Host, value: string, into: Uint8Array, at: number): number {
  if (value.length > SHORT_TEXT_CHARS_MAX) return at + host.writeText(value, into, at);
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code > 0x7f) return at + host.writeText(value, into, at);
    into[at + i] = code;
  }
  return at + value.length;
}

function putStruct(host: Host, type: Struct<unknown>, value: unknown, into: Uint8Array, start: number): number {
  const record = value as Record<string, unknown>;
  let at = start;
  for (const one of type.fields) {
    const item = record[one.name];
    if (item !== undefined) at = putField(host, one, one.kind, one.wireType, one.tag, item, into, at);
  }
  return at;
}

function putField(
  host: Host,
  one: NamedField,
  kind: Kind,
  wireType: number,
  tag: number,
  item: unknown,
  into: Uint8Array,
  start: number,
): number {
  into[start] = wireType;
  putU16(into, start + 1, tag);
  const at = start + FIELD_HEADER_BYTES;
  let end: number;
  if (kind === 'text') end = putText(host, item as string, into, at);
  else if (kind === 'bytes') {
    into.set(item as Uint8Array, at);
    end = at + (item as Uint8Array).length;
  } else if (kind === 'nested' && one.inner !== undefined) end = putStruct(host, one.inner, item, into, at);
  else if (kind === 'list') end = putList(host, one, item as readonly unknown[], into, at);
  else end = putScalar(one, kind, item, into, at);
  putU32(into, start + 3, end - at);
  return end;
}

function putList(host: Host, one: NamedField, items: readonly unknown[], into: Uint8Array, start: number): number {
  const kind = one.element ?? wrong(one.name, items);
  const wireType = WIRE_TYPES[kind];
  let at = start;
  for (const item of items) at = putField(host, one, kind, wireType, 0, item, into, at);
  return at;
}

function putScalar(one: NamedField, kind: Kind, item: unknown, into: Uint8Array, at: number): number {
  if (kind === 'bool') {
    if (typeof item !== 'boolean') wrong(one.name, item);
    into[at] = item ? 1 : 0;
    return at + 1;
  }
  if (typeof item !== 'number') wrong(one.name, item);
  if (kind === 'f64') {
    putF64(into, at, item);
    return at + 8;
  }
  if (!Number.isSafeInteger(item) || (item < 0 && kind !== 'i64')) wrong(one.name, item);
  if (kind === 'u64' || kind === 'i64') {
    put64(into, at, item);
    return at + 8;
  }
  if (kind === 'u32') {
    if (item > 0xffff_ffff) wrong(one.name, item);
    putU32(into, at, item);
    return at + 4;
  }
  if (item > (kind === 'u16' ? 0xffff : 0xff)) wrong(one.name, item);
  if (kind === 'u16') {
    putU16(into, at, item);
    return at + 2;
  }
  into[at] = item;
  return at + 1;
}

function getStruct(
  host: Host,
  type: Struct<unknown>,
  input: Uint8Array,
  start: number,
  end: number,
): Record<string, unknown> {
  const value: Record<string, unknown> = {};
  let requiredCount = 0;
  let expected = 0; // fields nearly always come in declaration order: no look-up then
  let at = start;
  while (at < end) {
    if (end - at < FIELD_HEADER_BYTES) throw new MalformedError(type.name, at, 'a field header is cut short');
    const wireType = input[at] ?? 0;
    const tag = getU16(input, at + 1);
    const length = getU32(input, at + 3);
    const from = at + FIELD_HEADER_BYTES;
    if (length > end - from) throw new MalformedError(type.name, at, `tag ${tag} claims ${length} bytes`);
    at = from + length;
    const next = type.fields[expected];
    const one = next?.tag === tag ? next : type.byTag.get(tag);
    if (one === undefined) continue;
    if (one.wireType !== wireType) {
      if (!KNOWN_TYPES.has(wireType)) continue;
      throw new MalformedError(`${type.name}.${one.name}`, from, `has type ${wireType}`);
    }
    if (one.index < expected && Object.hasOwn(value, one.name)) {
      throw new MalformedError(`${type.name}.${one.name}`, from, 'comes twice');
    }
    if (one.fixedBytes >= 0 && one.fixedBytes !== length) {
      throw new MalformedError(`${type.name}.${one.name}`, from, `has ${length} bytes`);
    }
    if (one.index >= expected) expected = one.index + 1;
    if (!one.optional) requiredCount++;
    value[one.name] = getValue(host, type, one, one.kind, input, from, at);
  }
  if (requiredCount !== type.requiredCount) {
    const missing = type.fields.find((one) => !one.optional && !Object.hasOwn(value, one.name));
    throw new MalformedError(`${type.name}.${missing?.name ?? ''}`, end, 'is missing');
  }
  return value;
}

function getValue(
  host: Host,
  type: Struct<unknown>,
  one: NamedField,
  kind: Kind,
  input: Uint8Array,
  from: number,
  end: number,
): unknown {
  switch (kind) {
    case 'text':
      return host.readText(input, from, end);
    case 'bytes':
      return input.subarray(from, end);
    case 'u64': {
      const value = getU64(input, from);
      if (value > Number.MAX_SAFE_INTEGER) throw new MalformedError(`${type.name}.${one.name}`, from, 'is over 2^53');
      return value;
    }
    case 'i64': {
      const value = getI64(input, from);
      if (!Number.isSafeInteger(value)) throw new MalformedError(`${type.name}.${one.name}`, from, 'is over 2^53');
      return value;
    }
    case 'u32':
      return getU32(input, from);
    case 'u16':
      return getU16(input, from);
    case 'u8':
      return input[from];
    case 'f64':
      return getF64(input, from);
    case 'bool': {
      const value = input[from] ?? 0;
      if (value > 1) throw new MalformedError(`${type.name}.${one.name}`, from, `is ${value}, no boolean`);
      return value === 1;
    }
    case 'nested':
      assert(one.inner !== undefined, 'a nested field has its struct');
      return getStruct(host, one.inner, input, from, end);
    case 'list':
      return getList(host, type, one, input, from, end);
  }
}

function getList(
  host: Host,
  type: Struct<unknown>,
  one: NamedField,
  input: Uint8Array,
  start: number,
  end: number,
): unknown[] {
  const kind = one.element;
  assert(kind !== undefined, 'a list has its element kind');
  const wireType = WIRE_TYPES[kind];
  const items: unknown[] = [];
  let at = start;
  while (at < end) {
    const place = `${type.name}.${one.name}`;
    if (end - at < FIELD_HEADER_BYTES) throw new MalformedError(place, at, 'an element header is cut short');
    if (input[at] !== wireType) throw new MalformedError(place, at, `an element has type ${input[at] ?? 0}`);
    const length = getU32(input, at + 3);
    const from = at + FIELD_HEADER_BYTES;
    if (length > end - from) throw new MalformedError(place, at, `an element claims ${length} bytes`);
    if (kind === 'u64' && length !== 8) throw new MalformedError(place, at, `an element has ${length} bytes`);
    at = from + length;
    items.push(getValue(host, type, one, kind, input, from, at));
  }
  return items;
}
