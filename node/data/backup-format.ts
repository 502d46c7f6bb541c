/**
 * A backup as a stream of bytes. Numbers are big-endian.
 *
 *     magic "DISTRICB"   version u32   block … block   length 0 (u32)   SHA-256 of every byte before it
 *     block: length u32, CRC-32 of the bytes u32, bytes
 *
 * The first block is the header (JSON), the others are the state as a snapshot streams it (core/state/snapshot-stream.ts).
 * The checksum of a block says where a file is damaged, the one at the end that it is whole.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Membership } from '../core/raft/membership.ts';
import { FEATURE_LEVEL } from '../core/state/feature-level.ts';

const MAGIC = Buffer.from('DISTRICB', 'latin1');
const VERSION = 1;

const START_BYTES = MAGIC.length + 4;
const BLOCK_HEAD_BYTES = 8;
const LENGTH_BYTES = 4;
const DIGEST_BYTES = 32;
export const BLOCK_BYTES_MAX = 1024 * 1024;

export interface BackupHeader {
  cluster_id: string;
  cluster_name: string;
  /** Of the last entry in the state, and the term at which it was taken. */
  index: number;
  term: number;
  membership: Membership;
  /** RFC 3339, UTC. */
  created_at: string;
  /** What the state in it asks of whoever reads it. */
  feature_level: number;
  /** Of all blocks but this one. */
  state_bytes: number;
}

/** What is no backup, or not as it was written. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
}

/** `state` in pieces of BLOCK_BYTES_MAX at most. */
export async function* backupStream(
  header: BackupHeader,
  state: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const digest = createHash('sha256');
  const hashed = (bytes: Uint8Array): Uint8Array => {
    digest.update(bytes);
    return bytes;
  };
  const start = Buffer.alloc(START_BYTES);
  MAGIC.copy(start);
  start.writeUInt32BE(VERSION, MAGIC.length);
  yield hashed(start);
  yield hashed(block(Buffer.from(JSON.stringify(header))));
  for await (const piece of state) if (piece.length > 0) yield hashed(block(piece));
  yield hashed(Buffer.alloc(LENGTH_BYTES));
  yield digest.digest();
}

function block(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(BLOCK_HEAD_BYTES);
  head.writeUInt32BE(bytes.length);
  head.writeUInt32BE(crc32(bytes), LENGTH_BYTES);
  return Buffer.concat([head, bytes]);
}

/** Takes a backup apart, piece by piece of any size, and finds out whether it is whole. */
export class BackupReader {
  readonly #onState: (bytes: Uint8Array) => void;
  readonly #digest = createHash('sha256');
  #rest = Buffer.alloc(0);
  #expects: 'start' | 'block' | 'digest' | 'nothing' = 'start';
  /** Of the file, before `#rest`. */
  #offset = 0;
  #header: BackupHeader | undefined;
  stateBytes = 0;

  /** `onState` is given the pieces of the state in order, each checked; only `end` says that there are all of them. */
  constructor(onState: (bytes: Uint8Array) => void = () => undefined) {
    this.#onState = onState;
  }

  /** Undefined until it was read. */
  get header(): BackupHeader | undefined {
    return this.#header;
  }

  /** @throws BackupError */
  push(piece: Uint8Array): void {
    this.#rest = this.#rest.length === 0 ? Buffer.from(piece) : Buffer.concat([this.#rest, piece]);
    while (this.#step());
  }

  /** There is no more. @throws BackupError */
  end(): BackupHeader {
    if (this.#expects !== 'nothing' || this.#header === undefined) {
      const bytes = String(this.#offset + this.#rest.length);
      throw new BackupError(`it ends after ${bytes} bytes, in the middle: it was cut off, or never finished`);
    }
    return this.#header;
  }

  /** False: more bytes are needed. */
  #step(): boolean {
    switch (this.#expects) {
      case 'start':
        return this.#readStart();
      case 'block':
        return this.#readBlock();
      case 'digest':
        return this.#readDigest();
      case 'nothing':
        if (this.#rest.length > 0) throw this.#damaged('more follows after its end');
        return false;
    }
  }

  #readStart(): boolean {
    const known = Math.min(this.#rest.length, MAGIC.length);
    if (!this.#rest.subarray(0, known).equals(MAGIC.subarray(0, known))) {
      throw new BackupError('it does not begin like a backup of DistriC');
    }
    if (this.#rest.length < START_BYTES) return false;
    const version = this.#rest.readUInt32BE(MAGIC.length);
    if (version !== VERSION) {
      const known = `this release reads version ${String(VERSION)}`;
      throw new BackupError(
        `it has version ${String(version)}, ${known}: use the release that wrote it, or a newer one`,
      );
    }
    this.#take(START_BYTES);
    this.#expects = 'block';
    return true;
  }

  #readBlock(): boolean {
    if (this.#rest.length < LENGTH_BYTES) return false;
    const length = this.#rest.readUInt32BE();
    if (length > BLOCK_BYTES_MAX) throw this.#damaged('a block is longer than any is');
    if (length === 0) {
      if (this.#header === undefined) throw this.#damaged('it has no header');
      this.#take(LENGTH_BYTES);
      this.#expects = 'digest';
      return true;
    }
    const end = BLOCK_HEAD_BYTES + length;
    if (this.#rest.length < end) return false;
    const bytes = this.#rest.subarray(BLOCK_HEAD_BYTES, end);
    if (crc32(bytes) !== this.#rest.readUInt32BE(LENGTH_BYTES)) throw this.#damaged('the checksum of a block is wrong');
    this.#take(end);
    if (this.#header === undefined) this.#header = headerOf(bytes);
    else {
      this.stateBytes += length;
      this.#onState(bytes);
    }
    return true;
  }

  #readDigest(): boolean {
    if (this.#rest.length < DIGEST_BYTES) return false;
    if (!this.#digest.digest().equals(this.#rest.subarray(0, DIGEST_BYTES))) {
      throw this.#damaged('its SHA-256 is not that of its content');
    }
    if (this.stateBytes !== this.#header?.state_bytes) throw this.#damaged('a part of the state is missing');
    this.#rest = this.#rest.subarray(DIGEST_BYTES);
    this.#offset += DIGEST_BYTES;
    this.#expects = 'nothing';
    return true;
  }

  #take(count: number): void {
    this.#digest.update(this.#rest.subarray(0, count));
    this.#rest = this.#rest.subarray(count);
    this.#offset += count;
  }

  #damaged(reason: string): BackupError {
    return new BackupError(`it is damaged at byte ${String(this.#offset)}: ${reason}`);
  }
}

/** Its checksum is right, so it is what a release wrote; it may be one that is newer than this. */
function headerOf(bytes: Buffer): BackupHeader {
  const header = JSON.parse(bytes.toString('utf8')) as BackupHeader;
  if (header.feature_level > FEATURE_LEVEL) {
    const known = `this release supports ${String(FEATURE_LEVEL)}`;
    throw new BackupError(`its state has feature level ${String(header.feature_level)}, ${known}: use a newer release`);
  }
  return header;
}
