import { Buffer } from 'node:buffer';
import { crc32 } from 'node:zlib';
import type { Host } from '../../base/host.ts';

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Node's native text coding and checksums behind the port that the pure rooms use. */
export const nodeHost: Host = {
  alloc: (byteLength) => Buffer.allocUnsafe(byteLength),
  textByteLength: (text) => Buffer.byteLength(text, 'utf8'),
  writeText: (text, into, offset) => asBuffer(into).write(text, offset, 'utf8'),
  readText: (bytes, start, end) => asBuffer(bytes).toString('utf8', start, end),
  crc32: (data, seed = 0) => crc32(data, seed),
};
