/**
 * Which feature levels the members support, as their leader hears it with each answer, and what the cluster can be raised
 * to: a member that is away holds the level down until it is back or removed (core/state/feature-level.ts).
 */
import { type Membership, members } from './core/raft/membership.ts';
import { FEATURE_LEVEL_FIRST } from './core/state/feature-level.ts';

export class FeatureLevels {
  readonly #nodeId: string;
  /** Of this node. */
  readonly own: number;
  /** By peer; forgotten when it goes, as it may come back as another release. */
  readonly #heard = new Map<string, number>();

  constructor(nodeId: string, own: number) {
    this.#nodeId = nodeId;
    this.own = own;
  }

  heard(peer: string, level: number = FEATURE_LEVEL_FIRST): void {
    this.#heard.set(peer, level);
  }

  lost(peer: string): void {
    this.#heard.delete(peer);
  }

  /** Undefined: it has not been heard since it last came. */
  of(id: string): number | undefined {
    return id === this.#nodeId ? this.own : this.#heard.get(id);
  }

  /** To raise the cluster to: every member supports it, learners too, as the level is theirs to follow as well. */
  next(level: number, membership: Membership): number | undefined {
    if (level >= this.own) return undefined;
    const common = Math.min(...members(membership).map((id) => this.of(id) ?? FEATURE_LEVEL_FIRST));
    return common > level ? common : undefined;
  }

  /** Of voters to be, why they cannot follow a cluster of this level. */
  fault({ voters }: Membership, level: number): string | undefined {
    const early = voters.find((id) => (this.of(id) ?? level) < level);
    if (early === undefined) return undefined;
    return `the release of "${early}" is too early for the feature level of the cluster, ${String(level)}`;
  }
}
