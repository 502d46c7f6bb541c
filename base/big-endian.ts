/** Unsigned 32-bit integers, most significant byte first. A `DataView` would cost an object for each. */
export function writeU32(into: Uint8Array, offset: number, value: number): void {
  into[offset] = value >>> 24;
  into[offset + 1] = value >>> 16;
  into[offset + 2] = value >>> 8;
  into[offset + 3] = value;
}

/** Bytes beyond the end count as 0. */
export function readU32(from: Uint8Array, offset: number): number {
  return (
    (((from[offset] ?? 0) << 24) |
      ((from[offset + 1] ?? 0) << 16) |
      ((from[offset + 2] ?? 0) << 8) |
      (from[offset + 3] ?? 0)) >>>
    0
  );
}
