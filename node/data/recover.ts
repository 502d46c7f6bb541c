/**
 * When a majority of the disks is gone for good, one that is left goes on as a new cluster with one voter. What this disk
 * does not have can't be brought back, and nobody can tell whether that is nothing: see `planRecovery` and docs/backup.md.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DistricError } from '../../base/errors.ts';
import { decodeEntry } from '../core/raft/entry.ts';
import { type Membership, members } from '../core/raft/membership.ts';
import { StateMachine } from '../core/state/machine.ts';
import { nodeHost } from '../io/host.ts';
import { LogStore } from '../io/lmdb/log-store.ts';
import { StateDisk } from '../io/lmdb/state-disk.ts';
import { StorageError } from '../io/lmdb/storage-error.ts';
import { DataDirectory } from './data-directory.ts';
import { newestMembership } from './inspect.ts';
import { becomeNewCluster } from './new-cluster.ts';
import { verifyData, type VerifyReport } from './verify.ts';

/** Room for one entry beside what is there, which may be more than the limit that the node was started with. */
const ROOM_FACTOR = 2;
const MAP_BYTES_MIN = 16 * 1024 * 1024 * 1024;

export interface RecoveryPlan {
  node_id: string;
  cluster_id: string;
  term: number;
  /** Known to be committed: a majority had everything up to here. */
  applied_index: number;
  last_index: number;
  /** When the newest entry was made, as its leader's clock said; null: there is no entry. */
  last_entry_at: string | null;
  /** Null: that of the configuration, it was never changed. */
  membership: Membership | null;
}

export interface Recovered {
  cluster_id: string;
  index: number;
}

/**
 * What there is to go on from; nothing is changed.
 * @throws StorageError: in use by a node, damaged; DistricError NOT_FOUND: the node is no member of this data.
 */
export async function planRecovery(
  dir: string,
  nodeId: string,
  verify: (dir: string) => Promise<VerifyReport> = verifyData,
): Promise<RecoveryPlan> {
  const { faults } = await verify(dir);
  if (faults.length > 0) {
    throw new StorageError(
      `${dir} is damaged, look at the disks of the other nodes first; see \`distric data verify\`: ${faults[0] ?? ''}`,
    );
  }
  const data = await DataDirectory.open(dir);
  try {
    const machine = new StateMachine(nodeHost, data.state);
    const { membership } = newestMembership(data, machine);
    if (membership !== undefined && !members(membership).includes(nodeId)) {
      const known = members(membership).join(', ');
      throw new DistricError('NOT_FOUND', `"${nodeId}" is no member of the cluster of ${dir}: it has ${known}`);
    }
    const pending = data.pendingRestart(machine.appliedIndex);
    const last = pending ?? data.lastEntry();
    return {
      node_id: nodeId,
      cluster_id: machine.clusterId,
      term: data.log.hardState?.term ?? 0,
      applied_index: machine.appliedIndex,
      last_index: last?.index ?? 0,
      last_entry_at: last === undefined ? null : new Date(last.wallMs).toISOString(),
      membership: membership ?? null,
    };
  } finally {
    await data.close();
  }
}

/** @throws StorageError: in use by a node, damaged, or it can't be written. */
export async function recoverData(dir: string, plan: RecoveryPlan, operator: string): Promise<Recovered> {
  const cluster = { nodeId: plan.node_id, operator };
  const mapBytes = Math.max(MAP_BYTES_MIN, ROOM_FACTOR * sizeOf(dir));
  const log = await LogStore.open(join(dir, 'log'), { mapBytesMax: mapBytes, queueBytesMax: MAP_BYTES_MIN });
  try {
    const disk = await StateDisk.open(dir, { mapBytesMax: mapBytes });
    try {
      const state = disk.current;
      const machine = new StateMachine(nodeHost, state);
      for (let index = plan.applied_index + 1; index <= log.boot.lastIndex; index++) {
        const [bytes] = log.read(index, index + 1, 0);
        const entry = bytes === undefined ? undefined : decodeEntry(nodeHost, bytes);
        if (entry === undefined) throw new StorageError(`entry ${String(index)} of the log in ${dir} is damaged`);
        machine.apply(entry);
      }
      const reason = 'the cluster was recovered from one disk';
      const entry = await becomeNewCluster(cluster, 'cluster.recover', reason, machine, { log, state }, plan.term);
      return { cluster_id: machine.clusterId, index: entry.index };
    } finally {
      await disk.close();
    }
  } finally {
    await log.close();
  }
}

/** Bytes of all files below, whatever they are. */
function sizeOf(dir: string): number {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
