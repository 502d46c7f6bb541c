/**
 * Membership by gossip: SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar, Phillips, Currey 2017). Pure: what
 * comes in changes it, what is to go out goes to its ports, and `wakeAtMs` says when it wants to run again.
 *
 * 1. Claims are ordered as in `claim.ts`; nobody is declared dead on hearsay (`members.ts`); only a member itself raises
 *    its incarnation, which is durable before it is told (`own-standing.ts`).
 * 2. Every message takes along what is to be told, as much as fits into a datagram; whoever is not alive here is told
 *    so with the first message it gets, and can refute.
 * 3. While this process stands still its time does too (`own-clock.ts`): what was not read in time accuses nobody.
 * 4. Datagrams are the rule. Where none comes through, connections carry probes and, now and then, everything there is
 *    to tell; a member that answers over either is alive.
 * 5. It is told of the membership of Raft, and never changes it.
 */
import type { Host } from '../../../base/host.ts';
import type { Random } from '../../../base/random.ts';
import { encodedBytes, type Body, type MemberClaim } from '../tlv/messages.ts';
import { BroadcastQueue } from './broadcast-queue.ts';
import { CLAIM_BYTES_MAX, isSound, STATUS_NAMES } from './claim.ts';
import { LocalHealth } from './local-health.ts';
import { Members } from './members.ts';
import { OwnClock } from './own-clock.ts';
import { OwnStanding, type OwnDetails } from './own-standing.ts';
import { Prober } from './prober.ts';
import { PushPull } from './push-pull.ts';
import { shuffle } from './shuffle.ts';
import type { SwimConfig } from './swim-config.ts';
import type { GossipMessage, MemberView, Route, SwimPorts } from './swim-ports.ts';

/** Probes in a row that only connections answered: datagrams do not come through. One in a billion at 30 % loss. */
const STREAM_ANSWERS_MAX = 16;
const HOUSEKEEPING_MS = 10_000;
/** In one answer. */
const CORRECTIONS_MAX = 8;
/** Of the largest claims, with the longest names of accusers, so many fit into a frame. */
const CLAIMS_PER_EXCHANGE = 1_500;

export interface SwimOptions {
  host: Host;
  selfId: string;
  /** Messages of other clusters are dropped. */
  cluster: string;
  details: OwnDetails;
  /** What `persist` was last told; 0 at the first start. */
  ceiling: number;
  config: SwimConfig;
  random: Random;
  ports: SwimPorts;
  /** Most bytes of a message's payload that fit into a datagram. */
  payloadBytesMax: number;
}

export class Swim {
  readonly #options: SwimOptions;
  readonly #clock: OwnClock;
  readonly #health: LocalHealth;
  readonly #queue: BroadcastQueue;
  readonly #members: Members;
  readonly #own: OwnStanding;
  readonly #prober: Prober;
  readonly #pushPull: PushPull;
  readonly #streams = new Set<string>();
  /** Peers with a connection to every member. */
  readonly #hubs = new Set<string>();
  #streamAnswers = 0;
  /** Times of this process, as all below. */
  #nowMs = 0;
  #probeAtMs: number;
  #gossipAtMs: number;
  #reconnectAtMs: number;
  #housekeepingAtMs: number;

