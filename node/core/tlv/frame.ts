/**
 * Frames: 34 bytes of header, then the payload; all numbers big-endian.
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 4 | magic "DIST" |
 * | 4 | 2 | version |
 * | 6 | 2 | message type |
 * | 8 | 2 | flags |
 * | 10 | 4 | payload length |
 * | 14 | 8 | message id, per connection |
 * | 22 | 8 | timestamp, µs since the epoch |
 * | 30 | 4 | CRC-32 (IEEE) of the header with this field 0, then the payload |
 */
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import { getU16, getU32, getU64, put64, putU16, putU32 } from './wire.ts';

export const FRAME_HEADER_BYTES = 34;
export const FRAME_PAYLOAD_BYTES_MAX = 4 * 1024 * 1024;

export const FRAME_FLAGS = { compressed: 1, encrypted: 2, urgent: 4, response: 8, error: 16, oneWay: 32 } as const;

const MAGIC = 0x44495354;
const VERSION = 1;
const MAGIC_BYTES = 4;
const CRC_OFFSET = 30;

export interface Frame {
  readonly typeCode: number;
  readonly flags: number;
  readonly messageId: number;
  readonly timestampUs: number;
  /** A window on the received chunk where the frame came in one piece: copy what is kept for long. */
  readonly payload: Uint8Array;
}

export type FrameErrorReason =
  'bad_magic' | 'bad_version' | 'bad_flags' | 'bad_number' | 'bad_crc' | 'bad_length' | 'bad_compression' | 'too_large';

/** The stream is no longer in step: its connection must be closed. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
  readonly reason: FrameErrorReason;

  constructor(reason: FrameErrorReason, detail: string) {
    super(`${reason}: ${detail}`);
    this.reason = reason;
  }
}

/** The header alone, for a payload that is written after it without a copy. `payload` is at most FRAME_PAYLOAD_BYTES_MAX. */
export function encodeFrameHeader(
  host: Host,
  typeCode: number,
  flags: number,
  messageId: number,
  timestampUs: number,
  payload: Uint8Array,
): Uint8Array {
  const header = host.alloc(FRAME_HEADER_BYTES);
  putHeader(host, header, typeCode, flags, messageId, timestampUs, payload);
  return header;
}

