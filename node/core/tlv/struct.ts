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
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import { getStruct } from './struct-decoder.ts';
import { putStruct, structSize } from './struct-encoder.ts';
import { WIRE_TYPES, type Kind } from './wire.ts';

export { MalformedError } from './struct-decoder.ts';

type ElementKind = 'u64' | 'text' | 'bytes' | 'nested';

const FIXED_BYTES: Partial<Record<Kind, number>> = { u8: 1, u16: 2, u32: 4, u64: 8, i64: 8, f64: 8, bool: 1 };
/** Structs in structs; a declaration over it is refused, so decoding cannot recurse deeper. */
const DEPTH_MAX = 16;

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
  const fields = Object.entries(declared).map(([key, one], index): NamedField => ({
    tag: one.tag,
    kind: one.kind,
    optional: one.optional,
    element: one.element,
    inner: one.inner,
    name: key,
    index,
    wireType: WIRE_TYPES[one.kind],
    fixedBytes: FIXED_BYTES[one.kind] ?? -1,
  }));
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
