/**
 * Snapshots from a leader to members that need entries which are cut away (Raft §7). The state is read by the driver,
 * piece by piece, as this asks for it; a few pieces are in flight at a time, on the bulk lane, so that heartbeats never
 * wait for them.
 *
 * Invariants
 * 1. One snapshot per member at a time; one more is begun only while fewer than TRANSFERS_MAX are not waiting for room.
 *    Members that do not answer get none.
 * 2. For want of room, here or there, it waits, twice as long each time; a copy of the state that was taken is kept for
 *    OFFERS_OF_A_COPY_MAX offers, so that asking again costs one piece: then it makes room, and another is taken now and
 *    then. So there may for a while be as many copies as members without room.
 * 3. A piece is sent again, from the receiver's own offset, until the receiver has acknowledged it: a lost connection
 *    costs what was in flight.
 */
import type { Body } from '../tlv/messages.ts';
import { encodeMembership, type Membership } from './membership.ts';
import type { Replica } from './replica.ts';

export const SNAPSHOT_CHUNK_BYTES = 256 * 1024;
/** Unacknowledged pieces per receiver. */
export const SNAPSHOT_INFLIGHT_MAX = 4;
export const TRANSFERS_MAX = 2;
/** The longest wait for room with a copy at hand. */
export const ROOM_WAIT_MS_MAX = 10_000;
/** A copy fills the leader's disk, which must not refuse messages for long because another node has no room. */
export const OFFERS_OF_A_COPY_MAX = 6;
/** The wait for room from then on. */
export const RETAKE_MS = 60_000;

/** What the driver is asked for; it answers with `taken` and `chunk`. */
export type SnapshotRead =
  | { kind: 'take'; snapshotId: string }
  | { kind: 'read'; snapshotId: string; offset: number; bytesMax: number }
  | { kind: 'drop'; snapshotId: string };

/** What the state was when the snapshot was taken. */
export interface SnapshotHead {
  lastIndex: number;
  membership: Membership;
  membershipIndex: number;
  sizeBytes: number;
}

/** For want of room, on either side. */
interface Wait {
  untilMs: number;
  /** How often it came to that, since this member last had what it needs. */
  count: number;
  reason: string;
}

interface Transfer {
  readonly peer: string;
  readonly snapshotId: string;
  head: SnapshotHead | undefined;
  ackedOffset: number;
  nextOffset: number;
  /** Where the stream ends, once its last piece was read. */
  endOffset: number;
  reading: boolean;
  /** When something last moved, on the leader's clock. */
  movedMs: number;
}

export class SnapshotSender {
  readonly #replica: Replica;
  readonly #transfers = new Map<string, Transfer>();
  #reads: SnapshotRead[] = [];
  readonly #waits = new Map<string, Wait>();
  #count = 0;
  /** After one that came to nothing. */
  #notBeforeMs = -Infinity;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  /** The index that `peer` will be at once it has the snapshot that is under way to it. */
  indexFor(peer: string): number | undefined {
    const transfer = this.#transfers.get(peer);
    return transfer?.head?.lastIndex;
  }

