/** Keeps a link to every member of the Raft group: whom to dial is what the log says, not the configuration. */
import { memberInfo, type Membership, members } from '../core/raft/membership.ts';
import type { PeerNet } from '../io/net/peer-net.ts';

const SEEDS_MAX = 32;

export class MemberLinks {
  readonly #nodeId: string;
  /** Address by id: what this node was configured with, for members whose address the log does not have yet. */
  readonly #configured: ReadonlyMap<string, string>;
  /** Where a node that joins looks for the cluster, as long as it knows no member. */
  #seeds: readonly string[];
  /** The coordinators of the cluster as this node knows them at present. */
  readonly ids = new Set<string>();
  #dialed = new Map<string, string | undefined>();
  #followed: Membership | undefined;

  constructor(nodeId: string, configured: readonly { id: string; address: string }[], seeds: readonly string[] = []) {
    this.#nodeId = nodeId;
    this.#configured = new Map(configured.map(({ id, address }) => [id, address]));
    this.#seeds = seeds;
    for (const id of this.#configured.keys()) this.ids.add(id);
  }

  /** True until this node knows a member: it waits to be let in. */
  get seeking(): boolean {
    return this.ids.size === 0;
  }

  /** Further addresses at which a member may be; the oldest make room. */
  found(addresses: readonly string[]): void {
    const seeds = [...new Set([...this.#seeds, ...addresses])].slice(-SEEDS_MAX);
    if (seeds.join() === this.#seeds.join()) return;
    this.#seeds = seeds;
    this.#followed = undefined;
  }

  /** Called every turn: does nothing unless the membership is another one. */
  follow(net: PeerNet, membership: Membership): void {
    if (membership === this.#followed) return;
    this.#followed = membership;
    const ids = members(membership);
    const wanted = new Map<string, string | undefined>();
    for (const id of ids) {
      const address = memberInfo(membership, id).address ?? this.#configured.get(id);
      if (id !== this.#nodeId && address !== undefined) wanted.set(address, id);
    }
    if (ids.length === 0) for (const address of this.#seeds) wanted.set(address, undefined);
    for (const [address, id] of this.#dialed) {
      if (!wanted.has(address) || wanted.get(address) !== id) net.undial(address);
    }
    this.ids.clear();
    for (const id of ids) this.ids.add(id);
    for (const [address, id] of wanted) {
      if (!this.#dialed.has(address) || this.#dialed.get(address) !== id) net.dial(address, id);
    }
    this.#dialed = wanted;
  }
}
