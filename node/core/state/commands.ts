/** What an entry of the log can say: its kind byte, and the encoding of its payload. */
import { PluginTypeInfo, ResultItem, SlotReservation } from '../tlv/messages.ts';
import type { Infer } from '../tlv/struct.ts';
import { bool, bytes, list, nested, optional, struct, text, u32, u64 } from '../tlv/struct.ts';

/** Numbers are on disk: never reused. 0 is the empty entry of a new leader. */
export const COMMAND = {
  bootstrap: 1,
  messages: 2,
  putRule: 3,
  deleteRule: 4,
  putWorkflow: 5,
  deleteWorkflow: 6,
  cancelInstance: 7,
  registerWorker: 8,
  loseWorker: 9,
  drainWorker: 10,
  assign: 11,
  results: 12,
  advanceTime: 13,
  createKey: 14,
  revokeKey: 15,
  rotateKey: 16,
  touchKeys: 17,
  changeMembers: 30,
  transferLeadership: 31,
  foundCluster: 33,
  openCluster: 32,
  raiseLevel: 33,
  refound: 18,
  sweep: 20,
  noteBackup: 19,
  note: 21,
  orderDrain: 40,
  endDrain: 41,
} as const;

/** The first command of a cluster: names it. */
export const Bootstrap = struct('Bootstrap', {
  clusterId: text(1),
  clusterName: text(2),
  /** Voters that have to be in before messages are taken; absent or 1: none but the leader. */
  minVotersForWrites: optional(u32(3)),
});

/** One message, kept in the state as these very bytes. */
export const MessageItem = struct('MessageItem', {
  id: text(1),
  /** Wall clock of the ingress, ms since the epoch. */
  receivedAt: u64(2),
  /** UTF-8 JSON object. */
  payload: bytes(3),
  /** `rule id@version` of every rule that matched, in firing order. */
  matched: list(4, 'text'),
  /** `scope/key`, printable ASCII. */
  scopedKey: optional(text(5)),
  source: optional(text(6)),
  /** JSON object of text values. */
  headers: optional(text(7)),
});
export type MessageItem = Infer<typeof MessageItem>;

/** One of `matched`, taken apart: an id holds no "@", a version label may. */
export function matchedRule(match: string): { id: string; version: string } {
  const at = match.indexOf('@');
  return { id: match.slice(0, at), version: match.slice(at + 1) };
}

export const MessageBatch = struct('MessageBatch', {
  /** Version of the catalog that the rules were evaluated against. */
  catalogVersion: u64(1),
  /** Encoded MessageItems. */
  items: list(2, 'bytes'),
});

/** On whose behalf an administrative change is made; see api/access.ts. Entries of earlier releases have none. */
export const ActorField = struct('Actor', { kind: text(1), id: text(2), name: text(3), role: text(4) });
export type ActorField = Infer<typeof ActorField>;

export const PutDocument = struct('PutDocument', {
  /** 'create' refuses an id that exists; 'upsert' replaces it. */
  mode: text(1),
  /** The document, canonical JSON. */
  document: text(2),
  actor: optional(nested(3, ActorField)),
  /** Also when it has another owner. */
  force: optional(bool(4)),
});
export const DeleteDocument = struct('DeleteDocument', {
  id: text(1),
  actor: optional(nested(2, ActorField)),
  force: optional(bool(3)),
});
export const CancelInstance = struct('CancelInstance', { id: text(1), actor: optional(nested(2, ActorField)) });

