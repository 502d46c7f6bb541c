/**
 * The state as a stream of bytes: every key and value in order, each behind its length (u32, big-endian), so that any
 * store can write what any other has read. What is only the sender's own (the anchor of its last install) is left out.
 */
import { readU32, writeU32 } from '../../../base/big-endian.ts';
import { assert } from '../../../base/assert.ts';
import { decodeText, type Host } from '../../../base/host.ts';
import { decodeMembership, type Membership } from '../raft/membership.ts';
import { FEATURE_LEVEL_FIRST } from './feature-level.ts';
import { ANCHOR_KEY, MEMBERSHIP_KEY, META_KEY } from './keys.ts';
import type { KeyValueReader } from './store.ts';

const LENGTHS_BYTES = 8;

/** What a committed state is; `membership` undefined: the one its cluster was born with. */
export interface StateHead {
  lastIndex: number;
  membership: Membership | undefined;
  membershipIndex: number;
  /** What whoever reads it must support. */
  featureLevel: number;
}

/** Of what the state machine keeps beside the tables. */
interface Head {
  appliedIndex: number;
  membershipIndex?: number;
  featureLevel?: number;
}

/** Undefined while nothing was ever committed to `store`. */
export function stateHead(host: Host, store: KeyValueReader): StateHead | undefined {
  const bytes = store.get(META_KEY);
  if (bytes === undefined) return undefined;
  const meta = JSON.parse(decodeText(host, bytes)) as Head;
  const membership = store.get(MEMBERSHIP_KEY);
  return {
    lastIndex: meta.appliedIndex,
    membership: membership === undefined ? undefined : decodeMembership(host, membership),
    membershipIndex: meta.membershipIndex ?? 0,
    featureLevel: meta.featureLevel ?? FEATURE_LEVEL_FIRST,
  };
}

export function isStreamed(key: string): boolean {
  return key !== ANCHOR_KEY;
}

export function encodeRecord(host: Host, key: string, value: Uint8Array): Uint8Array {
  const keyBytes = host.textByteLength(key);
  const bytes = host.alloc(LENGTHS_BYTES + keyBytes + value.length);
  writeU32(bytes, 0, keyBytes);
  writeU32(bytes, 4, value.length);
  host.writeText(key, bytes, LENGTHS_BYTES);
  bytes.set(value, LENGTHS_BYTES + keyBytes);
  return bytes;
}

/** Takes records out of a stream that comes in pieces of any size. */
export class RecordReader {
  readonly #host: Host;
  readonly #onRecord: (key: string, value: Uint8Array) => void;
  #rest: Uint8Array;

  constructor(host: Host, onRecord: (key: string, value: Uint8Array) => void) {
    this.#host = host;
    this.#onRecord = onRecord;
    this.#rest = host.alloc(0);
  }

  push(piece: Uint8Array): void {
    const bytes = this.#host.alloc(this.#rest.length + piece.length);
    bytes.set(this.#rest);
    bytes.set(piece, this.#rest.length);
    let offset = 0;
    while (bytes.length - offset >= LENGTHS_BYTES) {
      const keyEnd = offset + LENGTHS_BYTES + readU32(bytes, offset);
      const end = keyEnd + readU32(bytes, offset + 4);
      if (end > bytes.length) break;
      this.#onRecord(this.#host.readText(bytes, offset + LENGTHS_BYTES, keyEnd), bytes.subarray(keyEnd, end));
      offset = end;
    }
    this.#rest = bytes.subarray(offset);
  }

  /** Every piece was acknowledged by its checksum, so a rest is a bug of the sender. */
  end(): void {
    assert(this.#rest.length === 0, 'a snapshot ends with a whole record');
  }
}
