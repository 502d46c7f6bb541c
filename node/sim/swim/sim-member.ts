/** A member: the shipping core, with a process that can crash and be paused, and a disk that keeps one number. */
import type { Random } from '../../../base/random.ts';
import { Random as RandomStream } from '../../../base/random.ts';
import type { OwnDetails } from '../../core/swim/own-standing.ts';
import type { SwimConfig } from '../../core/swim/swim-config.ts';
import type { GossipMessage, Route, SwimEvent } from '../../core/swim/swim-ports.ts';
import { Swim } from '../../core/swim/swim.ts';
import { DATAGRAM_BYTES_MAX, SEAL_BYTES } from '../../core/tlv/datagram.ts';
import { decodeMessage, encodedBytes, encodeMessage } from '../../core/tlv/messages.ts';
import { nodeHost } from '../../io/host.ts';
import type { EventQueue } from '../event-queue.ts';
import type { Envelope } from './envelope.ts';
import { FRAME_BYTES, type Parcel, type Receiver, type SwimNetwork } from './swim-network.ts';

export interface MemberWatch {
  /** `isOwn`: found by this member itself in a turn, not told by a message. */
  event(member: SimMember, event: SwimEvent, isOwn: boolean): void;
  told(member: SimMember, message: GossipMessage): void;
  stepped(member: SimMember): void;
}

export interface SimMemberOptions {
  id: string;
  address: string;
  isHub: boolean;
  isHubId: (id: string) => boolean;
  queue: EventQueue;
  network: SwimNetwork;
  config: SwimConfig;
  seed: number;
  watch: MemberWatch;
  envelope?: Envelope;
}

/** Inputs that a paused process has not read: a socket buffer holds no more datagrams than that. */
const UNREAD_MAX = 2_000;
const PERSIST_US_MIN = 1_000;
const PERSIST_US_MAX = 20_000;

export class SimMember implements Receiver {
  readonly #options: SimMemberOptions;
  readonly #random: Random;
  #swim: Swim | undefined;
  #life = 0;
  /** What the disk has. */
  #ceiling = 0;
  #wakeUs = Infinity;
  #unread: (() => void)[] = [];
  #isPaused = false;
  #pauses = 0;
  #isTurn = false;
  #isLeaving = false;
  /** Since when it has been running without a pause. */
  runningSinceUs = 0;
  /** When it stopped; meaningless while it is up. */
  downSinceUs = 0;

  constructor(options: SimMemberOptions) {
    this.#options = options;
    this.#random = RandomStream.stream(options.seed, `disk ${options.id}`);
  }

  get id(): string {
    return this.#options.id;
  }

  get address(): string {
    return this.#options.address;
  }

  get isHub(): boolean {
    return this.#options.isHub;
  }

  get isUp(): boolean {
    return this.#swim !== undefined;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  get isLeaving(): boolean {
    return this.#isLeaving;
  }

  get life(): number {
    return this.#life;
  }

  /** Only of a member that is up. */
  get swim(): Swim {
    if (this.#swim === undefined) throw new Error(`${this.id} is down`);
    return this.#swim;
  }

  start(): void {
    const { id, config, seed, network } = this.#options;
    this.#life++;
    this.#isLeaving = false;
    this.#wakeUs = Infinity;
    this.#swim = new Swim(
      {
        host: nodeHost,
        selfId: id,
        cluster: 'c',
        details: this.details(),
        ceiling: this.#ceiling,
        config,
        random: RandomStream.stream(seed, `${id} ${this.#life}`),
        ports: {
          send: (route, message) => this.#send(route, message),
          persist: (ceiling) => this.#persist(ceiling),
          event: (event) => this.#options.watch.event(this, event, this.#isTurn),
        },
        payloadBytesMax: DATAGRAM_BYTES_MAX - SEAL_BYTES - FRAME_BYTES,
      },
      this.#nowMs(),
    );
    this.runningSinceUs = this.#options.queue.nowUs;
    network.processChanged(this);
    this.#arm();
  }

  details(labels: readonly string[] = []): OwnDetails {
    const { address, isHub } = this.#options;
    const own = { address, peerAddress: address, softwareVersion: '0.1.0', labels, capacity: 8, load: 0.5 };
    return { role: isHub ? 'coordinator' : 'worker', ...own };
  }

  crash(): void {
    this.#swim = undefined;
    this.#unread = [];
    this.#isPaused = false;
    this.downSinceUs = this.#options.queue.nowUs;
    this.#options.network.processChanged(this);
  }

  loseDisk(): void {
    this.#ceiling = 0;
  }

  pause(durationUs: number): void {
    if (!this.isUp || this.#isPaused) return;
    this.#isPaused = true;
    const life = this.#life;
    const pause = ++this.#pauses;
    this.#options.queue.after(durationUs, () => {
      if (life === this.#life && pause === this.#pauses) this.endPause();
    });
  }