/** Hashes are SHA-256 of the secret, in hex: the secret itself never enters the log. */
export const CreateKey = struct('CreateKey', {
  id: text(1),
  name: text(2),
  role: text(3),
  hash: text(4),
  /** Wall clock, ms since the epoch. */
  expiresAt: optional(u64(5)),
  /** Requests per second; 0 for no limit. */
  rateLimit: optional(u32(6)),
  actor: optional(nested(7, ActorField)),
});
export const RevokeKey = struct('RevokeKey', { id: text(1), actor: optional(nested(2, ActorField)) });
export const RotateKey = struct('RotateKey', {
  id: text(1),
  hash: text(2),
  /** How long the earlier secret stays good, from the wall clock of the entry. */
  overlapMs: u64(3),
  actor: optional(nested(4, ActorField)),
});
/** Never in the log: what the leader makes of it is the entry that carries the membership (`core/raft/membership.ts`). */
export const ChangeMembers = struct('ChangeMembers', {
  /** A MembershipChange as JSON. */
  change: text(1),
  actor: optional(nested(2, ActorField)),
});
/** Once it is applied, the leader hands the leadership to this voter. */
export const TransferLeadership = struct('TransferLeadership', {
  target: text(1),
  actor: optional(nested(2, ActorField)),
});
/** Never in the log: it makes the node that is asked, on the disk that is named, the first voter of a new cluster. */
export const FoundCluster = struct('FoundCluster', {
  clusterId: text(1),
  dataUuid: text(2),
  /** Where the others will reach it. */
  address: text(3),
  httpAddress: optional(text(4)),
  minVotersForWrites: u32(5),
  actor: optional(nested(6, ActorField)),
});
export type Founding = Omit<Infer<typeof FoundCluster>, 'actor'>;
/** Enough voters of a new cluster are in: messages are taken from now on. */
export const OpenCluster = struct('OpenCluster', {});
/** Every member supports this feature level (feature-level.ts): from the next entry on it holds. */
export const RaiseLevel = struct('RaiseLevel', { level: u32(1) });
/** A row for the audit log that changes nothing: a node that joined, a change that was refused before it got here. */
export const Note = struct('Note', {
  action: text(1),
  target: text(2),
  outcome: text(3),
  actor: nested(4, ActorField),
});
/** Keys that were used, as one coordinator saw it by `at` (its wall clock). */
export const TouchKeys = struct('TouchKeys', { ids: list(1, 'text'), at: u64(2) });

export const RegisterWorker = struct('RegisterWorker', {
  workerId: text(1),
  session: text(2),
  capacity: u32(3),
  address: text(4),
  types: list(5, PluginTypeInfo),
  zone: optional(text(6)),
  /** `name=value` */
  labels: optional(list(7, 'text')),
  softwareVersion: optional(text(8)),
  reserved: optional(list(9, SlotReservation)),
});
/** The worker's session is over: its attempts are dispatched again. */
export const LoseWorker = struct('LoseWorker', {
  workerId: text(1),
  session: text(2),
  reason: text(3),
  /** It has said that it leaves. */
  left: optional(bool(4)),
});
/** The worker says that it takes nothing more: its process is about to end. */
export const DrainWorker = struct('DrainWorker', { workerId: text(1), session: text(2) });
/** Somebody orders that a worker gets nothing more, whatever session it has, until EndDrain or until it leaves. */
export const OrderDrain = struct('OrderDrain', {
  workerId: text(1),
  /** What it runs may finish within this, of cluster time; then it is handed back. */
  graceMs: u64(2),
  actor: optional(nested(3, ActorField)),
});
export const EndDrain = struct('EndDrain', { workerId: text(1), actor: optional(nested(2, ActorField)) });

export const Assignment = struct('Assignment', {
  instanceId: text(1),
  taskId: text(2),
  workerId: text(3),
  session: text(4),
});
export const Assign = struct('Assign', { assignments: list(1, Assignment) });
export const Results = struct('Results', { results: list(1, ResultItem) });
export const AdvanceTime = struct('AdvanceTime', {});

/** A state goes on as another cluster, of one voter (refounding.ts). No running cluster proposes it. */
export const Refound = struct('Refound', {
  clusterId: text(1),
  /** In words, for the audit log and the tasks that were running. */
  reason: text(2),
  /** Encoded Membership. */
  membership: bytes(3),
  /** `cluster.restore` or `cluster.recover`. */
  action: text(4),
  actor: nested(5, ActorField),
});
export type Refound = Infer<typeof Refound>;
/** A copy of the state is about to be handed out: nothing changes, and the audit log says who has it. */
export const NoteBackup = struct('NoteBackup', { actor: optional(nested(1, ActorField)) });

/** One step of retention (retention.ts), with the limits of the leader that proposed it. Times are wall clock, ms. */
export const Sweep = struct('Sweep', {
  /** messages, instances */
  table: text(1),
  /** Id to go on from; empty: from the oldest. */
  from: text(2),
  /** What is older goes. */
  before: u64(3),
  /** What is younger stays. */
  youngest: u64(4),
  /** Of what lies between the two, the oldest go until so many rows are left. */
  keep: u64(5),
});
