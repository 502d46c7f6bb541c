import { performance } from 'node:perf_hooks';
import { formatAddress, parseAddress, type Address } from '../../../base/address.ts';
import type { Message } from '../../core/tlv/messages.ts';
import { Connection, type NetContext } from './connection.ts';
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
    this.#open();
  }

  stop(reason: string): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#link?.leave(reason);
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
    this.#owner.up(link);
  }

  message(link: Link, message: Message): void {
    this.#owner.message(link, message);
  }

  down(link: Link, reason: string, wasUp: boolean): void {
    this.#link = undefined;
    if (wasUp && performance.now() - this.#upSinceMs >= this.#context.limits.redialResetMs) this.#attempt = 0;
    if (!this.#stopped) this.#redialLater(reason);
    this.#owner.down(link, reason, wasUp);
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
      this.#open();
    }, delayMs);
  }

  #open(): void {
    const link = new Link(this, true, this.#context.limits.drainMsMax);
    this.#link = link;
    for (const lane of LANES) {
      const socket = this.#context.transport.connect(this.#address);
      const connection = new Connection(this.#context, link, socket, this.#addressText(), true);
      link.add(lane, connection);
      connection.send({ kind: 'HELLO', body: helloOf(this.#self, lane, this.#context.features) });
    }
  }
}
