/**
 * The synchronous, ordered key-value port under the replicated state.
 * Keys are ASCII text, ordered bytewise. LMDB implements it in the node, an ordered map in the simulator.
 */
export interface KeyValueReader {
  get(key: string): Uint8Array | undefined;
  /** Keys in [from, to), ascending, or descending when `reverse`; lazy, so the caller may stop early. */
  range(from: string, to: string, reverse?: boolean): Iterable<{ key: string; value: Uint8Array }>;
}

/** A key mapped to null is deleted. */
export type Writes = Map<string, Uint8Array | null>;
