/**
 * Which coordinators a worker keeps links to: those that the cluster names. Until it has heard from one, and whenever it
 * has lost all of them, it looks where it was told to look, and at those that gossip knows.
 */
import type { Discovery } from '../../api/discovery.ts';
import { MEMBERS_MAX } from '../core/raft/membership.ts';
import { coordinatorsIn } from './gossip-members.ts';
import { seedsOf } from './seeds.ts';
import type { GossipDriver } from '../io/net/gossip-driver.ts';

/** While no coordinator is in reach. */
const SEARCH_MS = 1_000;
/** Addresses that are dialed on mere rumour; the oldest makes room, for where the coordinators were they may be no more. */
const FOUND_MAX = 32;

interface Dialing {
  dial(address: string, expectedNodeId?: string): void;
  undial(address: string): void;
}

interface CoordinatorLinksOptions {
  /** Of the configuration: where this worker looks when it comes back. */
  configured: readonly { id: string; address: string }[];
  discovery: Discovery | undefined;
  gossip: GossipDriver | undefined;
  net: Dialing;
  /** Grows: a coordinator is one for good. */
  ids: Set<string>;
}

export class CoordinatorLinks {
  readonly #options: CoordinatorLinksOptions;
  /** Address by id. */
  readonly #named = new Map<string, string>();
  readonly #found = new Set<string>();
  readonly #up = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: CoordinatorLinksOptions) {
    this.#options = options;
  }

  start(): void {
    for (const { id, address } of this.#options.configured) this.#dial(id, address);
    this.#timer = setInterval(() => this.#search(), SEARCH_MS);
    this.#search();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  up(id: string): void {
    this.#up.add(id);
  }

  down(id: string): void {
    this.#up.delete(id);
  }

  /** Where the coordinators are, as one of them says. */
  told(coordinators: readonly { id: string; address: string }[]): void {
    if (coordinators.length === 0 || coordinators.length > MEMBERS_MAX) return;
    const { configured, net } = this.#options;
    const isThere = (id: string, address: string): boolean =>
      [...configured, ...coordinators].some((one) => one.id === id && one.address === address);
    for (const [id, address] of [...this.#named]) {
      if (isThere(id, address)) continue;
      net.undial(address);
      this.#named.delete(id);
    }
    for (const address of this.#found) if (!coordinators.some((one) => one.address === address)) net.undial(address);
    this.#found.clear();
    for (const { id, address } of coordinators) if (this.#named.get(id) !== address) this.#dial(id, address);
  }

  #dial(id: string, address: string): void {
    const { ids, net } = this.#options;
    ids.add(id);
    this.#named.set(id, address);
    net.dial(address, id);
  }

  #search(): void {
    if (this.#up.size > 0) return;
    const { discovery, gossip } = this.#options;
    const rumoured = gossip === undefined ? [] : coordinatorsIn(gossip.members(), '');
    this.#try(rumoured);
    if (discovery !== undefined) void seedsOf(discovery, gossip).then((seeds) => this.#try(seeds));
  }

  #try(addresses: readonly string[]): void {
    const named = new Set(this.#named.values());
    const { net } = this.#options;
    for (const address of addresses) {
      if (this.#up.size > 0) return;
      if (named.has(address) || this.#found.has(address)) continue;
      const [oldest] = this.#found;
      if (oldest !== undefined && this.#found.size >= FOUND_MAX) {
        this.#found.delete(oldest);
        net.undial(oldest);
      }
      this.#found.add(address);
      net.dial(address);
    }
  }
}
