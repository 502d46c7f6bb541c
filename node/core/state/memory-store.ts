/** An ordered map behind the key-value port: the state of simulated nodes, and of tests. */
import type { KeyValueReader, Writes } from './store.ts';

export class MemoryStore implements KeyValueReader {
  #values = new Map<string, Uint8Array>();
  /** Every key of the map, and while unsorted also keys that are deleted; sorted when a range is asked for. */
  #keys: string[] = [];
  #sorted = true;

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }

  get size(): number {
    return this.#values.size;
  }

  *range(from: string, to: string, reverse = false): Iterable<{ key: string; value: Uint8Array }> {
    this.#sort();
    const keys = this.#keys;
    const first = lowerBound(keys, from);
    const end = lowerBound(keys, to);
    for (let i = 0; i < end - first; i++) {
      const key = keys[reverse ? end - 1 - i : first + i];
      const value = key === undefined ? undefined : this.#values.get(key);
      if (key !== undefined && value !== undefined) yield { key, value };
    }
  }

  /** Applies all of `writes` at once, as a transaction would. */
  commit(writes: Writes): void {
    for (const [key, value] of writes) {
      if (value === null) {
        if (this.#values.delete(key)) this.#sorted = false;
        continue;
      }
      if (!this.#values.has(key)) this.#sorted = false;
      this.#values.set(key, value);
    }
  }

  /** Everything that was there is gone, at once. */
  replace(content: ReadonlyMap<string, Uint8Array>): void {
    this.#values = new Map(content);
    this.#sorted = false;
  }

  /** An independent copy: what a restart would find. */
  copy(): MemoryStore {
    const copy = new MemoryStore();
    copy.commit(this.#values);
    return copy;
  }

  #sort(): void {
    if (this.#sorted) return;
    this.#keys = [...this.#values.keys()].sort();
    this.#sorted = true;
  }
}

/** The first position whose key is not below `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] ?? '') < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
