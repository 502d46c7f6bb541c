import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { performance } from 'node:perf_hooks';
import type { GossipKeys } from '../api/gossip-keys.ts';
import { isIpv6, type Address } from '../base/address.ts';
import { Opener, Sealer, SENDER_BYTES } from '../node/core/tlv/datagram.ts';
import { decodeFrame, encodeFrame, FrameError } from '../node/core/tlv/frame.ts';
import { decodeMessage, encodeMessage, type Message } from '../node/core/tlv/messages.ts';
import { MalformedError } from '../node/core/tlv/struct.ts';
import { nodeCipher } from '../node/io/cipher.ts';
import { nodeHost } from '../node/io/host.ts';

/** Asks gossip ports for a sign of life: a PING, answered by an ACK. */
export class DatagramProbe {
  readonly #keys: GossipKeys | undefined;
  readonly #socket: Socket;
  readonly #sealer = new Sealer(nodeHost, nodeCipher, () => randomBytes(SENDER_BYTES));
  readonly #opener = new Opener(nodeCipher);
  /** By sequence: who waits for that ACK. */
  readonly #waiting = new Map<number, () => void>();
  #sequence = 0;

  /** `keys` as the cluster has them, or undefined for nodes on this machine that have none. */
  constructor(family: 'ipv4' | 'ipv6', keys: GossipKeys | undefined) {
    this.#keys = keys;
    this.#socket = createSocket(family === 'ipv6' ? 'udp6' : 'udp4');
    this.#socket.on('message', (bytes) => this.#receive(bytes));
    // A port that nothing listens on answers so on this machine: it is told by the time-out, as elsewhere.
    this.#socket.on('error', () => undefined);
  }

  static familyOf(ip: string): 'ipv4' | 'ipv6' {
    return isIpv6(ip) ? 'ipv6' : 'ipv4';
  }

  /** The round trip in milliseconds, or undefined without an answer in time. `to` is an IP address. */
  ping(to: Address, timeoutMs: number): Promise<number | undefined> {
    const sequence = ++this.#sequence;
    const frame = frameOf({ kind: 'PING', body: { sequence } }, sequence);
    const datagram = this.#keys === undefined ? frame : this.#sealer.seal(this.#keys, frame);
    return new Promise((resolve, reject) => {
      const startedMs = performance.now();
      const settle = (elapsedMs: number | undefined): void => {
        clearTimeout(timer);
        this.#waiting.delete(sequence);
        resolve(elapsedMs);
      };
      const timer = setTimeout(() => settle(undefined), timeoutMs);
      this.#waiting.set(sequence, () => settle(performance.now() - startedMs));
      this.#socket.send(datagram, to.port, to.host, (error) => {
        if (error === null) return;
        reject(error);
        settle(undefined);
      });
    });
  }

  close(): void {
    this.#socket.close();
  }

  #receive(bytes: Uint8Array): void {
    const frame = this.#keys === undefined ? bytes : this.#opener.open(this.#keys, bytes);
    if (typeof frame === 'string') return;
    const message = messageOf(frame);
    if (message?.kind === 'ACK') this.#waiting.get(message.body.sequence)?.();
  }
}

function frameOf(message: Message, messageId: number): Uint8Array {
  const { code, payload } = encodeMessage(nodeHost, message);
  return encodeFrame(nodeHost, code, 0, messageId, Date.now() * 1_000, payload);
}

/** Undefined for whatever is no message: anybody may send to an open port. */
function messageOf(bytes: Uint8Array): Message | undefined {
  try {
    const { typeCode, payload } = decodeFrame(nodeHost, bytes);
    return decodeMessage(nodeHost, typeCode, payload);
  } catch (error) {
    if (error instanceof FrameError || error instanceof MalformedError) return undefined;
    throw error;
  }
}
