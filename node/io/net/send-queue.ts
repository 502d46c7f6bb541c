import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import type { Host } from '../../../base/host.ts';
import {
  encodeFrame,
  encodeFrameHeader,
  FRAME_FLAGS,
  FRAME_HEADER_BYTES,
  FRAME_PAYLOAD_BYTES_MAX,
} from '../../core/tlv/frame.ts';
import { encodeMessage, MESSAGES, type Message } from '../../core/tlv/messages.ts';
import type { Packer } from './compression.ts';
import type { NetLimits } from './net-limits.ts';

/** Payloads over it are written beside their header instead of being copied behind it. */
const COPY_BYTES_MAX = 16 * 1024;

/** Of a frame that is a call or answers one. `flags`: `response` and `error` of FRAME_FLAGS; 0 for a call. */
export interface CallEnvelope {
  readonly flags: number;
  readonly messageId: number;
  /** The message's body, where it is encoded already. */
  readonly payload?: Uint8Array;
}

/** Frames on their way into one socket: bounded, and written together. */
export class SendQueue {
  readonly #host: Host;
  readonly #limits: NetLimits;
  readonly #socket: Socket;
  #parts: Uint8Array[] = [];
  #byteCount = 0;
  #messageId = 0;
  #packer: Packer | undefined;
  readonly #onSaved: (byteCount: number) => void;

  /** `onSaved` hears how many bytes smaller a payload went out than it was. */
  constructor(host: Host, limits: NetLimits, socket: Socket, onSaved: (byteCount: number) => void) {
    this.#host = host;
    this.#limits = limits;
    this.#socket = socket;
    this.#onSaved = onSaved;
  }

  /** From now on, payloads of bulk messages are packed where that pays. */
  packWith(packer: Packer): void {
    this.#packer = packer;
  }

  /** True once there is enough for a write of its own. */
  get full(): boolean {
    return this.#byteCount >= this.#limits.flushBytes;
  }

  /** Bytes that the kernel has not taken yet. */
  get byteCount(): number {
    return this.#byteCount + this.#socket.writableLength;
  }

  /** Queues the message, or says why it was dropped. Without an envelope it goes one way. */
  offer(message: Message, envelope?: CallEnvelope): 'queued' | 'send_buffer_full' | 'frame_too_large' {
    const { sendBufferBytesMax } = this.#limits;
    const queuedBytes = this.byteCount;
    if (queuedBytes >= sendBufferBytesMax) return 'send_buffer_full';
    const { code, urgent } = MESSAGES[message.kind];
    const plain = envelope?.payload ?? encodeMessage(this.#host, message).payload;
    if (plain.length > FRAME_PAYLOAD_BYTES_MAX) return 'frame_too_large';
    const packed = urgent ? undefined : this.#packer?.pack(plain);
    const payload = packed ?? plain;
    const frameBytes = FRAME_HEADER_BYTES + payload.length;
    // An empty buffer takes any frame: a limit under the frame size must not silence the peer for ever.
    if (queuedBytes > 0 && queuedBytes + frameBytes > sendBufferBytesMax) return 'send_buffer_full';
    if (packed !== undefined) this.#onSaved(plain.length - packed.length);
    const flags =
      (envelope?.flags ?? FRAME_FLAGS.oneWay) |
      (urgent ? FRAME_FLAGS.urgent : 0) |
      (packed === undefined ? 0 : FRAME_FLAGS.compressed);
    const timestampUs = Date.now() * 1_000;
    const messageId = envelope?.messageId ?? ++this.#messageId;
    if (payload.length <= COPY_BYTES_MAX) {
      this.#parts.push(encodeFrame(this.#host, code, flags, messageId, timestampUs, payload));
    } else {
      this.#parts.push(encodeFrameHeader(this.#host, code, flags, messageId, timestampUs, payload), payload);
    }
    this.#byteCount += frameBytes;
    return 'queued';
  }

  /** Forgets what is not written yet. */
  clear(): void {
    this.#parts = [];
    this.#byteCount = 0;
  }

  /** Writes all there is at once; returns how many bytes. */
  flush(): number {
    const parts = this.#parts;
    const byteCount = this.#byteCount;
    if (byteCount === 0 || this.#socket.destroyed) return 0;
    this.#parts = [];
    this.#byteCount = 0;
    if (byteCount <= this.#limits.flushBytes) {
      this.#socket.write(parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts, byteCount));
    } else {
      this.#socket.cork();
      for (const part of parts) this.#socket.write(part);
      this.#socket.uncork();
    }
    return byteCount;
  }
}
