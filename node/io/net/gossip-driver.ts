/**
 * SWIM on a real network: datagrams, the connections that there are anyway, a clock and timers.
 *
 * 1. Every call of the core is followed by `#after`: what has changed is told, and the next turn is set.
 * 2. Whoever asks "who is there?" (a PING that names no target) is answered by coordinators, with what they tell of
 *    themselves: so a node finds its cluster by multicast.
 */
import { performance } from 'node:perf_hooks';
import type { GossipListener } from '../../../api/gossip.ts';
import { formatAddress, isAnyAddress, isIpv4, isIpv6, parseAddress, type Address } from '../../../base/address.ts';
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import type { Random } from '../../../base/random.ts';
import { STATUS } from '../../core/swim/claim.ts';
import type { OwnDetails } from '../../core/swim/own-standing.ts';
import { SWIM_DEFAULTS, type SwimConfig } from '../../core/swim/swim-config.ts';
import type { GossipMessage, MemberView, Route, SwimEvent } from '../../core/swim/swim-ports.ts';
import { Swim } from '../../core/swim/swim.ts';
import type { MemberClaim } from '../../core/tlv/messages.ts';
import type { GossipNews } from '../../gossip-view.ts';
import type { GossipCondition, GossipMetrics } from '../../metrics.ts';
import { GossipPort } from './gossip-port.ts';
import { LimitedLog } from './limited-log.ts';
import type { NetLog } from './net-metrics.ts';
import { ProbeTimes } from './probe-times.ts';
import type { UdpMetrics } from './udp-metrics.ts';

/** A member that leaves stays no longer for that to get about. */
const LEAVE_MS_MAX = 1_000;
/** A disk that did not take the incarnation is asked again so soon. */
const KEEP_AGAIN_MS = 1_000;
/** The whole list is told so often: listeners forget whom the core has forgotten. */
const WHOLE_MS = 10_000;
/** How often the event loop is looked at, and the share of the time that it may be at work. */
const WATCH_MS = 1_000;
const UTILIZATION_MAX = 0.98;

export type MemberEvent = Extract<SwimEvent, { member: MemberView }>;

export interface GossipListeners {
  news?(news: GossipNews): void;
  event?(event: MemberEvent): void;
}

export interface GossipDriverOptions {
  host: Host;
  nodeId: string;
  clusterName: string;
  listener: Extract<GossipListener, { on: true }>;
  /** IP address at which others reach this node; by default the one it listens on. */
  advertise?: string;
  /** What it tells of itself, but for where it takes datagrams. */
  details: Omit<OwnDetails, 'address'>;
  /** Above all incarnations of earlier lives; `keep` resolves when a higher one is durable. */
  ceiling: number;
  keep: (ceiling: number) => Promise<void>;
  random: Random;
  config?: SwimConfig;
  metrics: GossipMetrics;
  udpMetrics: UdpMetrics;
  log: NetLog;
}

/** Hands a message to the connection to a peer; false when it was dropped. */
type StreamSend = (peer: string, message: GossipMessage) => boolean;

export class GossipDriver {
  readonly #options: GossipDriverOptions;
  readonly #port: GossipPort;
  readonly #swim: Swim;
  readonly #log: NetLog;
  readonly #times = new ProbeTimes();
  readonly #listeners = new Set<GossipListeners>();
  readonly #coordinators = new Set<string>();
  #details: OwnDetails;
  #stream: StreamSend = () => false;
  #changed = new Map<string, MemberView>();
  #wholeAtMs = 0;
  #blocked = false;
  #toldBlocked = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Infinity;
  #watchedAtMs = performance.now();
  #utilization = performance.eventLoopUtilization();
  #askSequence = 0;
  /** The highest that is to be durable. */
  #ceiling = 0;
  #keepTimer: NodeJS.Timeout | undefined;
  #onGossiped: (() => void) | undefined;
  #closed = false;

