/** Synchronous reads of the durable part of the log, as the Raft core needs them. */
export interface LogReader {
  /**
   * Encoded entries with indexes in [from, to), in order: as many as fit `bytesMax`, at least one.
   * The caller guarantees that the range is on disk.
   */
  read(from: number, to: number, bytesMax: number): Uint8Array[];
}

/** Term and vote: on disk before any message that depends on them leaves (Raft §5.1). */
export interface HardState {
  term: number;
  /** Null: no vote given in this term. */
  votedFor: string | null;
}

/** One durable change of the log environment, applied atomically in this order: restart, truncate, append, cut. */
export interface LogWrite {
  hardState?: HardState;
  /** Every entry is removed first; the first one appended is the anchor of an installed snapshot, at any index. */
  restart?: true;
  /** Every entry from this index on is removed first (a conflicting suffix, Raft §5.3). */
  truncateFrom?: number;
  entries: readonly { index: number; bytes: Uint8Array }[];
  /** Entries below this index are removed (prefix cut). */
  cutBefore?: number;
}
