/**
 * Snapshots of the state on disk, taken and installed beside the loop (`SnapshotPort`).
 *
 * 1. What cannot be taken, for want of space or time, costs the receiver a wait; this node loses nothing by it.
 * 2. What comes in and has no room is refused, and nothing of it is left. Any other failure to keep or install it ends the
 *    process, as any failed write does; the old state is whole.
 * 3. Room is looked for before a byte is written, so that a snapshot takes none that the log and the state may need.
 * 4. Files are worth nothing after this process: they are gone with it.
 */
import { rmSync } from 'node:fs';
import { assert } from '../../../base/assert.ts';
import type { LoopLog, SnapshotInput, SnapshotPort } from '../../ports.ts';
import { IncomingSnapshot } from './incoming-snapshot.ts';
import { OutgoingSnapshot, readerDeadlineMs } from './outgoing-snapshot.ts';
import type { StateDisk } from './state-disk.ts';
import { isFull, reasonOf } from './storage-error.ts';

export interface LmdbSnapshotsParts {
  disk: StateDisk;
  /** For files on their way; emptied first. */
  dir: string;
  answer: (input: SnapshotInput) => void;
  onFatal: (error: unknown) => void;
  /** Why there is no room for so many bytes more; undefined: there is. */
  noRoom: (bytes: number) => string | undefined;
  log: Pick<LoopLog, 'info' | 'warn'>;
  /** By the size of the state, unless given. */
  readerDeadlineMs?: number;
}

export class LmdbSnapshots implements SnapshotPort {
  readonly #parts: LmdbSnapshotsParts;
  /** The core keeps a few at a time (TRANSFERS_MAX). */
  readonly #outgoing = new Map<string, OutgoingSnapshot>();
  #incoming: IncomingSnapshot | undefined;
  /** Further pieces of it may still come. */
  #refusedId: string | undefined;
  #installing: Promise<void> | undefined;
  #taken = 0;
  #closed = false;

  constructor(parts: LmdbSnapshotsParts) {
    this.#parts = parts;
    rmSync(parts.dir, { recursive: true, force: true });
  }

  take(snapshotId: string): void {
    const { disk, dir, answer, log } = this.#parts;
    const stateBytes = disk.current.usedBytes();
    const deadlineMs = this.#parts.readerDeadlineMs ?? readerDeadlineMs(stateBytes);
    const noRoom = this.#parts.noRoom(stateBytes);
    if (noRoom !== undefined) {
      answer({ kind: 'snapshotNotTaken', snapshotId, noRoom });
      return;
    }
    const outgoing = new OutgoingSnapshot();
    this.#outgoing.set(snapshotId, outgoing);
    const startedMs = performance.now();
    this.#taken++;
    outgoing
      .take(() => disk.current.pin(), dir, `taken-${String(this.#taken)}`, deadlineMs)
      .then(
        (head) => {
          if (head === undefined) {
            answer({ kind: 'snapshotNotTaken', snapshotId });
            return;
          }
          const { sizeBytes } = outgoing;
          const ms = Math.round(performance.now() - startedMs);
          const fields = { component: 'state', snapshotId, index: head.lastIndex, bytes: sizeBytes, ms };
          log.info(fields, 'a snapshot was taken');
          answer({ kind: 'snapshotTaken', snapshotId, head, sizeBytes });
        },
        (error: unknown) => {
          const reason = reasonOf(error);
          this.drop(snapshotId);
          if (isFull(error)) {
            answer({ kind: 'snapshotNotTaken', snapshotId, noRoom: reason });
            return;
          }
          log.warn({ component: 'state', snapshotId, reason }, 'no snapshot could be taken');
          answer({ kind: 'snapshotNotTaken', snapshotId });
        },
      );
  }

  read(snapshotId: string, offset: number, bytesMax: number): void {
    const outgoing = this.#outgoing.get(snapshotId);
    outgoing?.read(offset, bytesMax).then((piece) => {
      if (piece !== undefined) this.#parts.answer({ kind: 'snapshotRead', snapshotId, offset, ...piece });
    }, this.#parts.onFatal);
  }

  drop(snapshotId: string): void {
    const outgoing = this.#outgoing.get(snapshotId);
    this.#outgoing.delete(snapshotId);
    outgoing?.drop().catch(this.#parts.onFatal);
  }

  keep(snapshotId: string, offset: number, bytes: Uint8Array, sizeBytes: number): void {
    if (offset === 0) {
      this.#discard();
      this.#refusedId = undefined;
      const incoming = new IncomingSnapshot(snapshotId, this.#parts.dir);
      this.#incoming = incoming;
      const noRoom = this.#noRoomFor(sizeBytes);
      if (noRoom !== undefined) this.#refuse(incoming, noRoom);
    }
    if (this.#refusedId === snapshotId) return;
    const incoming = this.#incoming;
    assert(incoming?.snapshotId === snapshotId, 'pieces are of the snapshot that was begun');
    incoming.keep(offset, bytes).then(
      (kept) => {
        if (this.#incoming === incoming) this.#parts.answer({ kind: 'snapshotKept', snapshotId, offset: kept });
      },
      (error: unknown) => this.#failed(incoming, error),
    );
  }

  /** For the file and, beside the old one, the new state. */
  #noRoomFor(sizeBytes: number): string | undefined {
    const { disk, noRoom } = this.#parts;
    if (sizeBytes > disk.bytesMax) {
      return `${String(sizeBytes)} bytes are offered, and the state may have ${String(disk.bytesMax)}: raise its limit`;
    }
    return noRoom(2 * sizeBytes);
  }

  #failed(incoming: IncomingSnapshot, error: unknown): void {
    if (isFull(error)) this.#refuse(incoming, reasonOf(error));
    else this.#parts.onFatal(error);
  }

  #refuse(incoming: IncomingSnapshot, noRoom: string): void {
    if (this.#incoming !== incoming) return;
    const { snapshotId } = incoming;
    this.#discard();
    this.#refusedId = snapshotId;
    this.#parts.answer({ kind: 'snapshotRefused', snapshotId, noRoom });
  }

  abandon(snapshotId: string): void {
    if (this.#incoming?.snapshotId === snapshotId) this.#discard();
  }

  install(snapshotId: string, anchor: Uint8Array): void {
    const incoming = this.#incoming;
    assert(incoming?.snapshotId === snapshotId, 'only what was kept is installed');
    assert(this.#installing === undefined, 'one installation at a time');
    this.#installing = this.#install(incoming, anchor)
      .catch((error: unknown) => {
        if (!this.#closed) this.#failed(incoming, error);
      })
      .finally(() => (this.#installing = undefined));
  }

  async #install(incoming: IncomingSnapshot, anchor: Uint8Array): Promise<void> {
    const { disk, answer } = this.#parts;
    const store = await disk.replace((next) => incoming.writeInto(next, anchor));
    this.#discard();
    answer({ kind: 'snapshotInstalled', snapshotId: incoming.snapshotId, store });
  }

  #discard(): void {
    this.#incoming?.close().catch(this.#parts.onFatal);
    this.#incoming = undefined;
  }

  /** Ends what is under way: nothing is answered any more. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const snapshotId of [...this.#outgoing.keys()]) this.drop(snapshotId);
    await this.#incoming?.close();
    await this.#installing;
  }
}