  constructor(options: SwimOptions, nowMs: number) {
    const { host, selfId, cluster, config, random, ports } = options;
    this.#options = options;
    this.#clock = new OwnClock(nowMs, config.standstillMs);
    this.#health = new LocalHealth(config.healthMax);
    this.#queue = new BroadcastQueue((claim) => claimBytes(host, claim));
    const tell = (claim: MemberClaim): void => this.#queue.add(claim);
    const event = ports.event.bind(ports);
    this.#members = new Members({ selfId, config, random, event, tell });
    const { ceiling } = options;
    const details = fitting(host, selfId, options.details);
    this.#own = new OwnStanding({ id: selfId, details, ceiling, persist: (number) => ports.persist(number), tell });
    const send = (...sent: [Route, GossipMessage, readonly MemberClaim[]]): void => this.#send(...sent);
    this.#prober = new Prober({
      selfId,
      cluster,
      config,
      random,
      members: this.#members,
      health: this.#health,
      streams: this.#streams,
      hubs: this.#hubs,
      send,
      answered: (by) => this.#answered(by),
    });
    const exchange = (peer: string): void => this.#exchange(peer, false);
    this.#pushPull = new PushPull({ config, random, members: this.#members, streams: this.#streams, exchange }, nowMs);
    this.#nowMs = nowMs;
    // Members that start together are not to act together.
    this.#probeAtMs = nowMs + random.fraction() * config.probeMs;
    this.#gossipAtMs = nowMs + random.fraction() * config.gossipMs;
    this.#reconnectAtMs = nowMs + config.reconnectMinMs * (1 + random.fraction());
    this.#housekeepingAtMs = nowMs + HOUSEKEEPING_MS;
    this.#own.start();
  }

  // ---- what it is asked ------------------------------------------------------------------------------------------

  /** When `turn` is to be called next, on the driver's clock. */
  get wakeAtMs(): number {
    return this.#clock.driverMs(this.#nextMs());
  }

  get incarnation(): number {
    return this.#own.incarnation;
  }

  /** 0 is good; see `local-health.ts`. */
  get healthScore(): number {
    return this.#health.score;
  }

  get livingCount(): number {
    return this.#members.livingCount;
  }

  /** Where a living member takes datagrams. */
  addressOf(id: string): string | undefined {
    return this.#members.isLiving(id) ? this.#members.addressOf(id) : undefined;
  }

  /** Alive or suspected, and known with its details. */
  isLiving(id: string): boolean {
    return this.#members.isLiving(id);
  }

  isAlive(id: string): boolean {
    return this.#members.isAlive(id);
  }

  get self(): MemberView {
    const { id, incarnation, status, details } = this.#own.claim;
    return { id, incarnation, status: STATUS_NAMES[status as 0 | 3], details, forMs: 0 };
  }

  /** Every member known, this one first. */
  members(): MemberView[] {
    return [this.self, ...this.#members.views(this.#nowMs)];
  }

  // ---- what comes in ----------------------------------------------------------------------------------------------

  turn(nowMs: number): void {
    this.#read(nowMs);
    const now = this.#nowMs;
    if (!this.#own.started) return;
    this.#prober.turn(now);
    for (const id of this.#members.expire(now)) this.#prober.check(id, now);
    if (!this.#own.left) {
      this.#probe(now);
      this.#pushPull.turn(now);
      this.#reconnect(now);
    }
    this.#gossip(now);
    if (now >= this.#housekeepingAtMs) {
      this.#housekeepingAtMs = now + HOUSEKEEPING_MS;
      this.#members.forget(now);
    }
  }

  receive(route: Route, message: GossipMessage, nowMs: number): void {
    this.#read(nowMs);
    const { from, cluster, claims = [] } = message.body as Body<'PING'>;
    const { selfId } = this.#options;
    if (!this.#own.started || from === undefined || cluster !== this.#options.cluster) return;
    // An ACK that is handed on names another member than the one that sent it, but never this one.
    if (from === selfId) return;
    // A connection has a name of its own, which its certificate vouches for.
    if (route.over === 'stream' && from !== route.peer && message.kind !== 'ACK') return;
    this.#members.heardFrom(from, this.#nowMs);
    // What a newcomer is told when it joins is news to itself alone, but for what the sender says of itself.
    const isOld = message.kind === 'PUSH_PULL' && this.#pushPull.isNewcomer(this.#nowMs);
    const corrections = this.#learnAll(claims, from, isOld);
    switch (message.kind) {
      case 'PING':
        this.#prober.onPing(route, message.body, corrections);
        break;
      case 'PING_REQ':
        this.#prober.onPingReq(route, message.body, corrections, this.#nowMs);
        break;
      case 'ACK':
        this.#prober.onAck(route, message.body);
        if (corrections.length > 0) this.#correct(route, corrections);
        break;
      case 'NACK':
        this.#prober.onNack(route, message.body);
        break;
      case 'PUSH_PULL':
        this.#pushPull.heard(from, message.body.newcomer === true, this.#nowMs);
        if (route.over === 'stream' && !message.body.answer) this.#exchange(route.peer, true);
        break;
      case 'STATE':
    }
  }

  /** Messages can be sent to that peer; `isHub`: it has such a link to every member, as coordinators do. */
  linkUp(peer: string, isHub: boolean, nowMs: number): void {
    this.#read(nowMs);
    this.#streams.add(peer);
    if (isHub) this.#hubs.add(peer);
    this.#pushPull.linkUp(peer, this.#nowMs);
  }

  linkDown(peer: string): void {
    this.#streams.delete(peer);
    this.#hubs.delete(peer);
  }

  /** A ceiling that was asked for is durable. */
  persisted(ceiling: number, nowMs: number): void {
    this.#read(nowMs);
    // With its first numbers it starts to speak, also over the links that are up already.
    if (!this.#own.started) for (const peer of this.#streams) this.#pushPull.linkUp(peer, this.#nowMs);
    this.#own.persisted(ceiling);
  }

  /** What this member tells of itself from now on. */
  describe(details: OwnDetails, nowMs: number): void {
    this.#read(nowMs);
    this.#own.describe(fitting(this.#options.host, this.#options.selfId, details));
  }

  /** Says that this member is leaving; it still has to be told to others, which `gossiped` shows. */
  leave(nowMs: number): void {
    this.#read(nowMs);
    this.#own.leave();
  }

  /** Nothing is waiting to be told. */
  get gossiped(): boolean {
    return this.#queue.size === 0;
  }

  /** The driver saw its event loop held up: as a sign of being slow. */
  heldUp(): void {
    this.#health.change(1);
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  #read(nowMs: number): void {
    const { ownMs, stillMs } = this.#clock.read(nowMs, this.#nextMs());
    this.#nowMs = ownMs;
    if (stillMs === 0) return;
    this.#health.change(1);
    this.#options.ports.event({ kind: 'stoodStill', ms: stillMs });
  }

  #nextMs(): number {
    if (!this.#own.started) return Infinity;
    const gossipAtMs = this.#queue.size === 0 ? Infinity : this.#gossipAtMs;
    const duties = Math.min(gossipAtMs, this.#prober.nextMs, this.#members.nextExpiryMs, this.#housekeepingAtMs);
    return this.#own.left ? duties : Math.min(duties, this.#probeAtMs, this.#pushPull.nextMs, this.#reconnectAtMs);
  }

  /** Returns what the sender should hear in return: it accuses members that are known to be alive. */
  #learnAll(claims: readonly MemberClaim[], from: string, isOld: boolean): MemberClaim[] {
    const corrections: MemberClaim[] = [];
    const { host, selfId } = this.#options;
    for (const claim of claims) {
      if (!isSound(claim) || claimBytes(host, claim) > CLAIM_BYTES_MAX) continue;
      this.#learn(claim, from, !isOld || claim.id === from);
      const keeper = claim.id === selfId ? this.#own : this.#members;
      const correction = corrections.length < CORRECTIONS_MAX ? keeper.correctionOf(claim) : undefined;
      if (correction !== undefined) corrections.push(correction);
    }
    return corrections;
  }

  /** An answer may show that its sender has missed that this member is alive. */
  #correct(route: Route, corrections: readonly MemberClaim[]): void {
    const { selfId, cluster } = this.#options;
    const own = corrections.filter(({ id }) => id === selfId);
    if (own.length > 0) this.#send(route, { kind: 'STATE', body: { from: selfId, cluster, claims: [] } }, own);
  }

  #learn(claim: MemberClaim, from: string, isNews: boolean): void {
    if (claim.id !== this.#options.selfId) {
      this.#members.learn(claim, from, this.#nowMs, isNews);
      return;
    }
    const { address } = this.#options.details;
    const isOlder = claim.incarnation <= this.#own.incarnation;
    if (!isOlder && claim.details !== undefined && claim.details.address !== address) {
      this.#options.ports.event({ kind: 'idTaken', address: claim.details.address });
    }
    if (!this.#own.learn(claim)) return;
    this.#health.change(1);
    this.#options.ports.event({ kind: 'accused', incarnation: this.#own.incarnation });
    // The accuser's time is running: the answer does not wait for the next round.
    this.#gossipAtMs = Math.min(this.#gossipAtMs, this.#nowMs);
  }

  #probe(nowMs: number): void {
    if (nowMs < this.#probeAtMs) return;
    this.#probeAtMs = nowMs + this.#options.config.probeMs * this.#health.factor;
    this.#prober.probe(nowMs);
  }

  #gossip(nowMs: number): void {
    if (this.#queue.size === 0 || nowMs < this.#gossipAtMs) return;
    const { selfId, cluster, config } = this.#options;
    this.#gossipAtMs = nowMs + config.gossipMs;
    for (const id of this.#members.pick(config.gossipFanout)) {
      const address = this.#members.addressOf(id);
      if (address === undefined || this.#queue.size === 0) continue;
      const charge = this.#members.chargeAgainst(id);
      const message = { kind: 'STATE', body: { from: selfId, cluster, claims: [] } } as const;
      this.#send({ over: 'datagram', address }, message, charge === undefined ? [] : [charge]);
    }
  }

  /**
   * Failed members may be behind a partition that has healed: one that is there again is told what it is thought to be,
   * and with it, of as many of the others as fit, since they may be there with it.
   */
  #reconnect(nowMs: number): void {
    if (nowMs < this.#reconnectAtMs) return;
    const { selfId, cluster, config, random } = this.#options;
    const intervalMs = Math.max(config.reconnectMinMs, this.#members.livingCount * config.reconnectMs);
    this.#reconnectAtMs = nowMs + intervalMs * (0.5 + random.fraction());
    const failed = this.#members.failed();
    shuffle(failed, random);
    const [target] = failed;
    if (target?.details === undefined) return;
    const body = { sequence: 0, from: selfId, target: target.id, cluster };
    const charges = failed.map(({ id }) => this.#members.chargeAgainst(id)).filter((claim) => claim !== undefined);
    const route = { over: 'datagram', address: target.details.address } as const;
    this.#send(route, { kind: 'PING', body }, charges);
  }

  #exchange(peer: string, answer: boolean): void {
    const { selfId, cluster, ports } = this.#options;
    if (!this.#own.started) return;
    const claims = [this.#own.claim, ...this.#members.claims(this.#nowMs)];
    const newcomer = this.#pushPull.isNewcomer(this.#nowMs);
    for (let start = 0; start < claims.length; start += CLAIMS_PER_EXCHANGE) {
      const end = start + CLAIMS_PER_EXCHANGE;
      // Only with the last part everything is told, and to be answered.
      const last = end >= claims.length ? { answer, newcomer } : { answer: true, newcomer: true };
      const body = { from: selfId, cluster, claims: claims.slice(start, end), ...last };
      ports.send({ over: 'stream', peer }, { kind: 'PUSH_PULL', body });
    }
  }

  #answered(by: Route['over']): void {
    const wasBlocked = this.#streamAnswers >= STREAM_ANSWERS_MAX;
    this.#streamAnswers = by === 'datagram' ? 0 : Math.min(STREAM_ANSWERS_MAX, this.#streamAnswers + 1);
    const isBlocked = this.#streamAnswers >= STREAM_ANSWERS_MAX;
    if (isBlocked !== wasBlocked) {
      this.#options.ports.event({ kind: isBlocked ? 'datagramsBlocked' : 'datagramsFlow' });
    }
  }

  /** With those claims first, and then as many of those to be told as fit. */
  #send(route: Route, message: GossipMessage, first: readonly MemberClaim[]): void {
    const { host, ports, payloadBytesMax, config } = this.#options;
    if (first.length === 0 && this.#queue.size === 0) {
      ports.send(route, message);
      return;
    }
    // Of an empty list, which an optional one does not have yet.
    const empty = { ...message, body: { ...message.body, claims: [] } } as GossipMessage;
    let bytesLeft = payloadBytesMax - encodedBytes(host, empty);
    const claims: MemberClaim[] = [];
    for (const claim of first) {
      bytesLeft -= claimBytes(host, claim);
      if (bytesLeft < 0) break;
      claims.push(claim);
    }
    const { retransmitFactor, retransmitMin } = config;
    const timesMax = Math.max(retransmitMin, Math.ceil(retransmitFactor * Math.log10(this.#members.livingCount + 1)));
    claims.push(...this.#queue.take(bytesLeft, timesMax, claims));
    ports.send(route, { ...message, body: { ...message.body, claims } } as GossipMessage);
  }
}

/** In a list of claims. */
function claimBytes(host: Host, claim: MemberClaim): number {
  const one: GossipMessage = { kind: 'STATE', body: { from: '', cluster: '', claims: [claim] } };
  return encodedBytes(host, one) - encodedBytes(host, NO_CLAIMS);
}

/** Without the last labels where all of them would be too much for a datagram. */
function fitting(host: Host, id: string, details: OwnDetails): OwnDetails {
  const labels = [...details.labels];
  const bytes = (): number =>
    claimBytes(host, { id, incarnation: 0, status: 0, details: { ...details, labels, version: 0 } });
  while (labels.length > 0 && bytes() > CLAIM_BYTES_MAX) labels.pop();
  return { ...details, labels };
}

const NO_CLAIMS: GossipMessage = { kind: 'STATE', body: { from: '', cluster: '', claims: [] } };
