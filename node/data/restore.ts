/**
 * A backup becomes the data directory of a new cluster with one voter. It is filled beside its place and renamed at the
 * end: a directory is there as a whole or not at all.
 */
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { StateMachine } from '../core/state/machine.ts';
import { nodeHost } from '../io/host.ts';
import { syncDirectory } from '../io/lmdb/directory-lock.ts';
import { LogStore } from '../io/lmdb/log-store.ts';
import { StateStore } from '../io/lmdb/state-store.ts';
import { StorageError } from '../io/lmdb/storage-error.ts';
import { type BackupSummary, type OnProgress, readBackup } from './backup-file.ts';
import { becomeNewCluster, type NewCluster } from './new-cluster.ts';

/** Address space; the files grow as they are filled. */
const LOG_MAP_BYTES = 64 * 1024 * 1024;
const STATE_MAP_BYTES_MIN = 1024 * 1024 * 1024;
/** Records of different sizes leave room in pages; far more than was ever seen. */
const STATE_GROWTH = 8;

export interface Restored {
  backup: BackupSummary;
  cluster_id: string;
  data_dir: string;
  /** The first entry of the new cluster: tokens are above it, and those of the old one below. */
  index: number;
}

/** @throws BackupError, StorageError: the directory is not empty, or can't be written. */
export async function restoreBackup(
  file: string,
  dataDir: string,
  cluster: NewCluster,
  onProgress?: OnProgress,
): Promise<Restored> {
  const target = resolve(dataDir);
  if (existsSync(target) && readdirSync(target).length > 0) {
    throw new StorageError(`${target} is not empty: a backup is restored into a directory of its own`);
  }
  await mkdir(dirname(target), { recursive: true });
  const unfinished = await mkdtemp(`${target}.restoring-`);
  try {
    const restored = await fill(unfinished, file, cluster, onProgress);
    if (existsSync(target)) await rmdir(target);
    await rename(unfinished, target);
    syncDirectory(dirname(target));
    return { ...restored, data_dir: target };
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

async function fill(
  dir: string,
  file: string,
  cluster: NewCluster,
  onProgress: OnProgress | undefined,
): Promise<Omit<Restored, 'data_dir'>> {
  const { size } = await stat(file);
  const mapBytesMax = Math.max(STATE_MAP_BYTES_MIN, size * STATE_GROWTH);
  const state = await StateStore.open(join(dir, 'state'), { mapBytesMax });
  const log = await LogStore.open(join(dir, 'log'), { mapBytesMax: LOG_MAP_BYTES, queueBytesMax: LOG_MAP_BYTES });
  try {
    const backup = await readBackup(file, (records) => state.commit(records), onProgress);
    const machine = new StateMachine(nodeHost, state);
    const reason = `the cluster was restored from a backup of ${backup.header.created_at}`;
    const { term } = backup.header;
    const entry = await becomeNewCluster(cluster, 'cluster.restore', reason, machine, { log, state }, term);
    return { backup, cluster_id: machine.clusterId, index: entry.index };
  } finally {
    await log.close();
    await state.close();
  }
}
