/**
 * Asks members whether they are there: directly, then through others and over connections, and accuses those that have
 * answered nobody (SWIM §3.1; local health and NACK of Lifeguard §IV.A).
 *
 * 1. A probe is over when its time is up, never before: an answer over a connection does not hide that datagrams fail.
 * 2. Only the target itself answers for the target; the sequence of a probe starts at random in each life, so an answer
 *    recorded earlier fits none.
 * 3. A probe without an answer speaks against this member too, unless those it asked for help say that they are there.
 */
import type { Random } from '../../../base/random.ts';
import type { Body, MemberClaim } from '../tlv/messages.ts';
import type { LocalHealth } from './local-health.ts';
import type { Members } from './members.ts';
import type { SwimConfig } from './swim-config.ts';
import type { GossipMessage, Route } from './swim-ports.ts';

interface Probe {
  target: string;
  endMs: number;
  /** When to ask more, and the time from one round to the next. */
  nextAtMs: number;
  roundMs: number;
  /** NACKs that should come, and that have. */
  nacksDue: number;
  nacks: number;
  answeredByStream: boolean;
  /** The last chance of a suspected member: it is charged already. */
  isCheck: boolean;
}

/** A probe for another member. */
interface Relay {
  route: Route;
  sequence: number;
  target: string;
  nackAtMs: number;
}

interface ProberOptions {
  selfId: string;
  cluster: string;
  config: SwimConfig;
  random: Random;
  members: Members;
  health: LocalHealth;
  /** Peers there is a connection to, and those of them that have one to every member. */
  streams: ReadonlySet<string>;
  hubs: ReadonlySet<string>;
  /** Sends, with those claims and as many more to be told as fit. */
  send: (route: Route, message: GossipMessage, claims: readonly MemberClaim[]) => void;
  /** A probe was answered by datagram, or by connection alone. */
  answered: (by: Route['over']) => void;
}

const SEQUENCE_START_MAX = 2 ** 31;

export class Prober {
  readonly #options: ProberOptions;
  readonly #probes = new Map<number, Probe>();
  readonly #relays = new Map<number, Relay>();
  #sequence: number;

  constructor(options: ProberOptions) {
    this.#options = options;
    this.#sequence = options.random.integer(1, SEQUENCE_START_MAX);
  }

