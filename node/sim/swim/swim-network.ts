/**
 * The network between simulated members: datagrams that are delayed, lost, doubled and sent again later, and connections
 * between hubs and everybody, which lose nothing but are slow under loss and break under a partition. With seals everything
 * is really encoded, and decoded where it arrives; large clusters hand the messages on as they are.
 */
import type { Random } from '../../../base/random.ts';
import { decodeMessage, encodedBytes, encodeMessage } from '../../core/tlv/messages.ts';
import type { GossipMessage } from '../../core/swim/swim-ports.ts';
import { nodeHost } from '../../io/host.ts';
import type { EventQueue } from '../event-queue.ts';

export interface NetworkFaults {
  /** Share of datagrams that get lost. */
  loss: number;
  /** Share that arrives twice. */
  duplicates: number;
}

/** A sealed datagram, or the message itself where nothing is sealed. */
export type Parcel = Uint8Array | GossipMessage;

export interface Receiver {
  readonly id: string;
  readonly address: string;
  readonly isUp: boolean;
  datagram(parcel: Parcel, fromAddress: string): void;
  stream(message: GossipMessage, fromId: string): void;
  linkUp(peer: string): void;
  linkDown(peer: string): void;
}

interface Link {
  a: Receiver;
  b: Receiver;
  /** A message of an earlier connection is lost. */
  epoch: number;
  isUp: boolean;
  /** The last message each way, for their order: by receiver. */
  lastUs: Map<string, number>;
}

const DELAY_US_MIN = 150;
const DELAY_US_MAX = 1_500;
/** One datagram in fifty meets a queue. */
const SLOW_SHARE = 0.02;
const SLOW_US_MAX = 30_000;
/** First retransmission of TCP; it doubles. */
const RETRANSMIT_US = 200_000;
/** A connection without a sign of life ends after that; a new one is tried from then on. */
const SILENCE_US = 6_000_000;
const REDIAL_US_MAX = 5_000_000;
const HELD_BACK_US = 200_000;

export class SwimNetwork {
  readonly #queue: EventQueue;
  readonly #random: Random;
  readonly #byAddress = new Map<string, Receiver>();
  readonly #links = new Map<string, Link>();
  readonly #linksOf = new Map<string, Link[]>();
  /** Members of one group reach each other only; undefined: no partition. */
  #groupOf: ((id: string) => number) | undefined;
  readonly #datagramsBlocked = new Set<string>();
  faults: NetworkFaults;
  /** Sent, with all that surrounds them. */
  readonly sent = { datagrams: 0, datagramBytes: 0, streamMessages: 0, streamBytes: 0 };
  datagramBytesMax = 0;

  readonly #isSealed: boolean;

  constructor(queue: EventQueue, random: Random, faults: NetworkFaults, isSealed: boolean) {
    this.#isSealed = isSealed;
    this.#queue = queue;
    this.#random = random;
    this.faults = faults;
  }

  add(receiver: Receiver, hubs: readonly Receiver[]): void {
    this.#byAddress.set(receiver.address, receiver);
    this.#linksOf.set(receiver.id, []);
    for (const hub of hubs) {
      const link = { a: receiver, b: hub, epoch: 0, isUp: false, lastUs: new Map<string, number>() };
      this.#links.set(`${receiver.id} ${hub.id}`, link);
      this.#linksOf.get(receiver.id)?.push(link);
      this.#linksOf.get(hub.id)?.push(link);
    }
  }

  isCut(a: string, b: string): boolean {
    return this.#groupOf !== undefined && this.#groupOf(a) !== this.#groupOf(b);
  }

