/** The TLV types, and big-endian numbers in plain byte arrays, by shifting: no view object per buffer. */

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
/** Type u8, tag u16, length u32. */
export const FIELD_HEADER_BYTES = 7;

const TWO_POW_32 = 0x1_0000_0000;

/* The callers of all below have checked the bounds. */

export function putU16(into: Uint8Array, at: number, value: number): void {
  into[at] = value >>> 8;
  into[at + 1] = value;
}

export function putU32(into: Uint8Array, at: number, value: number): void {
  into[at] = value >>> 24;
  into[at + 1] = value >>> 16;
  into[at + 2] = value >>> 8;
  into[at + 3] = value;
}

/** Two's complement, so that it writes i64 as well; `value` is a safe integer. */
export function put64(into: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / TWO_POW_32);
  putU32(into, at, high | 0);
  putU32(into, at + 4, value - high * TWO_POW_32);
}

export function getU16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

export function getU32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0
  );
}

/** The value, rounded when it is over 2^53: the caller refuses what is not a safe integer. */
export function getU64(bytes: Uint8Array, at: number): number {
  return getU32(bytes, at) * TWO_POW_32 + getU32(bytes, at + 4);
}

export function getI64(bytes: Uint8Array, at: number): number {
  return (getU32(bytes, at) | 0) * TWO_POW_32 + getU32(bytes, at + 4);
}

const scratch = new DataView(new ArrayBuffer(8));

export function putF64(into: Uint8Array, at: number, value: number): void {
  scratch.setFloat64(0, value);
  for (let i = 0; i < 8; i++) into[at + i] = scratch.getUint8(i);
}

export function getF64(bytes: Uint8Array, at: number): number {
  for (let i = 0; i < 8; i++) scratch.setUint8(i, bytes[at + i] ?? 0);
  return scratch.getFloat64(0);
}