  private constructor(options: GossipDriverOptions, port: GossipPort) {
    this.#options = options;
    this.#port = port;
    this.#log = new LimitedLog(options.log);
    const { host, port: number } = port.address;
    const address = formatAddress(options.advertise ?? host, number);
    this.#details = { ...options.details, address };
    this.#swim = new Swim(
      {
        host: options.host,
        selfId: options.nodeId,
        cluster: options.clusterName,
        details: this.#details,
        ceiling: options.ceiling,
        config: options.config ?? SWIM_DEFAULTS,
        random: options.random,
        ports: {
          send: (route, message) => this.#send(route, message),
          persist: (ceiling) => this.#persist(ceiling),
          event: (event) => this.#onEvent(event),
        },
        payloadBytesMax: port.payloadBytesMax,
      },
      performance.now(),
    );
    options.metrics.observeGossip(() => this.condition());
    this.#after();
  }

  /** Rejects as `GossipPort.open` does. */
  static async open(options: GossipDriverOptions): Promise<GossipDriver> {
    const { host, listener, udpMetrics: metrics, log } = options;
    const holder: { driver?: GossipDriver } = {};
    const port = await GossipPort.open({
      host,
      listener,
      metrics,
      log,
      onMessage: (message, from, byteCount) => holder.driver?.datagram(message, from, byteCount),
    });
    holder.driver = new GossipDriver(options, port);
    return holder.driver;
  }

  /** As bound. */
  get address(): Address {
    return this.#port.address;
  }

  condition(): GossipCondition {
    const members = { alive: 0, suspected: 0, failed: 0, left: 0 };
    for (const { status } of this.#swim.members()) members[status]++;
    return { members, healthFactor: 1 + this.#swim.healthScore, blocked: this.#blocked };
  }

  /** Every member known, this one first. */
  members(): MemberView[] {
    return this.#swim.members();
  }

  /** Another port of this node, at the host at which others reach it. */
  reachedAt({ host, port }: Address): string {
    return formatAddress(isAnyAddress(host) ? parseAddress(this.#details.address).host : host, port);
  }

  listen(listeners: GossipListeners): void {
    this.#listeners.add(listeners);
    listeners.news?.(this.#news(true));
  }

  /** From now on messages go over connections too. */
  useStreams(send: StreamSend): void {
    this.#stream = send;
  }

  linkUp(peer: string, isCoordinator: boolean): void {
    if (isCoordinator) this.#coordinators.add(peer);
    this.#do((nowMs) => this.#swim.linkUp(peer, isCoordinator, nowMs));
  }

  linkDown(peer: string): void {
    this.#coordinators.delete(peer);
    this.#do(() => this.#swim.linkDown(peer));
  }

  /** What came over the connection to `peer`. */
  streamed(peer: string, message: GossipMessage): void {
    this.#options.metrics.gossipReceived(message.kind, 'stream', 0);
    this.#do((nowMs) => this.#swim.receive({ over: 'stream', peer }, message, nowMs));
  }

  datagram(message: GossipMessage, from: Address, byteCount: number): void {
    this.#options.metrics.gossipReceived(message.kind, 'datagram', byteCount);
    if (message.kind === 'PING' && message.body.target === undefined) {
      this.#answerSearch(message.body, from);
      return;
    }
    // Everything there is to tell fits into no datagram: whoever sends so is none of ours.
    if (message.kind === 'PUSH_PULL') return;
    const address = formatAddress(from.host, from.port);
    const nowMs = performance.now();
    if (message.kind === 'ACK') this.#timed(message.body, nowMs);
    this.#do(() => this.#swim.receive({ over: 'datagram', address }, message, nowMs));
  }

  /** Changes what this node tells of itself. */
  describe(details: Partial<OwnDetails>): void {
    this.#details = { ...this.#details, ...details };
    this.#do((nowMs) => {
      this.#swim.describe(this.#details, nowMs);
      const { nodeId } = this.#options;
      this.#changed.set(nodeId, this.#own());
    });
  }

  /** Asks who is there; the coordinators that hear it become members here. */
  ask(to: Address): void {
    const { nodeId: from, clusterName: cluster } = this.#options;
    this.#port.send(to, { kind: 'PING', body: { sequence: ++this.#askSequence, from, cluster } });
  }

  /** Tells that this node leaves; resolves when that has got about, after a second at the latest. */
  async leave(): Promise<void> {
    if (this.#closed || this.#swim.livingCount < 2) return;
    const told = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, LEAVE_MS_MAX);
      this.#onGossiped = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#do((nowMs) => this.#swim.leave(nowMs));
    const claim = this.#ownClaim();
    const { nodeId: from, clusterName: cluster } = this.#options;
    // Where datagrams do not come through, they hear it so.
    for (const peer of this.#coordinators)
      this.#stream(peer, { kind: 'STATE', body: { from, cluster, claims: [claim] } });
    await told;
  }

  /** Without a word to anybody. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#keepTimer);
    this.#onGossiped?.();
    await this.#port.close();
  }

  // ---- the ports of the core ---------------------------------------------------------------------------------------

  #send(route: Route, message: GossipMessage): void {
    const { metrics } = this.#options;
    if (route.over === 'stream') {
      if (this.#stream(route.peer, message)) metrics.gossipSent(message.kind, 'stream', 0);
      return;
    }
    const to = addressIn(route.address);
    if (to === undefined) return;
    if (message.kind === 'PING') this.#times.sent(message.body.sequence, performance.now());
    const byteCount = this.#port.send(to, message);
    if (byteCount > 0) metrics.gossipSent(message.kind, 'datagram', byteCount);
  }

  #persist(ceiling: number): void {
    this.#ceiling = Math.max(this.#ceiling, ceiling);
    this.#options.keep(ceiling).then(
      () => this.#do((nowMs) => this.#swim.persisted(ceiling, nowMs)),
      (error: unknown) => {
        assert(error instanceof Error, 'a file that cannot be written says why');
        this.#log.warn({ reason: error.message }, 'the incarnation could not be kept: this node cannot refute');
        if (this.#closed) return;
        clearTimeout(this.#keepTimer);
        this.#keepTimer = setTimeout(() => this.#persist(this.#ceiling), KEEP_AGAIN_MS).unref();
      },
    );
  }

  #onEvent(event: SwimEvent): void {
    const { metrics } = this.#options;
    switch (event.kind) {
      case 'datagramsBlocked':
      case 'datagramsFlow':
        this.#blocked = event.kind === 'datagramsBlocked';
        if (this.#blocked) this.#log.warn({}, 'datagrams do not come through: members answer over connections only');
        else this.#log.info({}, 'datagrams come through again');
        break;
      case 'stoodStill':
        metrics.stoodStill(event.ms / 1_000);
        this.#log.debug({ ms: Math.round(event.ms) }, 'this process stood still');
        break;
      case 'accused':
        metrics.accused();
        this.#changed.set(this.#options.nodeId, this.#own());
        this.#log.info({ incarnation: event.incarnation }, 'suspected by others: told them that this node is alive');
        break;
      case 'idTaken':
        this.#log.warn({ address: event.address }, 'another process goes by the id of this node');
        break;
      default:
        this.#onMember(event);
    }
  }

  #onMember(event: MemberEvent): void {
    const { kind, member } = event;
    this.#changed.set(member.id, member);
    this.#options.metrics.memberEvent(kind);
    const { id, incarnation, details } = member;
    const fields = { member: id, role: details?.role, address: details?.address, incarnation };
    const line = EVENT_LINES[kind];
    this.#log[line.level](fields, line.text);
    for (const listener of this.#listeners) listener.event?.(event);
  }

  // ---- inside --------------------------------------------------------------------------------------------------------

  #do(call: (nowMs: number) => void): void {
    if (this.#closed) return;
    call(performance.now());
    this.#after();
  }

  #after(): void {
    const whole = performance.now() >= this.#wholeAtMs;
    if (whole || this.#changed.size > 0 || this.#blocked !== this.#toldBlocked) this.#tell(whole);
    if (this.#onGossiped !== undefined && this.#swim.gossiped) this.#onGossiped();
    this.#arm();
  }

  #arm(): void {
    const wakeAtMs = this.#swim.wakeAtMs;
    if (wakeAtMs >= this.#timerAtMs || wakeAtMs === Infinity) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = wakeAtMs;
    this.#timer = setTimeout(() => this.#turn(), Math.max(0, wakeAtMs - performance.now()));
  }

  #turn(): void {
    this.#timerAtMs = Infinity;
    this.#do((nowMs) => {
      this.#watchLoop(nowMs);
      if (this.#swim.wakeAtMs <= nowMs) this.#swim.turn(nowMs);
    });
  }

  /** A loop that has no rest is late all the time, by less than the core takes for a standstill. */
  #watchLoop(nowMs: number): void {
    if (nowMs - this.#watchedAtMs < WATCH_MS) return;
    const before = this.#utilization;
    this.#watchedAtMs = nowMs;
    this.#utilization = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(this.#utilization, before);
    if (utilization > UTILIZATION_MAX) this.#swim.heldUp();
  }

  #tell(whole: boolean): void {
    if (whole) this.#wholeAtMs = performance.now() + WHOLE_MS;
    this.#toldBlocked = this.#blocked;
    const news = this.#news(whole);
    this.#changed = new Map();
    for (const listener of this.#listeners) listener.news?.(news);
  }

  #news(whole: boolean): GossipNews {
    const members = whole ? this.#swim.members() : [...this.#changed.values()];
    return { state: this.#blocked ? 'blocked' : 'on', members, whole };
  }

  #timed({ sequence }: { sequence: number }, nowMs: number): void {
    const tookMs = this.#times.answered(sequence, nowMs);
    if (tookMs !== undefined) this.#options.metrics.probed(tookMs / 1_000);
  }

  #answerSearch({ sequence, from, cluster }: { sequence: number; from?: string; cluster?: string }, to: Address): void {
    const { nodeId, clusterName } = this.#options;
    if (this.#details.role !== 'coordinator' || cluster !== clusterName || from === nodeId) return;
    // Nothing is said before its incarnation is durable.
    if (this.#swim.incarnation === 0) return;
    const body = { sequence, from: nodeId, cluster, claims: [this.#ownClaim()] };
    this.#port.send(to, { kind: 'ACK', body });
  }

  #own(): MemberView {
    return this.#swim.self;
  }

  #ownClaim(): MemberClaim {
    const { id, incarnation, status, details } = this.#own();
    return { id, incarnation, status: STATUS[status], ...(details === undefined ? {} : { details }) };
  }
}

const EVENT_LINES: Readonly<Record<MemberEvent['kind'], { level: 'debug' | 'info' | 'warn'; text: string }>> = {
  join: { level: 'info', text: 'member joined' },
  update: { level: 'debug', text: 'member updated' },
  suspect: { level: 'info', text: 'member suspected' },
  refute: { level: 'info', text: 'member is alive after all' },
  fail: { level: 'warn', text: 'member failed' },
  leave: { level: 'info', text: 'member left' },
};

/** Of another member's own words: undefined for what is no IP address, since a name would be asked for at each datagram. */
function addressIn(text: string): Address | undefined {
  try {
    const address = parseAddress(text);
    return isIpv4(address.host) || isIpv6(address.host) ? address : undefined;
  } catch {
    return undefined;
  }
}
