/**
 * When to exchange everything with a peer: after a link came up, which is also how a member joins and how the halves
 * of a partition find each other, and now and then with anybody, for what gossip has missed.
 */
import type { Random } from '../../../base/random.ts';
import type { Members } from './members.ts';
import type { SwimConfig } from './swim-config.ts';

/** Up to so many members the interval is as configured; it doubles, trebles … with each doubling of their number. */
const MEMBERS_UNSCALED = 32;

interface PushPullOptions {
  config: SwimConfig;
  random: Random;
  members: Members;
  streams: ReadonlySet<string>;
  exchange: (peer: string) => void;
}

export class PushPull {
  readonly #options: PushPullOptions;
  /** New links to peers that were not alive here, and when to use each. */
  readonly #due = new Map<string, number>();
  #roundAtMs: number;
  /** Doubles up to the regular one: members that come together miss some of each other at first. */
  #roundMs: number;

  constructor(options: PushPullOptions, nowMs: number) {
    this.#options = options;
    this.#roundMs = options.config.firstPushPullMs;
    this.#roundAtMs = nowMs + this.#roundMs * (0.5 + options.random.fraction());
  }

  get nextMs(): number {
    return Math.min(this.#roundAtMs, ...this.#due.values());
  }

  linkUp(peer: string, nowMs: number): void {
    const { config, random, members } = this.#options;
    if (!members.isAlive(peer)) this.#due.set(peer, nowMs + random.fraction() * config.pushPullDelayMs);
  }

  /** That peer has told everything; to a newcomer anybody has. */
  heard(peer: string, isNewcomer: boolean): void {
    if (isNewcomer) this.#due.clear();
    else this.#due.delete(peer);
  }

  turn(nowMs: number): void {
    const { streams, random, exchange } = this.#options;
    for (const [peer, atMs] of this.#due) {
      if (nowMs < atMs) continue;
      this.#due.delete(peer);
      if (streams.has(peer)) exchange(peer);
    }
    if (nowMs < this.#roundAtMs) return;
    this.#roundMs = Math.min(this.#roundMs * 2, this.#intervalMs());
    this.#roundAtMs = nowMs + this.#roundMs * (0.5 + random.fraction());
    const peers = [...streams];
    if (peers.length > 0) exchange(random.pick(peers));
  }

  #intervalMs(): number {
    const { config, members } = this.#options;
    return config.pushPullMs * Math.max(1, 1 + Math.log2(members.livingCount / MEMBERS_UNSCALED));
  }
}
