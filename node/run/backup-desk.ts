import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterStatus } from '../../api/rest.ts';
import { DistricError } from '../../base/errors.ts';
import { stateHead } from '../core/state/snapshot-stream.ts';
import { takeBackup } from '../data/take-backup.ts';
import { nodeHost } from '../io/host.ts';
import type { Backup, BackupGate } from '../io/http/backup.ts';
import type { StateDisk } from '../io/lmdb/state-disk.ts';
import { reasonOf } from '../io/lmdb/storage-error.ts';
import type { LoopLog } from '../ports.ts';
import type { Gateway } from '../requests.ts';

/** What is applied is committed within a quarter of a second, unless the disk stands still. */
const COMMIT_WAIT_MS = 10_000;
const COMMIT_POLL_MS = 20;

export interface BackupDeskParts {
  gateway: Pick<Gateway, 'query'>;
  disk: StateDisk;
  /** For the copy while it is handed out. */
  dir: string;
  clusterName: string;
  bornWith: readonly string[];
  /** Why there is no room for so many bytes more; undefined: there is. */
  noRoom: (bytes: number) => string | undefined;
  log: Pick<LoopLog, 'info' | 'warn'>;
}

/** Takes backups of the state as of a read index, from whichever coordinator is asked. */
export class BackupDesk implements BackupGate {
  readonly #parts: BackupDeskParts;
  #taken = 0;

  constructor(parts: BackupDeskParts) {
    this.#parts = parts;
  }

  async take(): Promise<Backup> {
    const { disk, dir, clusterName, bornWith, noRoom, log } = this.#parts;
    const reason = noRoom(disk.current.usedBytes());
    if (reason !== undefined) throw new DistricError('STORAGE_FULL', `the state could not be copied: ${reason}`);
    const { clusterId, term, index } = await this.#readIndex();
    await this.#committed(index);
    const startedMs = performance.now();
    this.#taken++;
    const facts = { clusterId, clusterName, term, bornWith };
    // Asked for when it is needed: a snapshot may replace the store, and close it, meanwhile.
    const store = { pin: () => disk.current.pin(), usedBytes: () => disk.current.usedBytes() };
    const taken = await takeBackup(store, dir, `backup-${String(this.#taken)}`, facts).catch((error: unknown) => {
      log.warn({ component: 'backup', reason: reasonOf(error) }, 'no backup could be taken');
      throw new DistricError('STORAGE_FULL', `the state could not be copied: ${reasonOf(error)}`);
    });
    if (taken === undefined) throw new DistricError('BOOTSTRAPPING', 'there is no state yet');
    const { header, stream, drop } = taken;
    const ms = Math.round(performance.now() - startedMs);
    log.info({ component: 'backup', index: header.index, bytes: header.state_bytes, ms }, 'a backup was taken');
    return { name: `${clusterName}-${String(header.index)}.backup`, stream, drop: () => void drop() };
  }

  /** Everything that was acknowledged before is at or below this index. */
  #readIndex(): Promise<{ clusterId: string; term: number; index: number }> {
    return new Promise((resolve, reject) => {
      this.#parts.gateway.query({ kind: 'clusterStatus' }, 'linearizable', (outcome) => {
        if ('error' in outcome) {
          reject(outcome.error);
          return;
        }
        const { cluster_id: clusterId, term } = outcome.result as ClusterStatus;
        resolve({ clusterId, term, index: outcome.appliedIndex });
      });
    });
  }

  async #committed(index: number): Promise<void> {
    const deadline = performance.now() + COMMIT_WAIT_MS;
    while ((stateHead(nodeHost, this.#parts.disk.current)?.lastIndex ?? 0) < index) {
      if (performance.now() >= deadline) {
        throw new DistricError('QUEUE_FULL', 'the disk of this coordinator does not keep up: ask another one');
      }
      await delay(COMMIT_POLL_MS);
    }
  }
}
