/** What a coordinator's loop takes in, and what it asks of its drivers. Inputs never wait; effects answer as inputs. */
import type { Rule } from '../api/rule.ts';
import type { SequencedWrite } from './core/raft/outbox.ts';
import type { KeyRecord } from './core/state/access-table.ts';
import type { ProposalResult } from './core/state/outcomes.ts';
import type { Query } from './core/state/query.ts';
import type { Writes } from './core/state/store.ts';
import type { Message } from './core/tlv/messages.ts';
import type { Consistency, QueryOutcome } from './requests.ts';

export type PeerRole = 'coordinator' | 'worker';

export interface Now {
  /** Monotonic clock, ms; its zero means nothing. */
  monotonicMs: number;
  /** Wall clock, ms since the epoch. */
  wallMs: number;
}

/** A change for the log, from this node's ingress. */
export interface Proposal {
  kind: 'propose';
  requestId: number;
  /** Of core/state/commands.ts. */
  commandKind: number;
  command: Uint8Array;
  /** Of a message batch: the catalog it was evaluated against. */
  catalogVersion?: number;
}

export type Input =
  | { kind: 'tick' }
  | { kind: 'message'; from: string; message: Message }
  | { kind: 'peerUp'; peer: string; role: PeerRole }
  | { kind: 'peerDown'; peer: string; role: PeerRole }
  /** The write with this sequence, and all before it, is flushed. */
  | { kind: 'persisted'; sequence: number }
  /** The writes handed to `commitState` are durable. */
  | { kind: 'stateCommitted' }
  | Proposal
  | { kind: 'query'; requestId: number; query: Query; consistency: Consistency };

/** To the ingress. */
export type Reply =
  /** `result` undefined: whether it was kept is not known. */
  | { kind: 'proposed'; requestId: number; result: ProposalResult | undefined }
  | { kind: 'answered'; requestId: number; outcome: QueryOutcome }
  | { kind: 'catalog'; version: number; rules: readonly Rule[] }
  /** All keys, whenever one that decides who gets in has changed. */
  | { kind: 'keys'; keys: readonly KeyRecord[] };

export type LogFields = Record<string, string | number | boolean | null | undefined>;

export interface LoopLog {
  debug(fields: LogFields, text: string): void;
  info(fields: LogFields, text: string): void;
  warn(fields: LogFields, text: string): void;
  error(fields: LogFields, text: string): void;
}

export interface CoordinatorPorts {
  /** False: not connected, or its buffer is full; the frame is dropped. */
  send(to: string, message: Message): boolean;
  persist(write: SequencedWrite): void;
  commitState(writes: Writes): void;
  reply(reply: Reply): void;
  log: LoopLog;
}
