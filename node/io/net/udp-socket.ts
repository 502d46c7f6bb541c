/**
 * Datagrams in and out of one port, bounded in size and rate, sealed outside loopback.
 *
 * 1. Without keys nothing is sent beyond this machine and nothing from beyond it is taken.
 * 2. What costs nothing is judged before what costs: size, rate of all, rate of the source, key, replay, tag.
 */
import { randomBytes } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { performance } from 'node:perf_hooks';
import { isIpv4, isIpv6, isLoopback, type Address } from '../../../base/address.ts';
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import { BucketTable, TokenBucket } from '../../../base/token-bucket.ts';
import type { GossipKeys } from '../../../api/gossip-keys.ts';
import { DATAGRAM_BYTES_MAX, Opener, SEAL_BYTES, Sealer, SENDER_BYTES } from '../../core/tlv/datagram.ts';
import { nodeCipher } from '../cipher.ts';
import type { NetLog } from './net-metrics.ts';
import { UDP_LIMITS, type UdpLimits } from './udp-limits.ts';
import type { UdpDropReason, UdpMetrics } from './udp-metrics.ts';

export interface UdpSocketOptions {
  host: Host;
  /** Port 0 takes a free one. Beyond loopback it needs `keys`. */
  address: Address;
  /** A group to listen on as well, on the interface of `address`. */
  multicast?: Address;
  keys?: GossipKeys;
  /** `bytes` is the datagram's own memory, or what was sealed in it. */
  onDatagram(bytes: Uint8Array, from: Address): void;
  metrics: UdpMetrics;
  log: NetLog;
  limits?: Partial<UdpLimits>;
  /** Milliseconds that never go back; for tests. */
  clock?: () => number;
}

export class UdpSocket {
  readonly #options: UdpSocketOptions;
  readonly #limits: UdpLimits;
  readonly #clock: () => number;
  readonly #sockets: Socket[] = [];
  readonly #sealer: Sealer;
  readonly #opener = new Opener(nodeCipher);
  readonly #sends: TokenBucket;
  readonly #receives: TokenBucket;
  readonly #sources: BucketTable;
  #keys: GossipKeys | undefined;
  #address: Address;
  #closed = false;

  private constructor(options: UdpSocketOptions) {
    const limits = { ...UDP_LIMITS, ...options.limits };
    this.#options = options;
    this.#limits = limits;
    this.#clock = options.clock ?? (() => performance.now());
    this.#keys = options.keys;
    this.#address = options.address;
    this.#sealer = new Sealer(options.host, nodeCipher, () => randomBytes(SENDER_BYTES));
    const nowMs = this.#clock();
    this.#sends = new TokenBucket(limits.sendBurst, nowMs);
    this.#receives = new TokenBucket(limits.receiveBurst, nowMs);
    this.#sources = new BucketTable(limits.sourcesMax);
  }

  /** Binds, and joins the group. Rejects with the system's error. */
  static async open(options: UdpSocketOptions): Promise<UdpSocket> {
    const { address, keys, multicast } = options;
    assert(keys !== undefined || isLoopback(address.host), 'outside loopback datagrams are sealed');
    assert(keys !== undefined || multicast === undefined, 'datagrams of a group are sealed');
    const opened = new UdpSocket(options);
    try {
      const { address: ip } = await lookup(address.host);
      const main = await opened.#bind({ host: ip, port: address.port }, false);
      opened.#address = { host: ip, port: main.address().port };
      if (multicast !== undefined) await opened.#join(main, multicast, ip);
    } catch (error) {
      await opened.close();
      throw error;
    }
    return opened;
  }

  /** As bound. */
  get address(): Address {
    return this.#address;
  }

  /** Most bytes that `send` takes. */
  get payloadBytesMax(): number {
    return this.#keys === undefined ? DATAGRAM_BYTES_MAX : DATAGRAM_BYTES_MAX - SEAL_BYTES;
  }

