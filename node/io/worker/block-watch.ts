/** What a plugin process and its watching thread agree on. */

/** The main thread counts a beat this often. */
export const BEAT_INTERVAL_MS = 100;
/** The watching thread looks this often; a count that stands still between two looks means that the main thread hangs. */
export const WATCH_INTERVAL_MS = 500;
/** Where the main thread keeps the `AsyncLocalStorage` that holds the id of the running attempt. */
export const ATTEMPT_STORE = Symbol.for('distric.plugin.attempt');

/** What the watching thread is started with. */
export interface WatchData {
  /** Counted up by the main thread. */
  beats: Int32Array;
  /** The worker's process; when it is no longer the parent, this process has no purpose. */
  parentPid: number;
}
