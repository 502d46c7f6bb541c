import type { GossipListener } from '../../../api/gossip.ts';
import type { Address } from '../../../base/address.ts';
import type { Host } from '../../../base/host.ts';
import { isGossip, type GossipMessage } from '../../core/swim/swim-ports.ts';
import { decodeFrame, encodeFrame, FRAME_FLAGS, FRAME_HEADER_BYTES, FrameError } from '../../core/tlv/frame.ts';
import { decodeMessage, encodeMessage, type Message } from '../../core/tlv/messages.ts';
import { MalformedError } from '../../core/tlv/struct.ts';
import { readKeyFile, watchKeyFile, type KeyFileWatch } from './key-file.ts';
import type { NetLog } from './net-metrics.ts';
import type { UdpLimits } from './udp-limits.ts';
import type { UdpMetrics } from './udp-metrics.ts';
import { UdpSocket } from './udp-socket.ts';

export interface GossipPortOptions {
  host: Host;
  listener: Extract<GossipListener, { on: true }>;
  /** Gossip: what names its sender. Without it such messages are dropped. */
  onMessage?(message: GossipMessage, from: Address, byteCount: number): void;
  metrics: UdpMetrics;
  log: NetLog;
  limits?: Partial<UdpLimits>;
  /** How often the key file is looked at. */
  keyPollMs?: number;
}

/**
 * Messages in datagrams, one frame each. A PING without a sender is answered at once, whoever asks: `distric net ping
 * --udp` does.
 */
export class GossipPort {
  readonly #options: GossipPortOptions;
  #socket: UdpSocket | undefined;
  #keyWatch: KeyFileWatch | undefined;
  #messageId = 0;

  private constructor(options: GossipPortOptions) {
    this.#options = options;
  }

  /** Rejects with the system's error, or with INVALID_DOCUMENT for a wrong key file. */
  static async open(options: GossipPortOptions): Promise<GossipPort> {
    const { host, listener, metrics, log, limits, keyPollMs } = options;
    const { address, multicast, keyFile } = listener;
    const port = new GossipPort(options);
    const keys = keyFile === undefined ? undefined : readKeyFile(keyFile);
    const socket = await UdpSocket.open({
      host,
      address,
      ...(multicast === undefined ? {} : { multicast }),
      ...(keys === undefined ? {} : { keys }),
      onDatagram: (bytes, from) => port.#receive(bytes, from),
      metrics,
      log,
      ...(limits === undefined ? {} : { limits }),
    });
    port.#socket = socket;
    if (keyFile !== undefined)
      port.#keyWatch = watchKeyFile(keyFile, (changed) => socket.useKeys(changed), log, keyPollMs);
    return port;
  }

  /** As bound. */
  get address(): Address {
    return this.#socket?.address ?? this.#options.listener.address;
  }

  /** Most bytes of a message's payload. */
  get payloadBytesMax(): number {
    return (this.#socket?.payloadBytesMax ?? 0) - FRAME_HEADER_BYTES;
  }

  /** Bytes of its frame; 0 when it was dropped here and counted. */
  send(to: Address, message: Message): number {
    const { host } = this.#options;
    const { code, payload } = encodeMessage(host, message);
    const frame = encodeFrame(host, code, FRAME_FLAGS.oneWay, ++this.#messageId, Date.now() * 1_000, payload);
    return this.#socket?.send(to, frame) === true ? frame.length : 0;
  }

  async close(): Promise<void> {
    this.#keyWatch?.close();
    await this.#socket?.close();
  }

  #receive(bytes: Uint8Array, from: Address): void {
    const message = this.#decode(bytes);
    if (message === 'malformed') this.#options.metrics.packetDropped('malformed');
    else if (message?.kind === 'PING' && message.body.from === undefined) {
      this.send(from, { kind: 'ACK', body: { sequence: message.body.sequence } });
    } else if (message !== undefined && isGossip(message) && this.#options.onMessage !== undefined) {
      this.#options.onMessage(message, from, bytes.length);
    } else this.#options.metrics.packetDropped('unexpected');
  }

  /** Undefined for a message of a later version. */
  #decode(bytes: Uint8Array): Message | 'malformed' | undefined {
    const { host } = this.#options;
    try {
      const { typeCode, payload } = decodeFrame(host, bytes);
      return decodeMessage(host, typeCode, payload);
    } catch (error) {
      if (error instanceof FrameError || error instanceof MalformedError) return 'malformed';
      throw error;
    }
  }
}