  /** From now on; with the old keys among the new ones, nothing under way is lost. */
  useKeys(keys: GossipKeys): void {
    assert(this.#keys !== undefined, 'a socket that started in plain stays so');
    this.#keys = keys;
  }

  /** False when it was dropped here and counted. What happens to it on the way nobody knows. */
  send(to: Address, payload: Uint8Array): boolean {
    const socket = this.#sockets[0];
    if (socket === undefined || this.#closed) return false;
    const refusal = this.#sendRefusal(socket, to, payload);
    if (refusal !== undefined) return this.#drop(refusal);
    const { metrics, log } = this.#options;
    const bytes = this.#keys === undefined ? payload : this.#sealer.seal(this.#keys, payload);
    assert(bytes.length <= DATAGRAM_BYTES_MAX, 'a sealed payload within its limit is within that of datagrams');
    // A socket of IPv6 reaches IPv4 by mapped addresses.
    const target = isIpv6(this.#address.host) && isIpv4(to.host) ? `::ffff:${to.host}` : to.host;
    socket.send(bytes, to.port, target, (error) => {
      if (error === null) {
        metrics.packetSent(bytes.length);
        return;
      }
      metrics.sendFailed();
      log.debug({ address: to, reason: error.message }, 'datagram not sent');
    });
    return true;
  }

  /** Resolves with all sockets closed; nothing is delivered after the call. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(
      this.#sockets.splice(0).map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))),
    );
  }

  #sendRefusal(socket: Socket, to: Address, payload: Uint8Array): UdpDropReason | undefined {
    if (payload.length > this.payloadBytesMax) return 'too_large';
    // A forged datagram can come from port 0, and an answer to it goes nowhere.
    if (to.port < 1) return 'no_port';
    if (this.#keys === undefined && !isLoopback(to.host)) return 'not_loopback';
    if (socket.getSendQueueSize() + payload.length > this.#limits.sendQueueBytesMax) return 'send_queue_full';
    const { sendsPerSecond, sendBurst } = this.#limits;
    return this.#sends.take(sendsPerSecond, sendBurst, this.#clock()).allowed ? undefined : 'send_rate';
  }

  #receive(bytes: Uint8Array, { address, port }: RemoteInfo): void {
    if (this.#closed) return;
    this.#options.metrics.packetReceived(bytes.length);
    const from = { host: address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address, port };
    const fault = this.#receiveFault(bytes, from);
    if (fault === undefined) this.#deliver(bytes, from);
    else this.#drop(fault);
  }

  #receiveFault(bytes: Uint8Array, from: Address): UdpDropReason | undefined {
    const { receivesPerSecond, receiveBurst, sourcePerSecond, sourceBurst } = this.#limits;
    const nowMs = this.#clock();
    const local = isLoopback(from.host);
    if (bytes.length > DATAGRAM_BYTES_MAX) return 'too_large';
    if (this.#keys === undefined && !local) return 'not_loopback';
    if (!this.#receives.take(receivesPerSecond, receiveBurst, nowMs).allowed) return 'receive_rate';
    // All nodes of one machine share its loopback address.
    const source = local ? `${from.host} ${from.port}` : from.host;
    return this.#sources.take(source, sourcePerSecond, sourceBurst, nowMs).allowed ? undefined : 'source_rate';
  }

  #deliver(bytes: Uint8Array, from: Address): void {
    const payload = this.#keys === undefined ? bytes : this.#opener.open(this.#keys, bytes);
    if (typeof payload === 'string') this.#drop(payload);
    else this.#options.onDatagram(payload, from);
  }

  #drop(reason: UdpDropReason): false {
    this.#options.metrics.packetDropped(reason);
    return false;
  }

  async #bind(address: Address, shared: boolean): Promise<Socket> {
    const { metrics, log } = this.#options;
    const type = isIpv6(address.host) ? 'udp6' : 'udp4';
    const socket = createSocket({ type, reuseAddr: shared });
    this.#sockets.push(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind({ address: address.host, port: address.port, exclusive: !shared }, () => {
        socket.off('error', reject);
        resolve();
      });
    });
    socket.on('error', (error) => {
      metrics.sendFailed();
      log.warn({ reason: error.message }, 'datagram socket failed');
    });
    socket.on('message', (bytes, remote) => this.#receive(bytes, remote));
    return socket;
  }

  /**
   * A socket bound to an address of its own gets no datagrams of a group, so the group has another one, bound to the
   * group itself; several nodes of one machine share it.
   */
  async #join(main: Socket, group: Address, ip: string): Promise<void> {
    const socket = await this.#bind(group, true);
    const wildcard = ip === '0.0.0.0' || ip === '::';
    socket.addMembership(group.host, wildcard || isIpv6(ip) ? undefined : ip);
    if (!wildcard && isIpv4(ip)) main.setMulticastInterface(ip);
  }
}
