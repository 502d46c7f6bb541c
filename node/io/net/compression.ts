/**
 * Payloads of one connection, packed where that pays (docs/decisions/0005-compression-is-off-by-default.md).
 *
 * 1. What is unpacked is never over the frame limit, nor is the memory it takes: both bounds are given to zlib.
 * 2. A payload goes out packed only if that saves an eighth of it; while it does not, most are not even tried.
 */
import { constants, deflateRawSync, inflateRawSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { FRAME_PAYLOAD_BYTES_MAX, FrameError } from '../../core/tlv/frame.ts';
import type { Compression } from './features.ts';

/** Smaller ones fit a few packets anyway. */
export const PACK_BYTES_MIN = 4 * 1024;
const SAVED_SHARE_MIN = 1 / 8;
/** After n fruitless tries in a row, 2^n - 1 payloads are sent as they are, at most so many. */
const SKIPPED_MAX = 63;
const CHUNK_BYTES = 64 * 1024;
/** 2^22 bytes: a window as large as the largest payload; zstd would take 128 MiB at the word of a sender. */
const ZSTD_WINDOW_LOG_MAX = 22;

const ZSTD_PACK = {
  chunkSize: CHUNK_BYTES,
  params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_windowLog]: 19 },
};
const ZSTD_UNPACK = {
  chunkSize: CHUNK_BYTES,
  maxOutputLength: FRAME_PAYLOAD_BYTES_MAX,
  params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
};
const DEFLATE_PACK = { chunkSize: CHUNK_BYTES, level: 1 };
const DEFLATE_UNPACK = { chunkSize: CHUNK_BYTES, maxOutputLength: FRAME_PAYLOAD_BYTES_MAX };

export class Packer {
  readonly #compression: Compression;
  #toSkip = 0;
  #nextSkip = 1;

  constructor(compression: Compression) {
    this.#compression = compression;
  }

  /** The packed payload, or undefined to send it as it is. */
  pack(payload: Uint8Array): Uint8Array | undefined {
    if (payload.length < PACK_BYTES_MIN) return undefined;
    if (this.#toSkip > 0) {
      this.#toSkip--;
      return undefined;
    }
    const packed =
      this.#compression === 'zstd' ? zstdCompressSync(payload, ZSTD_PACK) : deflateRawSync(payload, DEFLATE_PACK);
    if (packed.length <= payload.length * (1 - SAVED_SHARE_MIN)) {
      this.#nextSkip = 1;
      return packed;
    }
    this.#toSkip = this.#nextSkip;
    this.#nextSkip = Math.min(SKIPPED_MAX, this.#nextSkip * 2 + 1);
    return undefined;
  }
}

/** Throws FrameError `bad_compression` for what is not packed so, is cut, or would be over the frame limit. */
export function unpack(compression: Compression, packed: Uint8Array): Uint8Array {
  try {
    return compression === 'zstd' ? zstdDecompressSync(packed, ZSTD_UNPACK) : inflateRawSync(packed, DEFLATE_UNPACK);
  } catch (error) {
    const code = zlibCode(error);
    if (code === undefined) throw error;
    throw new FrameError('bad_compression', `${packed.length} bytes of ${compression}: ${code}`);
  }
}

/** Undefined for an error that is not about the packed bytes. */
function zlibCode(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  return /^(?:Z_|ZSTD_|ERR_BUFFER_TOO_LARGE$)/.test(code) ? code : undefined;
}
