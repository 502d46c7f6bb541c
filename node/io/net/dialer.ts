import { performance } from 'node:perf_hooks';
import { formatAddress, parseAddress, type Address } from '../../../base/address.ts';
import type { Message } from '../../core/tlv/messages.ts';
import { Connection, type NetContext } from './connection.ts';
import { FEATURES } from './features.ts';
import { certified, helloOf, helloRefusal, isLane, type Expectations, type HelloBody, type Self } from './hello.ts';
import { Link, type LinkOwner } from './link.ts';
import type { NetLimits } from './net-limits.ts';

/** Delay before dial number `attempt` (from 0) after a loss; `fraction` is random in [0, 1). */
export function redialDelayMs(limits: NetLimits, attempt: number, fraction: number): number {
  const delayMs = Math.min(limits.redialMsMax, limits.redialMsMin * 2 ** Math.min(attempt, 30));
  return delayMs * (1 - fraction / 2);
}

const LANES = ['control', 'bulk'] as const;

/** Keeps one link to one address for as long as it is wanted. */
export class Dialer implements LinkOwner {
  readonly #context: NetContext;
  readonly #self: Self;
  readonly #address: Address;
  readonly #expectations: Expectations;
  readonly #owner: Omit<LinkOwner, 'hello'>;
  #link: Link | undefined;
  /** On its way to take the place of `#link`. */
  #next: Link | undefined;
  /** A renewal was asked for while a link was being made, which may have begun too early for it. */
  #renewAgain = false;
  #renewTimer: NodeJS.Timeout | undefined;
  #timer: NodeJS.Timeout | undefined;
  #attempt = 0;
  #upSinceMs = 0;
  #stopped = false;

  constructor(
    context: NetContext,
    self: Self,
    address: string,
    expectations: Expectations,
    owner: Omit<LinkOwner, 'hello'>,
  ) {
    this.#context = context;
    this.#self = self;
    this.#address = parseAddress(address);
    this.#expectations = expectations;
    this.#owner = owner;
    this.#link = this.#open();
  }

  stop(reason: string): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#renewTimer);
    this.#link?.leave(reason);
    this.#next?.leave(reason);
  }

  /** Makes a new link, with the certificates of now, beside the one in use, which then hands over to it. */
  renew(): void {
    clearTimeout(this.#renewTimer);
    if (this.#stopped) return;
    if (this.#link?.usable === true && this.#next === undefined) this.#next = this.#open(this.#link);
    else this.#renewAgain = true;
  }

  hello(link: Link, connection: Connection, hello: HelloBody): void {
    const laneFits = isLane(hello.lane) && link.isLane(hello.lane, connection);
    const expected = { ...this.#expectations, identity: connection.identity };
    const refusal = helloRefusal(this.#self, hello, expected) ?? (laneFits ? undefined : 'unexpected_lane');
    if (refusal === undefined) {
      link.admit(connection, hello, this.#addressText());
      return;
    }
    const { nodeId, role, clusterName } = hello;
    connection.refuse(refusal, { nodeId, role, clusterName, ...certified(connection) });
    link.leave(refusal);
  }

  up(link: Link): void {
    this.#upSinceMs = performance.now();
    const before = link === this.#next ? this.#link : undefined;
    if (before !== undefined) {
      this.#link = link;
      this.#next = undefined;
    }
    this.#owner.up(link);
    before?.retire('renewed');
    const { linkAgeMsMax } = this.#context.limits;
    if (this.#renewAgain) this.#renewLater(0);
    else if (linkAgeMsMax > 0) this.#renewLater(linkAgeMsMax * (1 - Math.random() / 4));
  }

  message(link: Link, message: Message): void {
    this.#owner.message(link, message);
  }

  down(link: Link, reason: string, wasUp: boolean): void {
    if (link === this.#link) this.#lost(reason, wasUp);
    else if (link === this.#next) {
      this.#next = undefined;
      this.#context.log.info({ address: this.#addressText(), reason }, 'link not renewed: trying again');
      this.#renewLater(this.#context.limits.redialMsMax);
    }
    this.#owner.down(link, reason, wasUp);
  }

  /** The link in use; one that is on its way takes its place, else there is a new one to be made. */
  #lost(reason: string, wasUp: boolean): void {
    clearTimeout(this.#renewTimer);
    this.#link = this.#next;
    this.#next = undefined;
    if (wasUp && performance.now() - this.#upSinceMs >= this.#context.limits.redialResetMs) this.#attempt = 0;
    if (this.#link === undefined && !this.#stopped) this.#redialLater(reason);
  }

  #renewLater(delayMs: number): void {
    clearTimeout(this.#renewTimer);
    if (this.#stopped) return;
    this.#renewAgain = false;
    this.#renewTimer = setTimeout(() => {
      this.renew();
    }, delayMs).unref();
  }

  #addressText(): string {
    return formatAddress(this.#address.host, this.#address.port);
  }

  #redialLater(reason: string): void {
    const delayMs = redialDelayMs(this.#context.limits, this.#attempt, Math.random());
    const fields = { address: this.#addressText(), reason, attempt: this.#attempt, delayMs: Math.round(delayMs) };
    // A peer that stays away would fill the log: the first time is news, the rest is detail.
    if (this.#attempt === 0) this.#context.log.info(fields, 'link lost or not made: dialing again');
    else this.#context.log.debug(fields, 'dialing again');
    this.#attempt++;
    this.#timer = setTimeout(() => {
      this.#link = this.#open();
    }, delayMs);
  }

  #open(predecessor?: Link): Link {
    const link = new Link(this, true, this.#context.limits.drainMsMax, predecessor);
    const { features: offered } = this.#context;
    const features = predecessor === undefined ? offered : [...offered, FEATURES.renewal];
    for (const lane of LANES) {
      const socket = this.#context.transport.connect(this.#address);
      const connection = new Connection(this.#context, link, socket, this.#addressText(), true);
      link.add(lane, connection);
      connection.send({ kind: 'HELLO', body: helloOf(this.#self, lane, features) });
    }
    return link;
  }
}
