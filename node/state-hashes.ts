/** The state's hashes at round indexes, to be held against those of other replicas at the same index. */

/** State hashes are compared at every multiple of this index. */
export const HASH_INTERVAL = 128;
/** Older ones are forgotten: a replica that is further behind is compared once it has come closer. */
const HASHES_KEPT = 64;

export class StateHashes {
  #byIndex = new Map<number, number>();

  /** Called after each applied entry. */
  applied(index: number, hash: number): void {
    if (index % HASH_INTERVAL !== 0) return;
    this.#byIndex.set(index, hash);
    if (this.#byIndex.size > HASHES_KEPT) this.#byIndex.delete(index - HASHES_KEPT * HASH_INTERVAL);
  }

  /** The latest one up to `appliedIndex`, for an answer to the leader; index 0: there is none. */
  latest(appliedIndex: number): { hashIndex: number; stateHash: number } {
    const hashIndex = appliedIndex - (appliedIndex % HASH_INTERVAL);
    const stateHash = this.#byIndex.get(hashIndex);
    return stateHash === undefined ? { hashIndex: 0, stateHash: 0 } : { hashIndex, stateHash };
  }

  /** Ours, when it is known and differs: a replica has diverged. */
  differing(index: number, hash: number): number | undefined {
    const own = this.#byIndex.get(index);
    return own === hash ? undefined : own;
  }

  /** What was remembered is of a state that has been replaced. */
  clear(): void {
    this.#byIndex.clear();
  }
}
