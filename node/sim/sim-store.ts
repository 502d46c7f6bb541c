import type { KeyValueReader, Writes } from '../core/state/store.ts';

/** The ordered map under a simulated state environment: committed content only. */
export class SimStore implements KeyValueReader {
  #keys: string[] = [];
  readonly #values = new Map<string, Uint8Array>();

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }

  *range(from: string, to: string, reverse = false): Iterable<{ key: string; value: Uint8Array }> {
    const start = this.#lowerBound(from);
    const end = this.#lowerBound(to);
    const keys = this.#keys.slice(start, end);
    if (reverse) keys.reverse();
    for (const key of keys) {
      const value = this.#values.get(key);
      if (value !== undefined) yield { key, value };
    }
  }

  apply(writes: Writes): void {
    for (const [key, value] of writes) {
      const present = this.#values.has(key);
      if (value !== null) {
        if (!present) this.#keys.splice(this.#lowerBound(key), 0, key);
        this.#values.set(key, value);
      } else if (present) {
        this.#keys.splice(this.#lowerBound(key), 1);
        this.#values.delete(key);
      }
    }
  }

  /** Position of the first key that is not below `key`. */
  #lowerBound(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] ?? '') < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
