import type { Socket } from 'node:net';
import { addressOf } from './transport.ts';

export interface StrangerLimits {
  strangersMax: number;
  strangersPerAddressMax: number;
}

/**
 * Accepted connections whose other end has not said yet who it is. They are few, of one address even fewer, so that
 * those who never say it leave room for those who do.
 */
export class Strangers {
  readonly #limits: StrangerLimits;
  /** Their remote IP address, by address with port. */
  readonly #ips = new Map<string, string>();
  readonly #countByIp = new Map<string, number>();

  constructor(limits: StrangerLimits) {
    this.#limits = limits;
  }

  /** Takes one that was just accepted, until it is known or closed. False: there is no room for it. */
  take(socket: Socket): boolean {
    const { strangersMax, strangersPerAddressMax } = this.#limits;
    const { remoteAddress: ip } = socket;
    // It has gone already.
    if (ip === undefined) return true;
    const ofIp = this.#countByIp.get(ip) ?? 0;
    if (this.#ips.size >= strangersMax || ofIp >= strangersPerAddressMax) return false;
    const address = addressOf(socket);
    this.#ips.set(address, ip);
    this.#countByIp.set(ip, ofIp + 1);
    socket.once('close', () => {
      this.known(address);
    });
    return true;
  }

  /** `address` is that of a connection whose other end is let in, `host:port`. */
  known(address: string): void {
    const ip = this.#ips.get(address);
    if (ip === undefined) return;
    this.#ips.delete(address);
    const left = (this.#countByIp.get(ip) ?? 0) - 1;
    if (left > 0) this.#countByIp.set(ip, left);
    else this.#countByIp.delete(ip);
  }
}
