/**
 * Datagrams: one frame each, plain on loopback, else sealed with AES-256-GCM.
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 1 | form, 0xd1 (a plain datagram starts with the "D" of its frame, 0x44) |
 * | 1 | 2 | id of the key |
 * | 3 | 8 | sender: random, drawn anew at each start and before the counter would wrap |
 * | 11 | 4 | counter of that sender, from 0 |
 * | 15 | n | the frame, encrypted |
 * | 15 + n | 16 | authentication tag, over all before it |
 *
 * 1. Sender and counter are the nonce, 96 bits: it never repeats within a sender, and two senders differ by 64 random
 *    bits. A wholly random nonce would have to stop at 2^32 packets of all senders together (NIST SP 800-38D §8.3).
 * 2. A counter is marked as seen only once its packet is authentic, so that a forger cannot make a window move.
 * 3. A packet of a sender that is not known yet is taken: after a start, or for a sender long silent, an old packet
 *    may be taken once more. What travels in datagrams has to bear that.
 */
import type { Host } from '../../../base/host.ts';
import { ReplayWindow } from './replay-window.ts';
import { getU16, getU32, putU16, putU32 } from './wire.ts';

/** Under every usual MTU, headers of IPv6 and of an overlay network included. */
export const DATAGRAM_BYTES_MAX = 1_400;
export const SENDER_BYTES = 8;
const FORM_SEALED = 0xd1;
const NONCE_AT = 3;
const COUNTER_AT = NONCE_AT + SENDER_BYTES;
const HEAD_BYTES = COUNTER_AT + 4;
const TAG_BYTES = 16;
/** What sealing adds to a frame. */
export const SEAL_BYTES = HEAD_BYTES + TAG_BYTES;
const COUNTER_MAX = 0xffff_ffff;
/** Senders whose windows are kept; the one that was silent longest goes first. */
const SENDERS_MAX = 4_096;

interface SealKey {
  readonly id: number;
  readonly bytes: Uint8Array;
}

/** `api/gossip-keys.ts` reads one from a file. */
interface SealKeys {
  readonly primary: SealKey;
  readonly byId: ReadonlyMap<number, SealKey>;
}

/** AES-256-GCM with a tag of 16 bytes. */
export interface Cipher {
  /** Ciphertext and tag. */
  seal(key: Uint8Array, nonce: Uint8Array, head: Uint8Array, plain: Uint8Array): Uint8Array;
  /** The plain bytes, or undefined when the tag does not fit. */
  open(key: Uint8Array, nonce: Uint8Array, head: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
}

export type OpenFault = 'not_sealed' | 'unknown_key' | 'replayed' | 'forged';

export class Sealer {
  readonly #host: Host;
  readonly #cipher: Cipher;
  readonly #newSender: () => Uint8Array;
  #sender: Uint8Array;
  #counter = 0;

  /** `newSender` draws SENDER_BYTES random bytes; `firstCounter` is for tests. */
  constructor(host: Host, cipher: Cipher, newSender: () => Uint8Array, firstCounter = 0) {
    this.#host = host;
    this.#cipher = cipher;
    this.#newSender = newSender;
    this.#sender = newSender();
    this.#counter = firstCounter;
  }

  seal(keys: SealKeys, frame: Uint8Array): Uint8Array {
    if (this.#counter > COUNTER_MAX) {
      this.#sender = this.#newSender();
      this.#counter = 0;
    }
    const datagram = this.#host.alloc(frame.length + SEAL_BYTES);
    datagram[0] = FORM_SEALED;
    putU16(datagram, 1, keys.primary.id);
    datagram.set(this.#sender, NONCE_AT);
    putU32(datagram, COUNTER_AT, this.#counter++);
    const nonce = datagram.subarray(NONCE_AT, HEAD_BYTES);
    const head = datagram.subarray(0, HEAD_BYTES);
    datagram.set(this.#cipher.seal(keys.primary.bytes, nonce, head, frame), HEAD_BYTES);
    return datagram;
  }
}

export class Opener {
  readonly #cipher: Cipher;
  /** By sender, the one heard last at the end. */
  readonly #windows = new Map<string, ReplayWindow>();

  constructor(cipher: Cipher) {
    this.#cipher = cipher;
  }

  /** The frame, or why the datagram is dropped. */
  open(keys: SealKeys, datagram: Uint8Array): Uint8Array | OpenFault {
    if (datagram.length < SEAL_BYTES || datagram[0] !== FORM_SEALED) return 'not_sealed';
    const key = keys.byId.get(getU16(datagram, 1));
    if (key === undefined) return 'unknown_key';
    const sender = `${getU32(datagram, NONCE_AT)}:${getU32(datagram, NONCE_AT + 4)}`;
    const counter = getU32(datagram, COUNTER_AT);
    const known = this.#windows.get(sender);
    // Looked at first because it costs nothing; what is forged marks nothing.
    if (known?.isFresh(counter) === false) return 'replayed';
    const nonce = datagram.subarray(NONCE_AT, HEAD_BYTES);
    const head = datagram.subarray(0, HEAD_BYTES);
    const frame = this.#cipher.open(key.bytes, nonce, head, datagram.subarray(HEAD_BYTES));
    if (frame === undefined) return 'forged';
    const window = known ?? new ReplayWindow();
    window.mark(counter);
    this.#keep(sender, window);
    return frame;
  }

  #keep(sender: string, window: ReplayWindow): void {
    this.#windows.delete(sender);
    this.#windows.set(sender, window);
    if (this.#windows.size <= SENDERS_MAX) return;
    const [silent] = this.#windows.keys();
    if (silent !== undefined) this.#windows.delete(silent);
  }
}
