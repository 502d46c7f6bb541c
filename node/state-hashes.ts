/**
 * The state's hashes at round indexes, held against those of the other replicas at the same index.
 *
 * 1. A replica whose hash differs from that of a majority of the voters stops: what it would answer is wrong.
 * 2. While hashes differ and no majority has the same one, nobody knows who is right: the leader takes no writes.
 *
 * Followers tell theirs in their answers, the leader tells in its heartbeats what the majority has.
 */
import { AssertionError } from '../base/assert.ts';
import { type Membership, quorum } from './core/raft/membership.ts';

/** State hashes are compared at every multiple of this index. */
export const HASH_INTERVAL = 128;
/** Older ones are forgotten: a replica that is further behind is compared once it has come closer. */
const HASHES_KEPT = 64;

export interface StateHash {
  /** 0: there is none. */
  hashIndex: number;
  stateHash: number;
}

const NONE: StateHash = { hashIndex: 0, stateHash: 0 };

export class StateHashes {
  readonly #nodeId: string;
  readonly #byIndex = new Map<number, number>();
  /** Leader: by index, and then by replica, this one included. */
  readonly #heard = new Map<number, Map<string, number>>();
  #agreed = NONE;
  #disputedIndex = 0;

  constructor(nodeId: string) {
    this.#nodeId = nodeId;
  }

  /** Called after each applied entry. */
  applied(index: number, hash: number): void {
    if (index % HASH_INTERVAL !== 0) return;
    this.#byIndex.set(index, hash);
    const oldest = index - HASHES_KEPT * HASH_INTERVAL;
    this.#byIndex.delete(oldest);
    this.#heard.delete(oldest);
  }

  /** The latest one up to `appliedIndex`, for an answer to the leader. */
  latest(appliedIndex: number): StateHash {
    const hashIndex = appliedIndex - (appliedIndex % HASH_INTERVAL);
    const stateHash = this.#byIndex.get(hashIndex);
    return stateHash === undefined ? NONE : { hashIndex, stateHash };
  }

  /** Leader: the latest one that a majority has, for its heartbeats. */
  get agreed(): StateHash {
    return this.#agreed;
  }

  /** Leader: at the latest index at which hashes differ, no majority has the same one. */
  get disputed(): boolean {
    return this.#disputedIndex > this.#agreed.hashIndex;
  }

  /** A new leadership: what was heard in an earlier one may be of replicas that were replaced since. */
  begin(): void {
    this.#heard.clear();
    this.#disputedIndex = 0;
  }

  /**
   * Leader: this is what `from` told. True when it is the first to tell that the two differ.
   * @throws AssertionError when it is this replica that has diverged.
   */
  heard(from: string, { hashIndex, stateHash }: StateHash, membership: Membership): boolean {
    const own = this.#byIndex.get(hashIndex);
    if (own === undefined) return false;
    const hashes = this.#heard.get(hashIndex) ?? new Map<string, number>([[this.#nodeId, own]]);
    this.#heard.set(hashIndex, hashes);
    const isNews = hashes.get(from) !== stateHash;
    hashes.set(from, stateHash);
    if (isNews) this.#judge(hashIndex, hashes, membership);
    return isNews && stateHash !== own;
  }

  #judge(hashIndex: number, hashes: ReadonlyMap<string, number>, membership: Membership): void {
    const voters = [...hashes].filter(([id]) => membership.voters.includes(id) || membership.outgoing.includes(id));
    const different = new Set(voters.map(([, hash]) => hash));
    for (const stateHash of different) {
      if (!quorum(membership, (id) => hashes.get(id) === stateHash)) continue;
      if (hashIndex > this.#agreed.hashIndex) this.#agreed = { hashIndex, stateHash };
      this.check({ hashIndex, stateHash });
      return;
    }
    if (different.size > 1) this.#disputedIndex = Math.max(this.#disputedIndex, hashIndex);
  }

  /**
   * The majority has this hash.
   * @throws AssertionError when this replica has another one there: it has diverged.
   */
  check({ hashIndex, stateHash }: StateHash): void {
    const own = this.#byIndex.get(hashIndex);
    if (own === undefined || own === stateHash) return;
    throw new AssertionError(
      `the state of "${this.#nodeId}" has diverged: its hash at index ${String(hashIndex)} is ${String(own)}, ` +
        `that of the majority is ${String(stateHash)}. Replace this coordinator by one with an empty disk.`,
    );
  }

  /** What was remembered is of a state that has been replaced. */
  clear(): void {
    this.#byIndex.clear();
    this.#heard.clear();
  }
}