  partition(groupOf: (id: string) => number): void {
    this.#groupOf = groupOf;
    this.#queue.after(SILENCE_US, () => {
      for (const link of this.#links.values()) if (link.isUp && this.isCut(link.a.id, link.b.id)) this.#break(link);
    });
  }

  heal(): void {
    this.#groupOf = undefined;
    for (const link of this.#links.values()) if (!link.isUp) this.#dial(link);
  }

  blockDatagrams(ids: readonly string[]): void {
    for (const id of ids) this.#datagramsBlocked.add(id);
  }

  unblockDatagrams(): void {
    this.#datagramsBlocked.clear();
  }

  /** A process is there or has gone; the other ends of its connections notice at once. */
  processChanged({ id, isUp }: Receiver): void {
    for (const link of this.#linksOf.get(id) ?? []) {
      if (link.isUp) this.#break(link);
      else if (isUp) this.#dial(link);
    }
  }

  datagram(from: Receiver, toAddress: string, parcel: Parcel, bytes: number): void {
    this.sent.datagrams++;
    this.sent.datagramBytes += bytes;
    this.datagramBytesMax = Math.max(this.datagramBytesMax, bytes);
    this.#carry(from, toAddress, parcel);
    if (this.#random.chance(this.faults.duplicates)) this.#carry(from, toAddress, parcel);
  }

  /** Puts a datagram on the wire as if it came from that address. */
  inject(payload: Uint8Array, fromAddress: string, toAddress: string): void {
    const to = this.#byAddress.get(toAddress);
    if (to?.isUp === true) to.datagram(payload, fromAddress);
  }

  stream(from: Receiver, toId: string, message: GossipMessage): void {
    const link = this.#links.get(`${from.id} ${toId}`) ?? this.#links.get(`${toId} ${from.id}`);
    if (link?.isUp !== true) return;
    this.sent.streamMessages++;
    this.sent.streamBytes += encodedBytes(nodeHost, message) + FRAME_BYTES;
    const to = link.a.id === toId ? link.a : link.b;
    let delayUs = this.#delayUs();
    for (let again = RETRANSMIT_US; this.#random.chance(this.faults.loss); again *= 2) delayUs += again;
    const atUs = Math.max(this.#queue.nowUs + delayUs, (link.lastUs.get(toId) ?? 0) + 1);
    link.lastUs.set(toId, atUs);
    this.#deliver(link, from, to, this.#isSealed ? recoded(message) : message, atUs);
  }

  #deliver(link: Link, from: Receiver, to: Receiver, message: GossipMessage, atUs: number): void {
    const { epoch } = link;
    this.#queue.at(atUs, () => {
      if (link.epoch !== epoch || !link.isUp || !to.isUp) return;
      if (this.isCut(from.id, to.id)) this.#deliver(link, from, to, message, this.#queue.nowUs + HELD_BACK_US);
      else to.stream(message, from.id);
    });
  }

  #carry(from: Receiver, toAddress: string, parcel: Parcel): void {
    const delayUs = this.#delayUs();
    const to = this.#byAddress.get(toAddress);
    if (to === undefined || this.#random.chance(this.faults.loss)) return;
    if (this.#datagramsBlocked.has(from.id) || this.#datagramsBlocked.has(to.id)) return;
    this.#queue.after(delayUs, () => {
      if (to.isUp && !this.isCut(from.id, to.id)) to.datagram(parcel, from.address);
    });
  }

  #dial(link: Link): void {
    const { epoch } = link;
    // The first try of a process that starts comes soon, those after a break are spread.
    const waitUs = epoch === 0 ? this.#random.integer(2_000, 50_000) : this.#random.integer(100_000, REDIAL_US_MAX);
    this.#queue.after(waitUs, () => {
      if (link.epoch !== epoch || link.isUp || !link.a.isUp || !link.b.isUp) return;
      if (this.isCut(link.a.id, link.b.id)) return;
      link.isUp = true;
      link.a.linkUp(link.b.id);
      link.b.linkUp(link.a.id);
    });
  }

  #break(link: Link): void {
    link.isUp = false;
    link.epoch++;
    link.lastUs.clear();
    if (link.a.isUp) link.a.linkDown(link.b.id);
    if (link.b.isUp) link.b.linkDown(link.a.id);
    if (link.a.isUp && link.b.isUp) this.#dial(link);
  }

  #delayUs(): number {
    const slowUs = this.#random.chance(SLOW_SHARE) ? this.#random.integer(0, SLOW_US_MAX) : 0;
    return this.#random.integer(DELAY_US_MIN, DELAY_US_MAX) + slowUs;
  }
}

/** Header of a frame. */
export const FRAME_BYTES = 34;

/** Encoded and decoded. */
function recoded(message: GossipMessage): GossipMessage {
  const { code, payload } = encodeMessage(nodeHost, message);
  return decodeMessage(nodeHost, code, payload) as GossipMessage;
}
