/**
 * Connections between processes. As over TCP, frames of one lane arrive in order or not at all: a broken connection
 * loses what was in flight, and both ends learn of it, each at its own time. A blocked direction holds frames back; a
 * connection over which nothing comes for a while is given up. Frames of the Raft core are, on top of that, lost,
 * doubled and reordered where the plan says so: the core has to stand it.
 */
import { assert } from '../../base/assert.ts';
import type { Random } from '../../base/random.ts';
import { RAFT_KINDS } from '../core/raft/raft-kinds.ts';
import { decodeMessage, encodeMessage, laneOf, type Message } from '../core/tlv/messages.ts';
import { nodeHost } from '../io/host.ts';
import type { PeerRole } from '../ports.ts';
import type { Counters } from './counters.ts';
import type { EventQueue } from './event-queue.ts';
import type { SimProcess } from './sim-process.ts';
import type { Trace } from './trace.ts';

/** A connection that brought nothing for so long is closed (as net-limits.ts has it for the control lane). */
const IDLE_US = 6_000_000;

/** A doubled frame comes again within one of these: in between others, after a restart, in another age. */
const STRAY_US_MAX = [5_000, 100_000, 100_000, 500_000, 500_000, 20_000_000];

/** Frames that are kept for a replay: of appends one in so many, and so many of all. */
const KEPT_EVERY = 20;
const KEPT_MAX = 2_000;

export interface NetworkPlan {
  delayUsMin: number;
  delayUsMax: number;
  /** Probability that a frame takes up to `spikeUs` longer. */
  spike: number;
  spikeUs: number;
  /** Probabilities, for frames of the Raft core. */
  loss: number;
  duplicate: number;
  reorder: number;
}

export interface Endpoint {
  readonly id: string;
  readonly role: PeerRole;
  readonly process: SimProcess;
  /** Of a coordinator, as it says in HELLO. */
  readonly dataUuid?: string;
  onMessage(from: string, message: Message, dataUuid: string | undefined): void;
  onPeerUp(peer: string, role: PeerRole, dataUuid: string | undefined): void;
  onPeerDown(peer: string, role: PeerRole): void;
}

interface Frame {
  code: number;
  payload: Uint8Array;
  /** The disk that its sender had. */
  dataUuid: string | undefined;
}

/** One end's view of a connection. */
interface End {
  readonly endpoint: Endpoint;
  /** The connection it believes to be up; 0: none. */
  view: number;
  /** Towards the other end. */
  blocked: boolean;
  held: (() => void)[];
  /** When the last frame sent from here arrives, per lane. */
  lastUs: { control: number; bulk: number };
}

interface Link {
  /** The connection that really is; 0: none. */
  epoch: number;
  readonly ends: readonly [End, End];
  dialing: boolean;
}

export class SimNetwork {
  readonly #queue: EventQueue;
  readonly #random: Random;
  readonly #trace: Trace;
  readonly #counters: Counters;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #links = new Map<string, Link>();
  #epoch = 0;
  /** Frames of the Raft core that a fault may bring back. */
  readonly #kept: { own: End; other: End; frame: Frame }[] = [];
  #keptCount = 0;
  #frames = 0;
  plan: NetworkPlan;

  constructor(queue: EventQueue, random: Random, trace: Trace, counters: Counters, plan: NetworkPlan) {
    this.#queue = queue;
    this.#random = random;
    this.#trace = trace;
    this.#counters = counters;
    this.plan = plan;
  }