  endPause(): void {
    if (this.#isPaused) this.#resume();
  }

  /** Says that it leaves, and goes soon. */
  leave(): void {
    const life = this.#life;
    this.#isLeaving = true;
    this.#input((swim) => swim.leave(this.#nowMs()));
    this.#options.queue.after(1_000_000, () => {
      if (life === this.#life && this.isUp) this.crash();
    });
  }

  describe(labels: readonly string[]): void {
    this.#input((swim) => swim.describe(this.details(labels), this.#nowMs()));
  }

  datagram(parcel: Parcel, fromAddress: string): void {
    this.#input((swim) => {
      const message = parcel instanceof Uint8Array ? this.#open(parcel) : parcel;
      if (message !== undefined) swim.receive({ over: 'datagram', address: fromAddress }, message, this.#nowMs());
    });
  }

  stream(message: GossipMessage, fromId: string): void {
    this.#input((swim) => swim.receive({ over: 'stream', peer: fromId }, message, this.#nowMs()));
  }

  linkUp(peer: string): void {
    this.#input((swim) => swim.linkUp(peer, this.#options.isHubId(peer), this.#nowMs()));
  }

  linkDown(peer: string): void {
    this.#input((swim) => swim.linkDown(peer));
  }

  #nowMs(): number {
    return this.#options.queue.nowUs / 1_000;
  }

  #input(take: (swim: Swim) => void): void {
    if (this.#swim === undefined) return;
    if (this.#isPaused) {
      if (this.#unread.length < UNREAD_MAX) this.#unread.push(() => this.#input(take));
      return;
    }
    take(this.#swim);
    this.#options.watch.stepped(this);
    this.#arm();
  }

  /** As Node does: timers that are due run before sockets are read. */
  #resume(): void {
    this.#isPaused = false;
    this.runningSinceUs = this.#options.queue.nowUs;
    this.#turn();
    for (const take of this.#unread.splice(0)) take();
  }

  #turn(): void {
    const swim = this.#swim;
    if (swim === undefined) return;
    this.#isTurn = true;
    swim.turn(this.#nowMs());
    this.#isTurn = false;
    this.#options.watch.stepped(this);
    this.#arm();
  }

  #arm(): void {
    const { queue } = this.#options;
    if (this.#swim === undefined) return;
    // Microseconds more, so that it is due then however the fractions are rounded.
    const atUs = Math.max(queue.nowUs, Math.floor(this.#swim.wakeAtMs * 1_000) + 2);
    if (atUs >= this.#wakeUs || atUs === Infinity) return;
    this.#wakeUs = atUs;
    const life = this.#life;
    queue.at(atUs, () => {
      if (life !== this.#life || this.#wakeUs !== atUs) return;
      this.#wakeUs = Infinity;
      if (this.#isPaused) return;
      if (this.#swim !== undefined && this.#swim.wakeAtMs <= this.#nowMs()) this.#turn();
      else this.#arm();
    });
  }

  #persist(ceiling: number): void {
    const life = this.#life;
    this.#options.queue.after(this.#random.integer(PERSIST_US_MIN, PERSIST_US_MAX), () => {
      if (life !== this.#life || this.#swim === undefined) return;
      this.#ceiling = ceiling;
      this.#input((swim) => swim.persisted(ceiling, this.#nowMs()));
    });
  }

  #send(route: Route, message: GossipMessage): void {
    const { network, watch, envelope } = this.#options;
    watch.told(this, message);
    if (route.over === 'stream') {
      network.stream(this, route.peer, message);
      return;
    }
    const bytes = encodedBytes(nodeHost, message) + FRAME_BYTES + SEAL_BYTES;
    network.datagram(this, route.address, envelope === undefined ? message : this.#seal(message, envelope), bytes);
  }

  #seal(message: GossipMessage, envelope: Envelope): Uint8Array {
    const { code, payload } = encodeMessage(nodeHost, message);
    const frame = new Uint8Array(payload.length + CODE_BYTES);
    frame[0] = code >> 8;
    frame[1] = code;
    frame.set(payload, CODE_BYTES);
    return envelope.seal(this.id, this.#life, frame);
  }

  #open(bytes: Uint8Array): GossipMessage | undefined {
    const payload = this.#options.envelope?.open(this.id, this.#life, bytes);
    if (payload === undefined) return undefined;
    const code = ((payload[0] ?? 0) << 8) | (payload[1] ?? 0);
    return decodeMessage(nodeHost, code, payload.subarray(CODE_BYTES)) as GossipMessage;
  }
}

/** Stands for the header of a frame. */
const CODE_BYTES = 2;
