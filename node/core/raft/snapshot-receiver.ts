/**
 * A snapshot as it comes in. The driver keeps the pieces aside; only when all are there does it replace the state by
 * them, in one step, and then the log restarts at the entry that the snapshot ended with.
 *
 * Invariants
 * 1. A snapshot that ends at or below the commit index is never installed: it would take back what was applied.
 * 2. While one is being installed nothing is committed and nobody campaigned for (`Replica.installing`).
 * 3. The term it came in is on disk before it is installed: a state is never of a later term than its node.
 * 4. What is left of a torn one is worth nothing: after a restart the sender begins anew.
 */
import { assert } from '../../../base/assert.ts';
import type { Body } from '../tlv/messages.ts';
import { decodeEntry, type Entry } from './entry.ts';
import type { Following } from './following.ts';
import { decodeMembership, type Membership } from './membership.ts';
import type { Replica } from './replica.ts';

/** What the driver is asked for; `store` and `install` are answered by `stored` and `installed`, or by `refused`. */
export type SnapshotWrite =
  /**
   * A piece to keep aside; offset 0 begins anew, whatever was there under another id is worth nothing. `sizeBytes`: of all
   * pieces together, 0 when that is not known.
   */
  | { kind: 'store'; snapshotId: string; offset: number; bytes: Uint8Array; sizeBytes: number }
  /** Replaces the state by the pieces, with `anchor` beside it (`RaftBoot.anchor`), durably and in one step. */
  | { kind: 'install'; snapshotId: string; anchor: Uint8Array }
  | { kind: 'abandon'; snapshotId: string };

interface Incoming {
  readonly snapshotId: string;
  readonly anchor: Entry;
  readonly membership: Membership;
  readonly membershipIndex: number;
  readonly sizeBytes: number;
  /** Every byte below was handed to the driver, and every byte below `storedOffset` was kept by it. */
  offset: number;
  storedOffset: number;
  /** The last piece was handed to the driver. */
  complete: boolean;
}

export class SnapshotReceiver {
  readonly #replica: Replica;
  readonly #following: Following;
  #incoming: Incoming | undefined;
  #writes: SnapshotWrite[] = [];
  /** To be asked for, as soon as it may be. */
  #install: Extract<SnapshotWrite, { kind: 'install' }> | undefined;

  constructor(replica: Replica, following: Following) {
    this.#replica = replica;
    this.#following = following;
  }

  onPiece(from: string, request: Body<'INSTALL_SNAPSHOT'>): void {
    const replica = this.#replica;
    const { snapshotId, lastIndex, offset, chunk } = request;
    if (!this.#following.accept(from, request.term)) {
      this.#answer(from, snapshotId, 0, false);
      return;
    }
    // One thing at a time; the sender asks again.
    if (replica.installing) return;
    if (lastIndex <= replica.commitIndex) {
      this.#abandon();
      // It is here already, perhaps from an earlier, unanswered piece.
      this.#following.confirm(from, lastIndex);
      return;
    }
    if (this.#incoming?.snapshotId !== snapshotId && !this.#begin(request)) {
      this.#answer(from, snapshotId, 0, false);
      return;
    }
    const incoming = this.#incoming;
    if (incoming === undefined) return;
    const isIntact = replica.host.crc32(chunk) === request.checksum;
    if (offset !== incoming.offset || !isIntact) {
      const isKnown = offset < incoming.offset;
      this.#answer(from, snapshotId, isKnown ? incoming.storedOffset : incoming.offset, isKnown);
      return;
    }
    if (incoming.complete) return;
    incoming.offset += chunk.length;
    incoming.complete = request.done;
    this.#writes.push({ kind: 'store', snapshotId, offset, bytes: chunk, sizeBytes: incoming.sizeBytes });
  }

  /** False: only a first piece can begin one. */
  #begin({ snapshotId, lastIndex, lastTerm, offset, ...request }: Body<'INSTALL_SNAPSHOT'>): boolean {
    const { host } = this.#replica;
    const anchor = request.anchor === undefined ? undefined : decodeEntry(host, request.anchor);
    const { membership, membershipIndex, sizeBytes = 0 } = request;
    if (offset !== 0 || membership === undefined || membershipIndex === undefined) return false;
    if (anchor?.index !== lastIndex || anchor.term !== lastTerm) return false;
    this.#abandon();
    this.#incoming = {
      ...{ snapshotId, anchor, membership: decodeMembership(host, membership), membershipIndex },
      ...{ sizeBytes, offset: 0, storedOffset: 0, complete: false },
    };
    return true;
  }

  /** The driver keeps every byte below `offset`. */
  stored(snapshotId: string, offset: number): void {
    const replica = this.#replica;
    const incoming = this.#incoming;
    if (incoming?.snapshotId !== snapshotId || replica.installing) return;
    incoming.storedOffset = Math.max(incoming.storedOffset, offset);
    if (incoming.anchor.index <= replica.commitIndex || replica.role === 'leader') {
      this.#abandon();
      return;
    }
    if (replica.leaderId !== undefined) this.#answer(replica.leaderId, snapshotId, incoming.storedOffset, true);
    if (!incoming.complete || incoming.storedOffset < incoming.offset) return;
    replica.installing = true;
    if (replica.role === 'candidate') replica.follow(replica.term, undefined);
    this.#install = { kind: 'install', snapshotId, anchor: incoming.anchor.bytes };
  }

  /** The driver has no room for it: the state is what it was, and the sender asks again. */
  refused(snapshotId: string, noRoom: string): void {
    const replica = this.#replica;
    if (this.#incoming?.snapshotId !== snapshotId) return;
    replica.installing = false;
    this.#abandon();
    if (replica.leaderId !== undefined) this.#answer(replica.leaderId, snapshotId, 0, false, noRoom);
  }

  /** The state is that of the snapshot now, on disk. */
  installed(snapshotId: string): void {
    const replica = this.#replica;
    const incoming = this.#incoming;
    assert(incoming?.snapshotId === snapshotId && replica.installing, 'what was asked for was installed');
    replica.installing = false;
    this.#incoming = undefined;
    replica.installed(incoming.anchor, incoming.membership, incoming.membershipIndex);
    if (replica.leaderId !== undefined) this.#following.confirm(replica.leaderId, incoming.anchor.index);
  }

  /** Call it before the outbox is emptied: what that is about to hand out is not on disk. */
  take(): SnapshotWrite[] {
    if (this.#install !== undefined && this.#replica.outbox.hardStateFlushed) {
      this.#writes.push(this.#install);
      this.#install = undefined;
    }
    const writes = this.#writes;
    this.#writes = [];
    return writes;
  }

  #abandon(): void {
    if (this.#incoming === undefined) return;
    const { snapshotId } = this.#incoming;
    this.#incoming = undefined;
    this.#install = undefined;
    this.#writes = this.#writes.filter((write) => write.snapshotId !== snapshotId);
    this.#writes.push({ kind: 'abandon', snapshotId });
  }

  #answer(to: string, snapshotId: string, offset: number, ok: boolean, noRoom?: string): void {
    const { term, outbox } = this.#replica;
    const body = { term, snapshotId, offset, ok, ...(noRoom === undefined ? {} : { noRoom }) };
    outbox.hold(to, { kind: 'INSTALL_SNAPSHOT_RESPONSE', body });
  }
}
