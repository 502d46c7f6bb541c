/**
 * When to exchange everything with a peer: after a link came up, which is also how a member joins and how the halves
 * of a partition find each other, and now and then with anybody, for what gossip has missed.
 *
 * A newcomer is a member that has not heard everything yet from one that is none. What it is told then is news to itself
 * alone. Two newcomers that have told each other what little they hold do so again once one of them is none any more.
 */
import type { Random } from '../../../base/random.ts';
import type { Members } from './members.ts';
import type { SwimConfig } from './swim-config.ts';

/** Up to so many members the interval is as configured; it doubles, trebles … with each doubling of their number. */
const MEMBERS_UNSCALED = 32;

/** More come at once only where a whole cluster starts, and there gossip tells of everybody. */
const NEWCOMERS_MAX = 16;

interface PushPullOptions {
  config: SwimConfig;
  random: Random;
  members: Members;
  streams: ReadonlySet<string>;
  exchange: (peer: string) => void;
}

export class PushPull {
  readonly #options: PushPullOptions;
  /** Peers to exchange with, and when. */
  readonly #due = new Map<string, number>();
  /** Of a newcomer: others that had as little to tell. */
  readonly #newcomers = new Set<string>();
  /** When a newcomer takes what it holds for everything. */
  #newcomerUntilMs: number;
  #roundAtMs: number;
  /** Doubles up to the regular one: members that come together miss some of each other at first. */
  #roundMs: number;

  constructor(options: PushPullOptions, nowMs: number) {
    this.#options = options;
    this.#roundMs = options.config.firstPushPullMs;
    this.#newcomerUntilMs = nowMs + 2 * this.#roundMs;
    this.#roundAtMs = nowMs + this.#roundMs * (0.5 + options.random.fraction());
  }

  get nextMs(): number {
    return Math.min(this.#roundAtMs, ...this.#due.values());
  }

  isNewcomer(nowMs: number): boolean {
    return nowMs < this.#newcomerUntilMs;
  }

  linkUp(peer: string, nowMs: number): void {
    if (this.isNewcomer(nowMs) || !this.#options.members.isAlive(peer)) this.#soon(peer, nowMs);
  }

  /** That peer has told everything it holds. */
  heard(peer: string, isPeerNewcomer: boolean, nowMs: number): void {
    this.#due.delete(peer);
    if (!this.isNewcomer(nowMs)) return;
    if (isPeerNewcomer) {
      if (this.#newcomers.size < NEWCOMERS_MAX) this.#newcomers.add(peer);
      return;
    }
    this.#newcomerUntilMs = nowMs;
    this.#due.clear();
    for (const other of this.#newcomers) if (other !== peer) this.#soon(other, nowMs);
  }

  turn(nowMs: number): void {
    const { streams, random, exchange } = this.#options;
    for (const [peer, atMs] of this.#due) {
      if (nowMs < atMs) continue;
      this.#due.delete(peer);
      if (streams.has(peer)) exchange(peer);
    }
    if (nowMs < this.#roundAtMs) return;
    const peers = [...streams];
    if (peers.length > 0) {
      exchange(random.pick(peers));
      this.#roundMs = Math.min(this.#roundMs * 2, this.#intervalMs());
    }
    this.#roundAtMs = nowMs + this.#roundMs * (0.5 + random.fraction());
  }

  #soon(peer: string, nowMs: number): void {
    const { config, random } = this.#options;
    this.#due.set(peer, nowMs + random.fraction() * config.pushPullDelayMs);
  }

  #intervalMs(): number {
    const { config, members } = this.#options;
    return config.pushPullMs * Math.max(1, 1 + Math.log2(members.livingCount / MEMBERS_UNSCALED));
  }
}
