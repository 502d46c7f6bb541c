import type { Socket } from 'node:net';
import { sourceOf } from '../../../base/address.ts';
import { addressOf } from './transport.ts';

export interface StrangerLimits {
  strangersMax: number;
  strangersPerAddressMax: number;
}

/**
 * Accepted connections whose other end has not said yet who it is. They are few, of one source even fewer. Those who
 * mean to say it do so at once, so whoever has waited longest makes room: silence keeps nobody else out.
 */
export class Strangers {
  readonly #limits: StrangerLimits;
  /** By address with port, oldest first; the outer key is their source (`sourceOf`). */
  readonly #bySource = new Map<string, Map<string, Socket>>();
  readonly #sources = new Map<string, string>();

  constructor(limits: StrangerLimits) {
    this.#limits = limits;
  }

  /** Takes one that was just accepted, until it is known or closed. Returns whom the caller must close for it. */
  take(socket: Socket): Socket | undefined {
    const { remoteAddress: ip } = socket;
    // It has gone already.
    if (ip === undefined) return undefined;
    const source = sourceOf(ip);
    const surplus = this.#surplusFor(source);
    if (surplus !== undefined) this.known(surplus.address);
    const address = addressOf(socket);
    const ofSource = this.#bySource.get(source) ?? new Map<string, Socket>();
    this.#bySource.set(source, ofSource.set(address, socket));
    this.#sources.set(address, source);
    socket.once('close', () => {
      if (this.#bySource.get(source)?.get(address) === socket) this.known(address);
    });
    return surplus?.socket;
  }

  /** `address` is that of a connection whose other end is let in, `host:port`. */
  known(address: string): void {
    const source = this.#sources.get(address);
    if (source === undefined) return;
    this.#sources.delete(address);
    const ofSource = this.#bySource.get(source);
    ofSource?.delete(address);
    if (ofSource?.size === 0) this.#bySource.delete(source);
  }

  /** The oldest of `source` when that has all it may have, otherwise of the source that has most when all is taken. */
  #surplusFor(source: string): { address: string; socket: Socket } | undefined {
    const { strangersMax, strangersPerAddressMax } = this.#limits;
    let from = this.#bySource.get(source);
    if (from === undefined || from.size < strangersPerAddressMax) {
      if (this.#sources.size < strangersMax) return undefined;
      for (const other of this.#bySource.values()) if (from === undefined || other.size > from.size) from = other;
    }
    for (const [address, socket] of from ?? []) return { address, socket };
    return undefined;
  }
}
