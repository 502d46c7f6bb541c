import { join } from 'node:path';
import { anchorOf } from '../snapshots.ts';
import type { Entry } from '../core/raft/entry.ts';
import { decodeEntry } from '../core/raft/entry.ts';
import { nodeHost } from '../io/host.ts';
import { LogView } from '../io/lmdb/log-view.ts';
import { newestStateDirectory } from '../io/lmdb/state-disk.ts';
import { StateStore } from '../io/lmdb/state-store.ts';

/** The data directory of a coordinator, looked at while no node runs on it; nothing in it is changed. */
export class DataDirectory {
  readonly dir: string;
  readonly log: LogView;
  readonly state: StateStore;

  private constructor(dir: string, log: LogView, state: StateStore) {
    this.dir = dir;
    this.log = log;
    this.state = state;
  }

  /** @throws StorageError: not there, in use by a node, damaged, or of another format. */
  static async open(dir: string): Promise<DataDirectory> {
    const log = await LogView.open(join(dir, 'log'));
    try {
      return new DataDirectory(dir, log, await StateStore.openForReading(newestStateDirectory(dir)));
    } catch (error) {
      await log.close();
      throw error;
    }
  }

  /**
   * The entry that the log is to restart at when the node starts: the state was replaced as of it, and the log on disk
   * does not have it yet.
   */
  pendingRestart(appliedIndex: number): Entry | undefined {
    const anchor = anchorOf(nodeHost, this.state);
    if (anchor?.index !== appliedIndex) return undefined;
    for (const { index, bytes } of this.log.entries(appliedIndex)) {
      if (index === appliedIndex && decodeEntry(nodeHost, bytes)?.checksum === anchor.checksum) return undefined;
      break;
    }
    return anchor;
  }

  /** Undefined when there is none, or it is damaged. */
  lastEntry(): Entry | undefined {
    for (const { bytes } of this.log.entries(this.log.lastIndex)) return decodeEntry(nodeHost, bytes);
    return undefined;
  }

  async close(): Promise<void> {
    await this.state.close();
    await this.log.close();
  }
}
