/** Reads TLV fields from untrusted bytes: every length is checked against what is left before it is used. */
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import type { NamedField, Struct } from './struct.ts';
import { FIELD_HEADER_BYTES, getF64, getI64, getU16, getU32, getU64, WIRE_TYPES, type Kind } from './wire.ts';

const KNOWN_TYPES: ReadonlySet<number> = new Set(Object.values(WIRE_TYPES));

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

export function getStruct(
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
    if (end - at < FIELD_HEADER_BYTES)
      throw new MalformedError(`${type.name}.${one.name}`, at, 'an element header is cut short');
    if (input[at] !== wireType)
      throw new MalformedError(`${type.name}.${one.name}`, at, `an element has type ${input[at] ?? 0}`);
    const length = getU32(input, at + 3);
    const from = at + FIELD_HEADER_BYTES;
    if (length > end - from)
      throw new MalformedError(`${type.name}.${one.name}`, at, `an element claims ${length} bytes`);
    if (kind === 'u64' && length !== 8)
      throw new MalformedError(`${type.name}.${one.name}`, at, `an element has ${length} bytes`);
    at = from + length;
    items.push(getValue(host, type, one, kind, input, from, at));
  }
  return items;
}