  /** Why `peer` gets none at present: there is no room, here or there. */
  waitReason(peer: string): string | undefined {
    const isUnderWay = (this.#transfers.get(peer)?.ackedOffset ?? 0) > 0;
    return isUnderWay ? undefined : this.#waits.get(peer)?.reason;
  }

  /** `peer` needs a snapshot and is there: begins one unless one is under way, or too many are. */
  want(peer: string): void {
    const { nodeId, term, nowMs } = this.#replica;
    if (this.#transfers.has(peer) || nowMs < this.#notBeforeMs || this.#isWaiting(peer)) return;
    const busy = [...this.#transfers.keys()].filter((other) => !this.#isWaiting(other));
    if (busy.length >= TRANSFERS_MAX) return;
    this.#count++;
    const snapshotId = `${nodeId}.${String(term)}.${String(this.#count)}`;
    this.#transfers.set(peer, {
      ...{ peer, snapshotId, head: undefined, movedMs: nowMs },
      ...{ ackedOffset: 0, nextOffset: 0, endOffset: Infinity, reading: false },
    });
    this.#reads.push({ kind: 'take', snapshotId });
  }

  end(peer: string): void {
    const transfer = this.#transfers.get(peer);
    if (transfer === undefined) return;
    this.#transfers.delete(peer);
    this.#reads = this.#reads.filter(({ snapshotId }) => snapshotId !== transfer.snapshotId);
    this.#reads.push({ kind: 'drop', snapshotId: transfer.snapshotId });
  }

  endAll(): void {
    for (const peer of [...this.#transfers.keys()]) this.end(peer);
    this.#waits.clear();
  }

  /** `peer` has what it needs, or is no member any more. */
  settle(peer: string): void {
    this.end(peer);
    this.#waits.delete(peer);
  }

  /**
   * Undefined: the driver cannot take one now; it is asked again when the member is seen to need it still, after a wait
   * if `noRoom` says that there is no room for it.
   */
  taken(snapshotId: string, head: SnapshotHead | undefined, noRoom?: string): void {
    const transfer = this.#find(snapshotId);
    if (transfer === undefined) {
      this.#reads.push({ kind: 'drop', snapshotId });
      return;
    }
    const { log } = this.#replica;
    if (noRoom !== undefined) this.#wait(transfer.peer, noRoom);
    if (head === undefined || head.lastIndex < log.firstIndex || head.lastIndex === 0) {
      this.#giveUp(transfer);
      return;
    }
    transfer.head = head;
    transfer.movedMs = this.#replica.nowMs;
    this.#readNext(transfer);
  }

  /** A piece that was asked for. */
  chunk(snapshotId: string, offset: number, bytes: Uint8Array, done: boolean): void {
    const transfer = this.#find(snapshotId);
    if (transfer?.head === undefined) return;
    transfer.reading = false;
    // Asked for before the receiver named another place.
    if (offset === transfer.nextOffset) this.#send(transfer, transfer.head, bytes, done);
    this.#readNext(transfer);
  }

  onResponse(from: string, answer: Body<'INSTALL_SNAPSHOT_RESPONSE'>): void {
    const transfer = this.#transfers.get(from);
    if (transfer?.snapshotId !== answer.snapshotId) return;
    const { nowMs } = this.#replica;
    const { ok, offset, noRoom } = answer;
    if (noRoom !== undefined) {
      this.#wait(from, noRoom);
      transfer.ackedOffset = 0;
      if (this.#hasWaitedLong(from)) this.end(from);
      else this.#goBack(transfer);
      return;
    }
    if (ok) {
      if (offset > transfer.ackedOffset) {
        transfer.ackedOffset = offset;
        transfer.nextOffset = Math.max(transfer.nextOffset, offset);
        transfer.movedMs = nowMs;
      }
    } else if (offset !== transfer.ackedOffset) {
      // The receiver began anew. (Pieces behind a lost one are refused at the same place again and again: `look` resends.)
      transfer.ackedOffset = offset;
      this.#goBack(transfer);
      return;
    }
    this.#readNext(transfer);
  }

  /** The connection to `peer` is new: what was in flight is lost. */
  lost(peer: string): void {
    const transfer = this.#transfers.get(peer);
    if (transfer !== undefined) this.#goBack(transfer);
  }

  /** At every heartbeat: what has had no answer for long is sent again; whoever is gone gets nothing more. */
  look(isThere: (peer: string) => boolean): void {
    for (const transfer of [...this.#transfers.values()]) {
      if (!isThere(transfer.peer)) this.end(transfer.peer);
      else if (this.#isWaiting(transfer.peer)) continue;
      else if (!transfer.reading && this.#replica.nowMs - transfer.movedMs >= this.#resendMs) this.#goBack(transfer);
    }
  }

  take(): SnapshotRead[] {
    const reads = this.#reads;
    this.#reads = [];
    return reads;
  }

  get #resendMs(): number {
    const { electionMsMin, heartbeatMs } = this.#replica.config;
    return Math.max(electionMsMin, 5 * heartbeatMs);
  }

  #wait(peer: string, reason: string): void {
    const count = (this.#waits.get(peer)?.count ?? 0) + 1;
    const waitMs =
      count >= OFFERS_OF_A_COPY_MAX ? RETAKE_MS : Math.min(this.#resendMs * 2 ** (count - 1), ROOM_WAIT_MS_MAX);
    this.#waits.set(peer, { untilMs: this.#replica.nowMs + waitMs, count, reason });
  }

  #hasWaitedLong(peer: string): boolean {
    return (this.#waits.get(peer)?.count ?? 0) >= OFFERS_OF_A_COPY_MAX;
  }

  #isWaiting(peer: string): boolean {
    return this.#replica.nowMs < (this.#waits.get(peer)?.untilMs ?? -Infinity);
  }

  #goBack(transfer: Transfer): void {
    transfer.nextOffset = transfer.ackedOffset;
    transfer.endOffset = Infinity;
    transfer.movedMs = this.#replica.nowMs;
    this.#readNext(transfer);
  }

  #giveUp(transfer: Transfer): void {
    this.#notBeforeMs = this.#replica.nowMs + this.#resendMs;
    this.end(transfer.peer);
  }

  #find(snapshotId: string): Transfer | undefined {
    for (const transfer of this.#transfers.values()) if (transfer.snapshotId === snapshotId) return transfer;
    return undefined;
  }

  #readNext(transfer: Transfer): void {
    const { snapshotId, nextOffset: offset, ackedOffset, endOffset, reading, head } = transfer;
    const isFull = offset - ackedOffset >= SNAPSHOT_INFLIGHT_MAX * SNAPSHOT_CHUNK_BYTES;
    if (head === undefined || reading || isFull || offset >= endOffset || this.#isWaiting(transfer.peer)) return;
    transfer.reading = true;
    this.#reads.push({ kind: 'read', snapshotId, offset, bytesMax: SNAPSHOT_CHUNK_BYTES });
  }

  #send(transfer: Transfer, head: SnapshotHead, chunk: Uint8Array, done: boolean): void {
    const { peer, snapshotId, nextOffset: offset } = transfer;
    const { host, term, nodeId: leaderId, log, outbox } = this.#replica;
    const { lastIndex, membership, membershipIndex, sizeBytes } = head;
    const lastTerm = log.termAt(lastIndex);
    // Cut away while this went on (a member that takes longer than the whole kept log): it begins again.
    if (lastTerm === undefined) {
      this.#giveUp(transfer);
      return;
    }
    const first = {
      anchor: log.entry(lastIndex).bytes,
      membership: encodeMembership(host, membership),
      membershipIndex,
      sizeBytes,
    };
    outbox.send(peer, {
      kind: 'INSTALL_SNAPSHOT',
      body: {
        ...{ term, leaderId, snapshotId, lastIndex, lastTerm, offset, chunk, done },
        checksum: host.crc32(chunk),
        ...(offset === 0 ? first : {}),
      },
    });
    transfer.nextOffset = offset + chunk.length;
    if (done) transfer.endOffset = transfer.nextOffset;
    transfer.movedMs = this.#replica.nowMs;
  }
}
