import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeEntry } from '../core/raft/entry.ts';
import { decodeMembership, type Membership, MEMBERSHIP_KIND } from '../core/raft/membership.ts';
import { StateMachine } from '../core/state/machine.ts';
import { nodeHost } from '../io/host.ts';
import { FORMAT_VERSION } from '../io/lmdb/environment.ts';
import { newestStateDirectory } from '../io/lmdb/state-disk.ts';
import { DataDirectory } from './data-directory.ts';
import { TableCounts, type TableName } from './tables.ts';

export interface DataSummary {
  cluster_id: string;
  /** Names the disk; a node id is in the configuration, not here. */
  data_uuid: string | null;
  boots: number;
  last_boot: string | null;
  format_version: number;
  term: number;
  voted_for: string | null;
  /** Of two disks, the one with the higher last term, then the higher last index, has more (Raft §5.4.1). */
  log: { first_index: number; last_index: number; last_term: number; used_bytes: number; file_bytes: number };
  state: { applied_index: number; cluster_time: string; used_bytes: number; file_bytes: number };
  /** The newest that this disk knows; null: that of the configuration, it was never changed. */
  membership: Membership | null;
  membership_index: number;
  counts: Record<TableName, number> & { running_instances: number };
}

/** @throws StorageError: not there, in use by a node, unreadable as a whole, or of another format. */
export async function inspectData(dir: string): Promise<DataSummary> {
  const data = await DataDirectory.open(dir);
  try {
    return await summaryOf(data);
  } finally {
    await data.close();
  }
}

async function summaryOf(data: DataDirectory): Promise<DataSummary> {
  const { dir, log, state } = data;
  const { boot, hardState } = log;
  const machine = new StateMachine(nodeHost, state);
  const fileBytes = async (path: string): Promise<number> => (await stat(join(path, 'data.mdb'))).size;
  const { membership, index } = newestMembership(data, machine);
  return {
    cluster_id: machine.clusterId,
    data_uuid: boot?.dataUuid ?? null,
    boots: boot?.bootCount ?? 0,
    last_boot: boot === undefined ? null : new Date(boot.time).toISOString(),
    format_version: FORMAT_VERSION,
    term: hardState?.term ?? 0,
    voted_for: hardState?.votedFor ?? null,
    log: {
      first_index: log.firstIndex,
      last_index: log.lastIndex,
      last_term: data.lastEntry()?.term ?? 0,
      used_bytes: log.usedBytes(),
      file_bytes: await fileBytes(join(dir, 'log')),
    },
    state: {
      applied_index: machine.appliedIndex,
      cluster_time: new Date(machine.timeMs).toISOString(),
      used_bytes: state.usedBytes(),
      file_bytes: await fileBytes(newestStateDirectory(dir)),
    },
    membership: membership ?? null,
    membership_index: index,
    counts: { ...TableCounts.of(state).counts, running_instances: machine.instances.active.size },
  };
}

/** A node acts on the newest membership of its log, committed or not. */
export function newestMembership(
  data: DataDirectory,
  machine: StateMachine,
): { membership: Membership | undefined; index: number } {
  let { membership, membershipIndex: index } = machine;
  if (data.pendingRestart(machine.appliedIndex) !== undefined) return { membership, index };
  for (const { bytes } of data.log.entries(machine.appliedIndex + 1)) {
    const entry = decodeEntry(nodeHost, bytes);
    if (entry?.kind !== MEMBERSHIP_KIND) continue;
    membership = decodeMembership(nodeHost, entry.payload);
    index = entry.index;
  }
  return { membership, index };
}