/** Header and payload in one buffer. `payload` is at most FRAME_PAYLOAD_BYTES_MAX. */
export function encodeFrame(
  host: Host,
  typeCode: number,
  flags: number,
  messageId: number,
  timestampUs: number,
  payload: Uint8Array,
): Uint8Array {
  const frame = host.alloc(FRAME_HEADER_BYTES + payload.length);
  putHeader(host, frame, typeCode, flags, messageId, timestampUs, payload);
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

function putHeader(
  host: Host,
  into: Uint8Array,
  typeCode: number,
  flags: number,
  messageId: number,
  timestampUs: number,
  payload: Uint8Array,
): void {
  assert(payload.length <= FRAME_PAYLOAD_BYTES_MAX, 'a payload to send is within the frame limit');
  assert((flags & FRAME_FLAGS.encrypted) === 0, 'TLS encrypts, frames do not');
  assert(Number.isSafeInteger(messageId) && Number.isSafeInteger(timestampUs), 'frame numbers are safe integers');
  putU32(into, 0, MAGIC);
  putU16(into, 4, VERSION);
  putU16(into, 6, typeCode);
  putU16(into, 8, flags);
  putU32(into, 10, payload.length);
  put64(into, 14, messageId);
  put64(into, 22, timestampUs);
  putU32(into, CRC_OFFSET, 0);
  const headerCrc = host.crc32(into.subarray(0, FRAME_HEADER_BYTES));
  putU32(into, CRC_OFFSET, host.crc32(payload, headerCrc));
}

/**
 * Frames out of a byte stream that is cut anywhere. A byte is copied at most once: only frames that span chunks are
 * put together, in a buffer of their own size.
 */
export class FrameReader {
  readonly #host: Host;
  #payloadBytesMax: number;
  /** TLS encrypts, frames do not; compression has to be negotiated first. */
  #flagsRefused: number = FRAME_FLAGS.encrypted | FRAME_FLAGS.compressed;
  readonly #header: Uint8Array;
  #headerBytes = 0;
  /** Of a frame whose payload is not all there yet. */
  #payload: Uint8Array | undefined;
  #payloadBytes = 0;
  #error: FrameError | undefined;

  constructor(host: Host, payloadBytesMax = FRAME_PAYLOAD_BYTES_MAX) {
    this.#host = host;
    this.#payloadBytesMax = payloadBytesMax;
    this.#header = host.alloc(FRAME_HEADER_BYTES);
  }

  /** For a stream that earns more trust, or less, from the next frame on. */
  set payloadBytesMax(bytesMax: number) {
    assert(bytesMax <= FRAME_PAYLOAD_BYTES_MAX, 'no reader takes more than the frame limit');
    this.#payloadBytesMax = bytesMax;
  }

  /** For a stream whose ends have agreed on a compression: the receiver unpacks payloads with that flag. */
  takeCompressed(): void {
    this.#flagsRefused = FRAME_FLAGS.encrypted;
  }

  /** Calls `onFrame` for each frame that `chunk` completes. Throws FrameError at the first fault, and ever after. */
  push(chunk: Uint8Array, onFrame: (frame: Frame) => void): void {
    if (this.#error !== undefined) throw this.#error;
    let at = 0;
    while (at < chunk.length) {
      if (this.#headerBytes === 0 && chunk.length - at >= FRAME_HEADER_BYTES) {
        const length = this.#checkedLength(chunk, at);
        const end = at + FRAME_HEADER_BYTES + length;
        if (end <= chunk.length) {
          const payload = chunk.subarray(at + FRAME_HEADER_BYTES, end);
          const frame = this.#frame(chunk, at, payload);
          at = end;
          onFrame(frame);
          continue;
        }
      }
      at = this.#collect(chunk, at, onFrame);
    }
  }

  /** Takes a piece of a frame that spans chunks; returns where the next piece starts. */
  #collect(chunk: Uint8Array, start: number, onFrame: (frame: Frame) => void): number {
    let at = start;
    if (this.#headerBytes < FRAME_HEADER_BYTES) {
      const taken = Math.min(FRAME_HEADER_BYTES - this.#headerBytes, chunk.length - at);
      this.#header.set(chunk.subarray(at, at + taken), this.#headerBytes);
      this.#headerBytes += taken;
      at += taken;
      if (this.#headerBytes >= MAGIC_BYTES) this.#checkMagic(this.#header, 0);
      if (this.#headerBytes < FRAME_HEADER_BYTES) return at;
      this.#payload = this.#host.alloc(this.#checkedLength(this.#header, 0));
      this.#payloadBytes = 0;
    }
    const payload = this.#payload;
    assert(payload !== undefined, 'a whole header comes with a buffer for its payload');
    const taken = Math.min(payload.length - this.#payloadBytes, chunk.length - at);
    payload.set(chunk.subarray(at, at + taken), this.#payloadBytes);
    this.#payloadBytes += taken;
    if (this.#payloadBytes === payload.length) {
      const frame = this.#frame(this.#header, 0, payload);
      this.#headerBytes = 0;
      this.#payload = undefined;
      onFrame(frame);
    }
    return at + taken;
  }

  #checkMagic(bytes: Uint8Array, at: number): void {
    const magic = getU32(bytes, at);
    if (magic !== MAGIC) this.#fail('bad_magic', `0x${magic.toString(16)}`);
  }

  /** Looks at all that can be judged before the payload is there, so nothing is allocated for a bad header. */
  #checkedLength(bytes: Uint8Array, at: number): number {
    this.#checkMagic(bytes, at);
    const version = getU16(bytes, at + 4);
    if (version !== VERSION) this.#fail('bad_version', String(version));
    const flags = getU16(bytes, at + 8);
    if ((flags & this.#flagsRefused) !== 0) this.#fail('bad_flags', `flags ${flags} were not negotiated`);
    const length = getU32(bytes, at + 10);
    if (length > this.#payloadBytesMax) this.#fail('too_large', `${length} bytes of ${this.#payloadBytesMax}`);
    return length;
  }

  #frame(header: Uint8Array, at: number, payload: Uint8Array): Frame {
    const host = this.#host;
    const expected = getU32(header, at + CRC_OFFSET);
    putU32(header, at + CRC_OFFSET, 0);
    const actual = host.crc32(payload, host.crc32(header.subarray(at, at + FRAME_HEADER_BYTES)));
    putU32(header, at + CRC_OFFSET, expected);
    if (actual !== expected) this.#fail('bad_crc', `${actual} of ${expected}`);
    const messageId = getU64(header, at + 14);
    const timestampUs = getU64(header, at + 22);
    if (!Number.isSafeInteger(messageId) || !Number.isSafeInteger(timestampUs)) {
      this.#fail('bad_number', `message id ${messageId}, timestamp ${timestampUs}`);
    }
    return { typeCode: getU16(header, at + 6), flags: getU16(header, at + 8), messageId, timestampUs, payload };
  }

  #fail(reason: FrameErrorReason, detail: string): never {
    this.#error = new FrameError(reason, detail);
    throw this.#error;
  }
}

/** The one frame that `bytes` is, as in a datagram. Throws FrameError, `bad_length` when it is cut or followed by more. */
export function decodeFrame(host: Host, bytes: Uint8Array): Frame {
  const frames: Frame[] = [];
  if (bytes.length >= FRAME_HEADER_BYTES) {
    new FrameReader(host, bytes.length - FRAME_HEADER_BYTES).push(bytes, (frame) => frames.push(frame));
  }
  const [frame] = frames;
  if (frame === undefined || frame.payload.length !== bytes.length - FRAME_HEADER_BYTES) {
    throw new FrameError('bad_length', `${bytes.length} bytes are not one frame`);
  }
  return frame;
}