  /** When something is due, or Infinity. */
  get nextMs(): number {
    let nextMs = Infinity;
    for (const { nextAtMs, endMs } of this.#probes.values()) nextMs = Math.min(nextMs, nextAtMs, endMs);
    for (const { nackAtMs } of this.#relays.values()) nextMs = Math.min(nextMs, nackAtMs);
    return nextMs;
  }

  /** Begins with the next member in turn. */
  probe(nowMs: number): void {
    const { members, health } = this.#options;
    const target = members.nextToProbe();
    if (target !== undefined) this.#begin(target, false, health.factor, nowMs);
  }

  /** Asks a suspected member once more before its time is up: it may have refuted, and this member not have heard. */
  check(target: string, nowMs: number): void {
    this.#begin(target, true, 1, nowMs);
  }

  #begin(target: string, isCheck: boolean, factor: number, nowMs: number): void {
    const { config } = this.#options;
    const sequence = ++this.#sequence;
    const roundMs = config.ackMs * factor;
    const times = { endMs: nowMs + config.probeEndMs * factor, nextAtMs: nowMs + roundMs, roundMs };
    this.#probes.set(sequence, { target, ...times, nacksDue: 0, nacks: 0, answeredByStream: false, isCheck });
    this.#pingDirectly(sequence, target);
  }

  turn(nowMs: number): void {
    for (const [sequence, probe] of this.#probes) {
      if (nowMs >= probe.nextAtMs && nowMs < probe.endMs) this.#askAgain(sequence, probe);
      if (nowMs < probe.endMs) continue;
      this.#probes.delete(sequence);
      this.#end(probe, nowMs);
    }
    for (const [sequence, { route, sequence: asked, nackAtMs }] of this.#relays) {
      if (nowMs < nackAtMs) continue;
      this.#relays.delete(sequence);
      const { selfId, cluster, send } = this.#options;
      send(route, { kind: 'NACK', body: { sequence: asked, from: selfId, cluster, claims: [] } }, []);
    }
  }

  /** `corrections`: where the sender is behind. */
  onPing(route: Route, { sequence, from, target }: Body<'PING'>, corrections: readonly MemberClaim[]): void {
    const { selfId, cluster, send } = this.#options;
    if (target !== selfId) return;
    const claims = [...corrections, ...this.#chargesAgainst(from)];
    send(route, { kind: 'ACK', body: { sequence, from: selfId, cluster } }, claims);
  }

  onPingReq(route: Route, body: Body<'PING_REQ'>, corrections: readonly MemberClaim[], nowMs: number): void {
    const { selfId, cluster, config, streams, send } = this.#options;
    const { sequence, target, address } = body;
    if (corrections.some(({ id }) => id === target)) {
      send(route, { kind: 'STATE', body: { from: selfId, cluster, claims: [] } }, corrections);
    }
    if (this.#relays.size >= config.relaysMax) return;
    const asked = ++this.#sequence;
    const nackAtMs = nowMs + config.ackMs;
    this.#relays.set(asked, { route, sequence, target, nackAtMs });
    const isByStream = route.over === 'stream' && streams.has(target);
    this.#ping(isByStream ? { over: 'stream', peer: target } : { over: 'datagram', address }, asked, target);
  }

  onAck(route: Route, { sequence, from }: Body<'ACK'>): void {
    const { cluster, members, health, answered, send } = this.#options;
    const relay = this.#relays.get(sequence);
    if (relay !== undefined && relay.target === from) {
      this.#relays.delete(sequence);
      send(relay.route, { kind: 'ACK', body: { sequence: relay.sequence, from, cluster } }, members.wordFor(from));
      return;
    }
    const probe = this.#probes.get(sequence);
    if (probe === undefined || probe.target !== from) return;
    if (route.over === 'stream') {
      probe.answeredByStream = true;
      return;
    }
    this.#probes.delete(sequence);
    health.change(-1);
    answered('datagram');
  }

  onNack(route: Route, { sequence }: Body<'NACK'>): void {
    const probe = this.#probes.get(sequence);
    if (probe !== undefined && route.over === 'datagram') probe.nacks++;
  }

  /** The target once more, others (more of them for a last chance), and connections. A round whose answers would come too late is left out. */
  #askAgain(sequence: number, probe: Probe): void {
    probe.nextAtMs += probe.roundMs;
    if (probe.nextAtMs + probe.roundMs > probe.endMs) probe.nextAtMs = Infinity;
    const { selfId, cluster, config, members, streams, hubs, send } = this.#options;
    const { target } = probe;
    const address = members.addressOf(target);
    if (address === undefined) return;
    this.#pingDirectly(sequence, target);
    const body = { sequence, from: selfId, target, cluster, address, claims: [] };
    const charges = this.#chargesAgainst(target);
    for (const id of members.pick(config.indirectCount * (probe.isCheck ? 2 : 1), target)) {
      const relayAddress = members.addressOf(id);
      if (relayAddress === undefined) continue;
      probe.nacksDue++;
      const claims = [...charges, ...this.#chargesAgainst(id)];
      send({ over: 'datagram', address: relayAddress }, { kind: 'PING_REQ', body }, claims);
    }
    if (streams.has(target)) this.#ping({ over: 'stream', peer: target }, sequence, target);
    else for (const peer of hubs) send({ over: 'stream', peer }, { kind: 'PING_REQ', body }, charges);
  }

  #end(probe: Probe, nowMs: number): void {
    const { members, health, answered } = this.#options;
    if (probe.answeredByStream) {
      answered('stream');
      return;
    }
    if (probe.isCheck) return;
    health.change(probe.nacksDue === 0 ? 1 : Math.max(0, probe.nacksDue - probe.nacks));
    members.accuse(probe.target, nowMs);
  }

  #pingDirectly(sequence: number, target: string): void {
    const address = this.#options.members.addressOf(target);
    if (address !== undefined) this.#ping({ over: 'datagram', address }, sequence, target);
  }

  #ping(route: Route, sequence: number, target: string): void {
    const { selfId, cluster, send } = this.#options;
    const body = { sequence, from: selfId, target, cluster };
    send(route, { kind: 'PING', body }, this.#chargesAgainst(target));
  }

  /** What the receiver should know of itself. */
  #chargesAgainst(id: string | undefined): readonly MemberClaim[] {
    const charge = id === undefined ? undefined : this.#options.members.chargeAgainst(id);
    return charge === undefined ? [] : [charge];
  }
}
