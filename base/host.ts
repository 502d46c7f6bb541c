/**
 * What the pure rooms need from the platform they run on. Node provides native versions
 * (`node/io/host.ts`); nothing here may read a clock, a file or a random source.
 */
export interface Host {
  /** A new zero-free buffer: its content is undefined until written. */
  alloc(byteLength: number): Uint8Array;
  /** UTF-8 length of `text`, in bytes. */
  textByteLength(text: string): number;
  /** Writes `text` as UTF-8 at `offset` and returns the number of bytes written; the caller has made room. */
  writeText(text: string, into: Uint8Array, offset: number): number;
  /** Decodes bytes [start, end) as UTF-8; malformed sequences become U+FFFD. */
  readText(bytes: Uint8Array, start: number, end: number): string;
  /** CRC-32 (IEEE 802.3), continued from `seed`; text counts as its UTF-8 bytes. */
  crc32(data: Uint8Array | string, seed?: number): number;
}

export function encodeText(host: Host, text: string): Uint8Array {
  const bytes = host.alloc(host.textByteLength(text));
  host.writeText(text, bytes, 0);
  return bytes;
}

export function decodeText(host: Host, bytes: Uint8Array): string {
  return host.readText(bytes, 0, bytes.length);
}
