/** For tests: a port that answers PING as a node does, and other things when told so. */
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { GossipKeys } from '../api/gossip-keys.ts';
import type { Address } from '../base/address.ts';
import { Opener, Sealer, SENDER_BYTES } from '../node/core/tlv/datagram.ts';
import { decodeFrame, encodeFrame } from '../node/core/tlv/frame.ts';
import { decodeMessage, encodeMessage } from '../node/core/tlv/messages.ts';
import { nodeCipher } from '../node/io/cipher.ts';
import { nodeHost } from '../node/io/host.ts';

export class TestAnswerer {
  /** Sent before each answer. */
  noise: Uint8Array[] = [];
  /** Of these sequences no answer comes. */
  readonly silent = new Set<number>();
  readonly #socket: Socket;
  readonly #keys: GossipKeys | undefined;
  readonly #opener = new Opener(nodeCipher);
  readonly #sealer = new Sealer(nodeHost, nodeCipher, () => randomBytes(SENDER_BYTES));

  private constructor(keys: GossipKeys | undefined) {
    this.#keys = keys;
    this.#socket = createSocket('udp4', (bytes, { address, port }) => this.#answer(bytes, { host: address, port }));
  }

  static async open(keys?: GossipKeys): Promise<TestAnswerer> {
    const opened = new TestAnswerer(keys);
    opened.#socket.bind(0, '127.0.0.1');
    await once(opened.#socket, 'listening');
    return opened;
  }

  get address(): Address {
    return { host: '127.0.0.1', port: this.#socket.address().port };
  }

  close(): void {
    this.#socket.close();
  }

  #answer(bytes: Uint8Array, from: Address): void {
    const frame = this.#keys === undefined ? bytes : this.#opener.open(this.#keys, bytes);
    if (typeof frame === 'string') return;
    const { typeCode, payload } = decodeFrame(nodeHost, frame);
    const message = decodeMessage(nodeHost, typeCode, payload);
    if (message?.kind !== 'PING' || this.silent.has(message.body.sequence)) return;
    const ack = encodeMessage(nodeHost, { kind: 'ACK', body: message.body });
    const plain = encodeFrame(nodeHost, ack.code, 0, 1, 1, ack.payload);
    const answer = this.#keys === undefined ? plain : this.#sealer.seal(this.#keys, plain);
    for (const one of [...this.noise, answer]) this.#socket.send(one, from.port, from.host);
  }
}
