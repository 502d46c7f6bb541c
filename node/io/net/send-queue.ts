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

/** Of parts that are written already. */
const PARTS_KEPT_MAX = 1_024;

/** Of a frame that is a call or answers one. `flags`: `response` and `error` of FRAME_FLAGS; 0 for a call. */
export interface CallEnvelope {
  readonly flags: number;
  readonly messageId: number;
  /** The message's body, where it is encoded already. */
  readonly payload?: Uint8Array;
}

export interface SendQueueHooks {
  /** So many bytes smaller a payload went out than it was. */
  saved(byteCount: number): void;
  /** The kernel has taken what was written: there may be more to write. */
  written(): void;
}

/**
 * Frames on their way into one socket: bounded, written together, and no more at once than `turnBytes`. Node would
 * write all it has in one go, many MiB, and send no heartbeat meanwhile.
 */
export class SendQueue {
  readonly #host: Host;
  readonly #limits: NetLimits;
  readonly #socket: Socket;
  readonly #hooks: SendQueueHooks;
  /** Those before `#next` are written. */
  #parts: Uint8Array[] = [];
  #next = 0;
  #byteCount = 0;
  #writing = false;
  #messageId = 0;
  #packer: Packer | undefined;

  constructor(host: Host, limits: NetLimits, socket: Socket, hooks: SendQueueHooks) {
    this.#host = host;
    this.#limits = limits;
    this.#socket = socket;
    this.#hooks = hooks;
  }

  /** From now on, payloads of bulk messages are packed where that pays. */
  packWith(packer: Packer): void {
    this.#packer = packer;
  }

  /** True once there is enough for a write of its own. */
  get full(): boolean {
    return this.#byteCount >= this.#limits.turnBytes;
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
    if (packed !== undefined) this.#hooks.saved(plain.length - packed.length);
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
    this.#next = 0;
    this.#byteCount = 0;
  }

  /** Writes what one turn may, unless the kernel has not taken what was written before; returns how many bytes. */
  flush(): number {
    return this.#writing ? 0 : this.#write(this.#limits.turnBytes);
  }

  /** Writes all there is; returns how many bytes. */
  flushAll(): number {
    return this.#write(Infinity);
  }

  #write(byteCountMax: number): number {
    if (this.#byteCount === 0 || this.#socket.destroyed) return 0;
    const parts = this.#take(byteCountMax);
    const byteCount = parts.reduce((sum, { length }) => sum + length, 0);
    this.#byteCount -= byteCount;
    this.#writing = true;
    const joined = byteCount <= parts.length * COPY_BYTES_MAX ? [Buffer.concat(parts, byteCount)] : parts;
    this.#socket.cork();
    for (const [index, part] of joined.entries()) {
      if (index < joined.length - 1) this.#socket.write(part);
      else this.#socket.write(part, () => this.#written());
    }
    this.#socket.uncork();
    return byteCount;
  }

  /** The first parts of the queue, the last of them cut where there would be too much. */
  #take(byteCountMax: number): Uint8Array[] {
    const taken: Uint8Array[] = [];
    let room = byteCountMax;
    while (room > 0) {
      const part = this.#parts[this.#next];
      if (part === undefined) break;
      taken.push(part.length <= room ? part : part.subarray(0, room));
      if (part.length > room) this.#parts[this.#next] = part.subarray(room);
      else this.#next++;
      room -= part.length;
    }
    if (this.#next === this.#parts.length || this.#next >= PARTS_KEPT_MAX) {
      this.#parts = this.#parts.slice(this.#next);
      this.#next = 0;
    }
    return taken;
  }

  #written(): void {
    this.#writing = false;
    this.#hooks.written();
  }
}
