/** Two passes: the first adds up the size, the second writes and sets each length once its value is written. */
import { AssertionError } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import type { NamedField, Struct } from './struct.ts';
import { FIELD_HEADER_BYTES, put64, putF64, putU16, putU32, WIRE_TYPES, type Kind } from './wire.ts';

function wrong(place: string, value: unknown): never {
  throw new AssertionError(`assertion failed: ${place} can be encoded, but is ${typeof value} ${String(value)}`);
}

export function structSize(host: Host, type: Struct<unknown>, value: unknown): number {
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
    return host.textByteLength(item);
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

export function putStruct(host: Host, type: Struct<unknown>, value: unknown, into: Uint8Array, start: number): number {
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
  if (kind === 'text') end = at + host.writeText(item as string, into, at);
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