  /** Coordinators connect to everybody, workers to coordinators. */
  add(endpoint: Endpoint): void {
    for (const other of this.#endpoints.values()) {
      if (endpoint.role === 'worker' && other.role === 'worker') continue;
      this.#links.set(pairKey(other.id, endpoint.id), {
        epoch: 0,
        ends: [newEnd(other), newEnd(endpoint)],
        dialing: false,
      });
    }
    this.#endpoints.set(endpoint.id, endpoint);
  }

  // ---- processes -----------------------------------------------------------------------------------------------------

  started(id: string): void {
    for (const link of this.#linksOf(id)) this.#dialLater(link, this.#random.integer(1_000, 100_000));
  }

  stopped(id: string): void {
    for (const link of this.#linksOf(id)) {
      const [own, other] = sides(link, id);
      own.view = 0;
      this.#drop(link);
      this.#endDown(other, own, this.#random.integer(100, 50_000));
    }
  }

  /** Its peers give up on a process that stays paused. */
  pausedFor(id: string): void {
    const { process } = this.#endpoint(id);
    for (const link of this.#linksOf(id)) {
      const { epoch } = link;
      if (epoch === 0) continue;
      const [own, other] = sides(link, id);
      this.#queue.after(IDLE_US + this.#random.integer(0, 500_000), () => {
        if (!process.paused || link.epoch !== epoch) return;
        this.#counters.add('connection idle');
        this.#drop(link);
        this.#endDown(other, own, 0);
        this.#endDown(own, other, 0);
      });
    }
  }

  // ---- faults --------------------------------------------------------------------------------------------------------

  /** Frames from `from` to `to` are held back from now on. */
  block(from: string, to: string): void {
    const link = this.#link(from, to);
    const [own, other] = sides(link, from);
    if (own.blocked) return;
    own.blocked = true;
    const { epoch } = link;
    if (epoch === 0) return;
    this.#queue.after(IDLE_US + this.#random.integer(0, 500_000), () => {
      if (!own.blocked || link.epoch !== epoch) return;
      this.#counters.add('connection idle');
      this.#drop(link);
      this.#endDown(other, own, 0);
      // The close reaches the sender only if the way back is open; else it finds out by itself.
      this.#endDown(own, other, other.blocked ? this.#random.integer(0, 2_000_000) : this.#delayUs());
    });
  }

  unblock(from: string, to: string): void {
    const [own] = sides(this.#link(from, to), from);
    if (!own.blocked) return;
    own.blocked = false;
    const held = own.held;
    own.held = [];
    for (const send of held) send();
  }

  unblockAll(): void {
    for (const { ends } of this.#links.values()) {
      this.unblock(ends[0].endpoint.id, ends[1].endpoint.id);
      this.unblock(ends[1].endpoint.id, ends[0].endpoint.id);
    }
  }

  /** Some direction is blocked. */
  get cut(): boolean {
    return [...this.#links.values()].some(({ ends }) => ends.some(({ blocked }) => blocked));
  }

  /** Breaks the connection: what is in flight is lost. */
  reset(a: string, b: string): void {
    const link = this.#link(a, b);
    if (link.epoch === 0) return;
    this.#drop(link);
    const [own, other] = sides(link, a);
    this.#endDown(own, other, this.#random.integer(0, 200_000));
    this.#endDown(other, own, this.#random.integer(0, 200_000));
  }

  // ---- frames --------------------------------------------------------------------------------------------------------

  /** As PeerNet: false when this end knows of no connection. */
  send(from: string, to: string, message: Message): boolean {
    const link = this.#links.get(pairKey(from, to));
    if (link === undefined) return false;
    const [own, other] = sides(link, from);
    if (own.view === 0) return false;
    const frame = { ...encodeMessage(nodeHost, message), dataUuid: own.endpoint.dataUuid };
    this.#counters.add('frames');
    if (RAFT_KINDS.has(message.kind)) {
      this.#keep(own, other, frame, message.kind);
      if (this.#disturbed(own, other, frame, message.kind)) return true;
    }
    const lane = laneOf(message);
    const epoch = own.view;
    const pass = (): void => {
      if (epoch !== link.epoch) return;
      const arriveUs = Math.max(this.#queue.nowUs + this.#delayUs(), own.lastUs[lane]);
      own.lastUs[lane] = arriveUs;
      this.#queue.at(arriveUs, () => {
        if (epoch !== link.epoch) return;
        other.endpoint.process.deliver(() => {
          if (other.view === epoch) this.#arrive(own, other, frame);
        });
      });
    };
    if (own.blocked) own.held.push(pass);
    else pass();
    return true;
  }

  /** All that is rare, and a sample of the appends. */
  #keep(own: End, other: End, frame: Frame, kind: Message['kind']): void {
    const isRare = kind !== 'APPEND_ENTRIES' && kind !== 'APPEND_ENTRIES_RESPONSE';
    this.#frames++;
    if (!isRare && this.#frames % KEPT_EVERY > 0) return;
    this.#kept[this.#keptCount % KEPT_MAX] = { own, other, frame };
    this.#keptCount++;
  }

  /** Frames of some time ago come once more, all at once. */
  replay(count: number, random: Random): void {
    if (this.#kept.length === 0) return;
    for (let i = 0; i < count; i++) {
      const { own, other, frame } = random.pick(this.#kept);
      if (!own.blocked) other.endpoint.process.deliver(() => this.#arrive(own, other, frame));
    }
  }

  /** Loses, doubles or delays a frame of the Raft core; true when the frame is dealt with. */
  #disturbed(own: End, other: End, frame: Frame, kind: Message['kind']): boolean {
    const { loss, duplicate, reorder } = this.plan;
    if (loss > 0 && this.#random.chance(loss)) {
      this.#counters.add('fault: frame lost');
      if (kind === 'TIMEOUT_NOW') this.#counters.add('TIMEOUT_NOW lost');
      return true;
    }
    if (duplicate > 0 && this.#random.chance(duplicate)) {
      this.#counters.add('fault: frame doubled');
      this.#stray(own, other, frame, this.#random.pick(STRAY_US_MAX));
      return false;
    }
    if (reorder > 0 && !own.blocked && this.#random.chance(reorder)) {
      this.#counters.add('fault: frame reordered');
      this.#stray(own, other, frame, 50_000);
      return true;
    }
    return false;
  }

  #stray(own: End, other: End, frame: Frame, delayUsMax: number): void {
    this.#queue.after(this.#random.integer(1, delayUsMax), () => {
      if (!own.blocked) other.endpoint.process.deliver(() => this.#arrive(own, other, frame));
    });
  }

  #arrive(own: End, other: End, frame: Frame): void {
    const message = decodeMessage(nodeHost, frame.code, frame.payload);
    assert(message !== undefined, 'a message that was sent is known');
    this.#trace.mix(frame.code, frame.payload.length);
    if (this.#trace.verbose)
      this.#trace.note('', '', `${own.endpoint.id} -> ${other.endpoint.id} ${message.kind} ${summary(message)}`);
    other.endpoint.onMessage(own.endpoint.id, message, frame.dataUuid);
  }

  #delayUs(): number {
    const { delayUsMin, delayUsMax, spike, spikeUs } = this.plan;
    const delayUs = this.#random.integer(delayUsMin, delayUsMax);
    if (spike > 0 && this.#random.chance(spike)) return delayUs + this.#random.integer(0, spikeUs);
    return delayUs;
  }

  // ---- connections ---------------------------------------------------------------------------------------------------

  #drop(link: Link): void {
    link.epoch = 0;
    for (const end of link.ends) end.held = [];
    this.#dialLater(link, this.#random.integer(50_000, 1_000_000));
  }

  /** The end learns that the connection it knows is gone. */
  #endDown(end: End, other: End, delayUs: number): void {
    const { view } = end;
    if (view === 0) return;
    end.endpoint.process.deliverAfter(delayUs, () => {
      if (end.view !== view) return;
      end.view = 0;
      end.endpoint.onPeerDown(other.endpoint.id, other.endpoint.role);
    });
  }

  #dialLater(link: Link, delayUs: number): void {
    if (link.dialing) return;
    link.dialing = true;
    this.#queue.after(delayUs, () => {
      link.dialing = false;
      this.#dial(link);
    });
  }

  #dial(link: Link): void {
    const [a, b] = link.ends;
    if (link.epoch !== 0 || !a.endpoint.process.alive || !b.endpoint.process.alive) return;
    if (a.blocked || b.blocked || a.endpoint.process.paused || b.endpoint.process.paused) {
      this.#dialLater(link, this.#random.integer(100_000, 1_500_000));
      return;
    }
    link.epoch = ++this.#epoch;
    this.#endUp(link, a, b, this.#delayUs());
    this.#endUp(link, b, a, 2 * this.#delayUs());
  }

  #endUp(link: Link, end: End, other: End, delayUs: number): void {
    const { epoch } = link;
    const upUs = this.#queue.nowUs + delayUs;
    // Nothing arrives here before the connection is known here.
    other.lastUs = { control: upUs, bulk: upUs };
    end.endpoint.process.deliverAfter(delayUs, () => {
      if (link.epoch !== epoch) return;
      const { id, role } = other.endpoint;
      // A half-open rest of before is replaced.
      if (end.view !== 0) end.endpoint.onPeerDown(id, role);
      end.view = epoch;
      end.endpoint.onPeerUp(id, role, other.endpoint.dataUuid);
    });
  }

  #link(a: string, b: string): Link {
    const link = this.#links.get(pairKey(a, b));
    assert(link !== undefined, 'both processes are of this network');
    return link;
  }

  #endpoint(id: string): Endpoint {
    const endpoint = this.#endpoints.get(id);
    assert(endpoint !== undefined, 'the process is of this network');
    return endpoint;
  }

  #linksOf(id: string): Link[] {
    return [...this.#links.values()].filter(({ ends }) => ends.some(({ endpoint }) => endpoint.id === id));
  }
}

function newEnd(endpoint: Endpoint): End {
  return { endpoint, view: 0, blocked: false, held: [], lastUs: { control: 0, bulk: 0 } };
}

function pairKey(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

/** The own end first. */
function sides({ ends }: Link, id: string): [End, End] {
  const [a, b] = ends;
  return a.endpoint.id === id ? [a, b] : [b, a];
}

function summary(message: Message): string {
  return JSON.stringify(message.body, (_key, value: unknown) => {
    if (value instanceof Uint8Array) return `${value.length} bytes`;
    return Array.isArray(value) && value.length > 8 ? `${value.length} elements` : value;
  });
}
