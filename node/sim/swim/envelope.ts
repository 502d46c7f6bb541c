/** Seals and opens datagrams with the shipping code, and a cipher that is only good enough for a simulation. */
import type { Random } from '../../../base/random.ts';
import { demand } from '../violation.ts';
import { type Cipher, Opener, Sealer, SENDER_BYTES } from '../../core/tlv/datagram.ts';
import { nodeHost } from '../../io/host.ts';

const TAG_BYTES = 16;
/** Sender and counter. */
const NONCE_START = 3;
const NONCE_END = 15;
const KEY = { id: 1, bytes: new Uint8Array(32).fill(7) };
const KEYS = { primary: KEY, byId: new Map([[1, KEY]]) };

/** The tag depends on every byte; nothing is hidden, as nobody in a simulation reads what is not his. */
const toyCipher: Cipher = {
  seal(key, nonce, head, plain) {
    const sealed = new Uint8Array(plain.length + TAG_BYTES);
    sealed.set(plain);
    sealed.set(tagOf(key, nonce, head, plain), plain.length);
    return sealed;
  },
  open(key, nonce, head, sealed) {
    const plain = sealed.subarray(0, sealed.length - TAG_BYTES);
    const tag = tagOf(key, nonce, head, plain);
    return tag.every((byte, at) => byte === sealed[plain.length + at]) ? plain : undefined;
  },
};

function tagOf(...parts: readonly Uint8Array[]): Uint8Array {
  const tag = new Uint8Array(TAG_BYTES);
  let crc = 0;
  for (const part of parts) crc = nodeHost.crc32(part, crc);
  for (let at = 0; at < TAG_BYTES; at++) tag[at] = (Math.imul(crc, at + 0x9e37) >>> (at % 24)) & 0xff;
  return tag;
}

/** Of the datagrams on the wire, for those who listen in. */
const SEEN_MAX = 500;
const COUNTER_BYTE = 12;

export class Envelope {
  readonly #random: Random;
  readonly #sealers = new Map<string, Sealer>();
  readonly #openers = new Map<string, Opener>();
  readonly #seen: Uint8Array[] = [];
  readonly #forged = new WeakSet<Uint8Array>();
  /** By receiver and its life: what was taken, by sender and counter. */
  readonly #taken = new Map<string, Set<string>>();
  #sealedCount = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  seal(id: string, life: number, frame: Uint8Array): Uint8Array {
    const name = `${id} ${life}`;
    const sealer = this.#sealers.get(name) ?? new Sealer(nodeHost, toyCipher, () => this.#newSender());
    this.#sealers.set(name, sealer);
    const sealed = sealer.seal(KEYS, frame);
    this.#seen[this.#sealedCount++ % SEEN_MAX] = sealed;
    return sealed;
  }

  /** Undefined for what is dropped. */
  open(id: string, life: number, datagram: Uint8Array): Uint8Array | undefined {
    const name = `${id} ${life}`;
    const opener = this.#openers.get(name) ?? new Opener(toyCipher);
    this.#openers.set(name, opener);
    const opened = opener.open(KEYS, datagram);
    if (typeof opened === 'string') return undefined;
    demand(!this.#forged.has(datagram), 'forged', () => `${id} took a datagram that was changed`);
    const taken = this.#taken.get(name) ?? new Set();
    this.#taken.set(name, taken);
    const nonce = datagram.subarray(NONCE_START, NONCE_END).join(' ');
    demand(!taken.has(nonce), 'replayed', () => `${id} took a datagram twice`);
    taken.add(nonce);
    return opened;
  }

  someSealed(random: Random): Uint8Array | undefined {
    return this.#seen.length === 0 ? undefined : random.pick(this.#seen);
  }

  /** With a counter that was not used yet, and another byte somewhere in the frame. */
  forge(sealed: Uint8Array, random: Random): Uint8Array {
    const forged = sealed.slice();
    forged[COUNTER_BYTE] = (forged[COUNTER_BYTE] ?? 0) + 1 + random.integer(0, 100);
    const place = random.integer(NONCE_END, forged.length - TAG_BYTES - 1);
    forged[place] = (forged[place] ?? 0) ^ (1 + random.integer(0, 254));
    this.#forged.add(forged);
    return forged;
  }

  #newSender(): Uint8Array {
    return Uint8Array.from({ length: SENDER_BYTES }, () => this.#random.integer(0, 255));
  }
}
