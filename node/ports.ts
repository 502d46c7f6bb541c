/** What a coordinator's loop takes in, and what it asks of its drivers. Inputs never wait; effects answer as inputs. */
import type { Rule } from '../api/rule.ts';
import type { SequencedWrite } from './core/raft/outbox.ts';
import type { KeyRecord } from './core/state/access-table.ts';
import type { ProposalResult } from './core/state/outcomes.ts';
import type { Query } from './core/state/query.ts';
import type { StateHead } from './core/state/snapshot-stream.ts';
import type { KeyValueReader, Writes } from './core/state/store.ts';
import type { Message } from './core/tlv/messages.ts';
import type { GossipNews } from './gossip-view.ts';
import type { Consistency, QueryOutcome } from './requests.ts';

export type PeerRole = 'coordinator' | 'worker';

export interface Now {
  /** Monotonic clock, ms; its zero means nothing. */
  monotonicMs: number;
  /** Wall clock, ms since the epoch. */
  wallMs: number;
}

/** A change for the log. */
export interface Change {
  /** Of core/state/commands.ts. */
  commandKind: number;
  command: Uint8Array;
  /** Of a message batch: the catalog it was evaluated against. */
  catalogVersion?: number;
  /** Likewise: instances and tasks that its messages start, at most. */
  rows?: number;
}

/** From this node's ingress. */
export interface Proposal extends Change {
  kind: 'propose';
  requestId: number;
}

/** Answers to what a `SnapshotPort` was asked. */
export type SnapshotInput =
  /** `sizeBytes`: of the stream. */
  | { kind: 'snapshotTaken'; snapshotId: string; head: StateHead; sizeBytes: number }
  /** There is nothing to take a snapshot of at present, or, as `noRoom` says, no room for it. */
  | { kind: 'snapshotNotTaken'; snapshotId: string; noRoom?: string }
  | { kind: 'snapshotRead'; snapshotId: string; offset: number; bytes: Uint8Array; done: boolean }
  /** Every byte below `offset` is kept. */
  | { kind: 'snapshotKept'; snapshotId: string; offset: number }
  /** There is no room to keep or to install it: nothing of it is left, and the state is what it was. */
  | { kind: 'snapshotRefused'; snapshotId: string; noRoom: string }
  /** `store` holds the snapshot's state now, durably. */
  | { kind: 'snapshotInstalled'; snapshotId: string; store: KeyValueReader };

export type Input =
  | { kind: 'tick' }
  /** `dataUuid`: the disk of the coordinator that sent it. */
  | { kind: 'message'; from: string; message: Message; dataUuid?: string | undefined }
  | { kind: 'peerUp'; peer: string; role: PeerRole; dataUuid?: string | undefined }
  | { kind: 'peerDown'; peer: string; role: PeerRole }
  /** The write with this sequence, and all before it, is flushed. */
  | { kind: 'persisted'; sequence: number }
  /** The writes handed to `commitState` are durable. */
  | { kind: 'stateCommitted' }
  | { kind: 'gossip'; news: GossipNews }
  | Proposal
  | SnapshotInput
  | { kind: 'query'; requestId: number; query: Query; consistency: Consistency };

/** To the ingress. */
export type Reply =
  /** `result` undefined: whether it was kept is not known. */
  | { kind: 'proposed'; requestId: number; result: ProposalResult | undefined }
  | { kind: 'answered'; requestId: number; outcome: QueryOutcome }
  /** `rows`: by rule, the instances and tasks that a message which matches it starts. */
  | { kind: 'catalog'; version: number; rules: readonly Rule[]; rows: ReadonlyMap<string, number> }
  /** All keys, whenever one that decides who gets in has changed. */
  | { kind: 'keys'; keys: readonly KeyRecord[] };

export type LogFields = Record<string, string | number | boolean | null | undefined>;

export interface LoopLog {
  debug(fields: LogFields, text: string): void;
  info(fields: LogFields, text: string): void;
  warn(fields: LogFields, text: string): void;
  error(fields: LogFields, text: string): void;
}

/**
 * Snapshots of the state as it was last committed, as a stream of bytes (core/state/snapshot-stream.ts), and the
 * replacing of the state by one. Nothing here may hold up the loop: each call is answered by an input.
 */
export interface SnapshotPort {
  /** Answered by snapshotTaken or snapshotNotTaken. Kept, for reads at any offset, until it is dropped; a second drop does nothing. */
  take(snapshotId: string): void;
  /** Answered by snapshotRead, unless it is dropped meanwhile. At the end of the stream: no bytes, and done. */
  read(snapshotId: string, offset: number, bytesMax: number): void;
  drop(snapshotId: string): void;
  /**
   * Puts a piece aside, in order; answered by snapshotKept, or by snapshotRefused once for all of them. Offset 0 begins
   * anew. What is kept dies with the process. `sizeBytes`: of all pieces, 0 when that is not known.
   */
  keep(snapshotId: string, offset: number, bytes: Uint8Array, sizeBytes: number): void;
  /**
   * Replaces the whole state by what was kept, and puts `anchor` under ANCHOR_KEY: in one durable step, after every
   * commit before it. Answered by snapshotInstalled or snapshotRefused.
   */
  install(snapshotId: string, anchor: Uint8Array): void;
  abandon(snapshotId: string): void;
}

export interface CoordinatorPorts {
  /** False: not connected, or its buffer is full; the frame is dropped. */
  send(to: string, message: Message): boolean;
  persist(write: SequencedWrite): void;
  commitState(writes: Writes): void;
  reply(reply: Reply): void;
  log: LoopLog;
  /** Smoothed time of a message to a node and its answer; without it all nodes are equally far. */
  roundTripMs?(nodeId: string): number | undefined;
  /** Without it the log is kept as long as any member needs it. */
  snapshots?: SnapshotPort;
}
