/**
 * Is a data directory what a node left? Everything that can be told from the directory alone is looked at; nothing is
 * changed. Entries of the log carry checksums. Records of the state carry none: a value that was changed and still makes
 * sense is found only by comparing `content_sha256` with that of another node at the same applied index.
 */
import { createHash } from 'node:crypto';
import { decodeEntry } from '../core/raft/entry.ts';
import { StateMachine } from '../core/state/machine.ts';
import { encodeRecord, isStreamed, stateHead } from '../core/state/snapshot-stream.ts';
import type { KeyValueReader } from '../core/state/store.ts';
import { nodeHost } from '../io/host.ts';
import { DataDirectory } from './data-directory.ts';
import { logFaults } from './log-check.ts';
import { stateFaults } from './state-check.ts';
import { BEHIND_ALL_KEYS } from './tables.ts';

/** Told in one report; a damaged directory may have millions. */
export const FAULTS_MAX = 100;

export interface VerifyReport {
  ok: boolean;
  faults: string[];
  /** There are more than are told. */
  more_faults: boolean;
  log: { first_index: number; last_index: number };
  state: {
    applied_index: number;
    /** Over every write since the first, in order: it can't be computed anew from what is there now. */
    running_hash: number | null;
    /** Of all records: equal on every node at the same applied index. */
    content_sha256: string;
  };
  /** Entries behind the applied index that were applied once more, in memory. */
  replayed_entries: number;
}

/** @throws StorageError: not there, in use by a node, unreadable as a whole, or of another format. */
export async function verifyData(dir: string): Promise<VerifyReport> {
  const data = await DataDirectory.open(dir);
  try {
    return report(data);
  } finally {
    await data.close();
  }
}

function report(data: DataDirectory): VerifyReport {
  const { log, state } = data;
  const faults: string[] = [];
  const replay = { hash: null as number | null, entries: 0 };
  let more = false;
  for (const fault of allFaults(data, replay)) {
    more = faults.length >= FAULTS_MAX;
    if (more) break;
    faults.push(fault);
  }
  return {
    ok: faults.length === 0,
    faults,
    more_faults: more,
    log: { first_index: log.firstIndex, last_index: log.lastIndex },
    state: {
      applied_index: stateHead(nodeHost, state)?.lastIndex ?? 0,
      running_hash: replay.hash,
      content_sha256: contentHash(state),
    },
    replayed_entries: replay.entries,
  };
}

function* allFaults(data: DataDirectory, replay: { hash: number | null; entries: number }): Generator<string> {
  const { log, state } = data;
  const before = [...logFaults(log)];
  yield* before;
  let isReadable = true;
  for (const fault of stateFaults(state)) {
    isReadable = false;
    yield fault;
  }
  if (!isReadable) return;
  const machine = new StateMachine(nodeHost, state);
  replay.hash = machine.hash;
  const { appliedIndex } = machine;
  if (data.pendingRestart(appliedIndex) !== undefined) return; // the log begins anew at the next start
  if (appliedIndex > log.lastIndex) {
    yield `log: it ends at ${String(log.lastIndex)}, and the state has applied ${String(appliedIndex)}`;
  }
  if (appliedIndex + 1 < log.firstIndex) {
    yield `log: it begins at ${String(log.firstIndex)}, and the state has applied only ${String(appliedIndex)}`;
  }
  // What was never committed is applied here, too: it may be cut away later, but must not stop a node.
  if (before.length > 0) return;
  for (const { index, bytes } of log.entries(appliedIndex + 1)) {
    const entry = decodeEntry(nodeHost, bytes);
    if (entry === undefined) return;
    try {
      machine.apply(entry);
      replay.entries++;
    } catch (error) {
      yield `log: entry ${String(index)} can't be applied: ${error instanceof Error ? error.message : String(error)}`;
      return;
    }
  }
}

function contentHash(state: KeyValueReader): string {
  const digest = createHash('sha256');
  for (const { key, value } of state.range('', BEHIND_ALL_KEYS)) {
    if (isStreamed(key)) digest.update(encodeRecord(nodeHost, key, value));
  }
  return digest.digest('hex');
}
