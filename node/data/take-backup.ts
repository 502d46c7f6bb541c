import { membershipOf } from '../core/raft/membership.ts';
import { OutgoingSnapshot, readerDeadlineMs } from '../io/lmdb/outgoing-snapshot.ts';
import type { StateStore } from '../io/lmdb/state-store.ts';
import { type BackupHeader, backupStream } from './backup-format.ts';

/** Handed out in one go: what waits in memory for a slow receiver. */
const PIECE_BYTES = 256 * 1024;

export interface BackupFacts {
  clusterId: string;
  clusterName: string;
  term: number;
  /** The voters of the configuration: a state whose members were never changed names none. */
  bornWith: readonly string[];
}

export interface TakenBackup {
  header: BackupHeader;
  stream: AsyncGenerator<Uint8Array, void, undefined>;
  /** The copy of the state is kept until then. */
  drop: () => Promise<void>;
}

/**
 * Copies the state as of one commit into a file in `dir` that nobody else sees, for a receiver that may take any time.
 * Undefined: nothing was ever committed.
 * @throws Error: there is no room, or it took too long.
 */
export async function takeBackup(
  store: Pick<StateStore, 'pin' | 'usedBytes'>,
  dir: string,
  name: string,
  facts: BackupFacts,
): Promise<TakenBackup | undefined> {
  const snapshot = new OutgoingSnapshot();
  try {
    const head = await snapshot.take(() => store.pin(), dir, name, readerDeadlineMs(store.usedBytes()));
    if (head === undefined) return undefined;
    const header: BackupHeader = {
      cluster_id: facts.clusterId,
      cluster_name: facts.clusterName,
      index: head.lastIndex,
      term: facts.term,
      membership: head.membership ?? membershipOf(facts.bornWith),
      created_at: new Date().toISOString(),
      feature_level: head.featureLevel,
      state_bytes: snapshot.sizeBytes,
    };
    return { header, stream: backupStream(header, piecesOf(snapshot)), drop: () => snapshot.drop() };
  } catch (error) {
    await snapshot.drop();
    throw error;
  }
}

async function* piecesOf(snapshot: OutgoingSnapshot): AsyncGenerator<Uint8Array, void, undefined> {
  for (let offset = 0; ;) {
    const piece = await snapshot.read(offset, PIECE_BYTES);
    if (piece === undefined) return;
    yield piece.bytes;
    offset += piece.bytes.length;
    if (piece.done) return;
  }
}
