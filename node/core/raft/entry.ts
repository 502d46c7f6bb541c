/**
 * A log entry, encoded once by the leader and kept as the same bytes on every wire and disk.
 *
 * Layout (big-endian): term u64, index u64, clusterTime u64 (ms), wallTime u64 (ms since the epoch), kind u8,
 * previous entry's checksum u32, checksum u32 (CRC-32 of everything else), payload.
 *
 * Invariants
 * 1. The checksum covers the previous entry's checksum: two logs that agree on one entry's checksum agree on all before it.
 * 2. Bytes are never changed after encodeEntry().
 */
import { readU32, writeU32 } from '../../../base/big-endian.ts';
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';

export const ENTRY_HEADER_BYTES = 41;
const KIND_OFFSET = 32;
const PREVIOUS_CHECKSUM_OFFSET = 33;
const CHECKSUM_OFFSET = 37;
const TWO_32 = 0x1_0000_0000;

export interface Entry {
  term: number;
  index: number;
  /** Cluster time in ms at which the leader appended it; never decreases along the log. */
  timeMs: number;
  /** The leader's wall clock, ms since the epoch: for absolute dates only. */
  wallMs: number;
  /** What the payload is; 0 is the empty entry a new leader starts its term with. */
  kind: number;
  checksum: number;
  previousChecksum: number;
  payload: Uint8Array;
  /** The whole entry, header included. */
  bytes: Uint8Array;
}

export const NOOP_KIND = 0;

function writeU64(into: Uint8Array, offset: number, value: number): void {
  writeU32(into, offset, Math.floor(value / TWO_32));
  writeU32(into, offset + 4, value % TWO_32);
}

function readU64(from: Uint8Array, offset: number): number {
  return readU32(from, offset) * TWO_32 + readU32(from, offset + 4);
}

function checksumOf(host: Host, bytes: Uint8Array): number {
  return host.crc32(bytes.subarray(ENTRY_HEADER_BYTES), host.crc32(bytes.subarray(0, CHECKSUM_OFFSET)));
}

export interface EntryHead {
  term: number;
  index: number;
  timeMs: number;
  wallMs: number;
  kind: number;
  previousChecksum: number;
}

export function encodeEntry(host: Host, head: EntryHead, payload: Uint8Array): Entry {
  // A fraction would be in the leader's entry and not in its bytes: replicas would apply different times.
  for (const value of [head.term, head.index, head.timeMs, head.wallMs]) {
    assert(Number.isSafeInteger(value) && value >= 0, 'term, index and times are whole numbers below 2^53');
  }
  const bytes = host.alloc(ENTRY_HEADER_BYTES + payload.length);
  writeU64(bytes, 0, head.term);
  writeU64(bytes, 8, head.index);
  writeU64(bytes, 16, head.timeMs);
  writeU64(bytes, 24, head.wallMs);
  bytes[KIND_OFFSET] = head.kind;
  writeU32(bytes, PREVIOUS_CHECKSUM_OFFSET, head.previousChecksum);
  bytes.set(payload, ENTRY_HEADER_BYTES);
  const checksum = checksumOf(host, bytes);
  writeU32(bytes, CHECKSUM_OFFSET, checksum);
  return { ...head, checksum, payload: bytes.subarray(ENTRY_HEADER_BYTES), bytes };
}

/** Undefined when the bytes are not an intact entry: too short, a damaged header or payload. */
export function decodeEntry(host: Host, bytes: Uint8Array): Entry | undefined {
  if (bytes.length < ENTRY_HEADER_BYTES) return undefined;
  const checksum = readU32(bytes, CHECKSUM_OFFSET);
  if (checksumOf(host, bytes) !== checksum) return undefined;
  return {
    term: readU64(bytes, 0),
    index: readU64(bytes, 8),
    timeMs: readU64(bytes, 16),
    wallMs: readU64(bytes, 24),
    kind: bytes[KIND_OFFSET] ?? 0,
    previousChecksum: readU32(bytes, PREVIOUS_CHECKSUM_OFFSET),
    checksum,
    payload: bytes.subarray(ENTRY_HEADER_BYTES),
    bytes,
  };
}
