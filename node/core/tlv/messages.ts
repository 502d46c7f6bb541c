/**
 * Every message on the wire, declared once: its code, its fields and the lane it travels on.
 * Codes and tags are never reused; fields are only ever added, as optional ones.
 */
import type { Host } from '../../../base/host.ts';
import { structSize } from './struct-encoder.ts';
import type { Infer, Struct } from './struct.ts';
import { bool, bytes, decode, encode, f64, list, nested, optional, struct, text, u16, u32, u64, u8 } from './struct.ts';

// ---- control -------------------------------------------------------------------------------------------------

/** First frame each way on every connection. */
export const Hello = struct('Hello', {
  nodeId: text(1),
  role: text(2),
  clusterName: text(3),
  lane: text(4),
  /** What this end can do beyond the version, such as a compression; both ends use what both name. */
  features: list(5, 'text'),
  /** Protocol versions this end speaks; absent: version 1 only. */
  versionMin: optional(u16(6)),
  versionMax: optional(u16(7)),
  /** API key of a client. */
  authorization: optional(text(8)),
  /** Of a coordinator: which disk it has (docs/members.md). */
  dataUuid: optional(text(9)),
  /** Of a coordinator that knows it: a restored cluster has the name of the old one, and another id. */
  clusterId: optional(text(10)),
  /** Of a worker: new at each start of its process, so that two of them under one id are told apart. */
  session: optional(text(11)),
});
/** From now on, at most so many calls and bytes of their payloads may be unanswered on this connection. */
export const Credit = struct('Credit', { calls: u32(1), bytes: u64(2) });
const FieldFault = struct('FieldFault', { field: text(1), reason: text(2) });
/** Answer to a call that failed: a code of `base/errors.ts` and, where one can be named, the places at fault. */
export const RpcError = struct('RpcError', { code: text(1), message: text(2), fields: list(3, FieldFault) });
export const GoAway = struct('GoAway', { reason: text(1) });
export const KeepAlive = struct('KeepAlive', {});

// ---- gossip, and round trips on a control lane -----------------------------------------------------------------

/** What a member tells of itself; the higher version is the newer. */
export const MemberDetails = struct('MemberDetails', {
  version: u64(1),
  /** 'coordinator' | 'worker' */
  role: text(2),
  /** `host:port` at which it takes datagrams; the others likewise, where it has them. */
  address: text(3),
  peerAddress: optional(text(4)),
  httpAddress: optional(text(5)),
  /** Of a worker: task slots, and the share of them in use, 0 to 1. */
  capacity: optional(u32(6)),
  load: optional(f64(7)),
  softwareVersion: text(8),
  /** `name=value` */
  labels: list(9, 'text'),
  zone: optional(text(10)),
  /** Of a coordinator: 'leader' | 'follower' | 'candidate', and its term. */
  raftState: optional(text(11)),
  raftTerm: optional(u64(12)),
});
/** A statement about one member (`core/swim/claim.ts`). */
export const MemberClaim = struct('MemberClaim', {
  id: text(1),
  incarnation: u64(2),
  /** 0 alive, 1 suspected, 2 failed, 3 left */
  status: u8(3),
  /** Who had no answer from it, for suspected and failed. */
  accuser: optional(text(4)),
  details: optional(nested(5, MemberDetails)),
  /** Failed or left so many ms ago, so that all forget it at about the same time. */
  goneMs: optional(u64(6)),
});
export type MemberDetails = Infer<typeof MemberDetails>;
export type MemberClaim = Infer<typeof MemberClaim>;
/**
 * Answered at once by an ACK of the same sequence. One that names its sender is gossip, and answered only by `target`;
 * without a sender it asks for the round trip: as a datagram by anybody, on a control lane by a peer.
 */
export const Ping = struct('Ping', {
  sequence: u64(1),
  from: optional(text(2)),
  target: optional(text(3)),
  cluster: optional(text(4)),
  claims: optional(list(5, MemberClaim)),
});
/** `from`: the member that is there, also where another one hands its answer on. */
export const Ack = struct('Ack', {
  sequence: u64(1),
  from: optional(text(2)),
  cluster: optional(text(3)),
  claims: optional(list(4, MemberClaim)),
});
/** Please ask `target` whether it is there, and hand its ACK on, or a NACK if none comes. */
export const PingReq = struct('PingReq', {
  sequence: u64(1),
  from: text(2),
  target: text(3),
  cluster: text(4),
  /** Where the target takes datagrams. */
  address: text(5),
  claims: list(6, MemberClaim),
});
/** The one that was asked is there, and has no answer from the target. */
export const Nack = struct('Nack', { sequence: u64(1), from: text(2), cluster: text(3), claims: list(4, MemberClaim) });
/** Gossip that nothing else took along. */
export const State = struct('State', { from: text(1), cluster: text(2), claims: list(3, MemberClaim) });
/** All that the sender holds; with `answer` false the receiver says the same in return. */
export const PushPull = struct('PushPull', {
  from: text(1),
  cluster: text(2),
  answer: bool(3),
  claims: list(4, MemberClaim),
  /** The sender is new and may hold little. */
  newcomer: optional(bool(5)),
});

// ---- Raft ----------------------------------------------------------------------------------------------------

const VoteRequest = { term: u64(1), candidateId: text(2), lastLogIndex: u64(3), lastLogTerm: u64(4) };
const VoteAnswer = { term: u64(1), granted: bool(2) };
/** `transfer`: the leader asked for this election, nobody need wait until it has been silent (dissertation §3.10). */
export const RequestVote = struct('RequestVote', { ...VoteRequest, transfer: optional(bool(5)) });
export const RequestVoteResponse = struct('RequestVoteResponse', VoteAnswer);
/** From a leader to the voter that is to follow it: campaign now. */
export const TimeoutNow = struct('TimeoutNow', { term: u64(1) });
/** `term` is the term the candidate would campaign for; nobody's term changes (Raft dissertation §9.6). */
export const PreVote = struct('PreVote', VoteRequest);
export const PreVoteResponse = struct('PreVoteResponse', VoteAnswer);
export const AppendEntries = struct('AppendEntries', {
  term: u64(1),
  leaderId: text(2),
  prevLogIndex: u64(3),
  prevLogTerm: u64(4),
  leaderCommit: u64(5),
  /** Encoded entries (`core/raft/entry.ts`), consecutive from prevLogIndex + 1. */
  entries: list(6, 'bytes'),
  /** Heartbeat round that ReadIndex counts answers by; 0 for none. */
  readRound: u64(7),
  /** No member that is there needs an entry below this index: the receiver may cut its prefix up to here. */
  cutBefore: u64(8),
  /** In heartbeats: the latest state hash that a majority has. A receiver with another one there has diverged and stops. */
  hashIndex: optional(u64(9)),
  stateHash: optional(u32(10)),
});
export const AppendEntriesResponse = struct('AppendEntriesResponse', {
  term: u64(1),
  success: bool(2),
  /** On success: the last index known to equal the leader's log and flushed here. On refusal: the refused prevLogIndex. */
  matchIndex: u64(3),
  /** On refusal: last index, and the highest index of ours whose term is at most the refused prevLogTerm. */
  lastLogIndex: u64(4),
  hintIndex: u64(5),
  hintTerm: u64(6),
  readRound: u64(7),
  /** The follower's wall clock, ms since the epoch: cluster time is slewed towards the voters' median. */
  wallMs: u64(8),
  /** State hash at `hashIndex` (0: none): the leader holds them against each other. */
  hashIndex: u64(9),
  stateHash: u32(10),
  /** How full the fullest of the follower's log, state and file system is, in thousandths, and which of them. */
  storageParts: optional(u16(11)),
  storageWhat: optional(text(12)),
  /** That the follower supports (`core/state/feature-level.ts`); absent: the first. */
  featureLevel: optional(u16(13)),
});
/**
 * A piece of the state as of `lastIndex`, for a member that needs entries which are cut away (Raft §7). Pieces come in
 * order of `offset`; the first one carries the log entry at `lastIndex`, which becomes the first of the receiver's log.
 */
export const InstallSnapshot = struct('InstallSnapshot', {
  term: u64(1),
  leaderId: text(2),
  snapshotId: text(3),
  lastIndex: u64(4),
  lastTerm: u64(5),
  offset: u64(6),
  chunk: bytes(7),
  /** CRC-32 of `chunk`. */
  checksum: u32(8),
  done: bool(9),
  /** With offset 0: the encoded entry at lastIndex. */
  anchor: optional(bytes(10)),
  /** With offset 0: the membership as of lastIndex (`core/raft/membership.ts`) and the index of the entry that brought it. */
  membership: optional(bytes(11)),
  membershipIndex: optional(u64(12)),
  /** With offset 0: of the whole, so that the receiver can look for room. */
  sizeBytes: optional(u64(13)),
});
export const InstallSnapshotResponse = struct('InstallSnapshotResponse', {
  term: u64(1),
  snapshotId: text(2),
  /** Every byte below is stored; the next piece is to begin here. */
  offset: u64(3),
  /** False: what was sent does not fit there, go on from `offset`. */
  ok: bool(4),
  /** Nothing is kept, for want of room, as this says: try again later, from the start. */
  noRoom: optional(text(5)),
});
/**
 * To a coordinator that asks or answers as a member and is none by the committed membership at this index, or is one
 * with another disk: `dataUuid` is that of the member.
 */
export const NotAMember = struct('NotAMember', { membershipIndex: u64(1), dataUuid: optional(text(2)) });
export const ReadIndex = struct('ReadIndex', { requestId: u64(1) });
export const ReadIndexResponse = struct('ReadIndexResponse', { requestId: u64(1), ok: bool(2), index: u64(3) });

// ---- proposals from other coordinators --------------------------------------------------------------------------

export const ForwardPropose = struct('ForwardPropose', {
  requestId: u64(1),
  /** A command of `core/state/commands.ts`: its kind and its encoded body. */
  commandKind: u8(2),
  command: bytes(3),
  /** Of a message batch: the catalog it was evaluated against, so that the leader need not decode the command. */
  catalogVersion: optional(u64(4)),
  /** Likewise: instances and tasks that its messages start. */
  rows: optional(u32(5)),
});
export const ForwardResult = struct('ForwardResult', {
  requestId: u64(1),
  /** An encoded `ProposalResult` of `core/state/outcomes.ts`. */
  result: bytes(2),
});

// ---- tasks -----------------------------------------------------------------------------------------------------

export const PluginTypeInfo = struct('PluginTypeInfo', {
  name: text(1),
  version: text(2),
  configSchema: optional(text(3)),
});
/** An attempt as both sides name it. */
export const AttemptKey = struct('AttemptKey', { instanceId: text(1), taskId: text(2), token: u64(3) });
/** Slots that a worker keeps for the tasks of one workflow or of one type. */
export const SlotReservation = struct('SlotReservation', {
  /** 'workflow' | 'type' */
  of: text(1),
  name: text(2),
  slots: u32(3),
});
export const WorkerHello = struct('WorkerHello', {
  workerId: text(1),
  /** New at each start of the worker process: results of an earlier session's attempts are stale. */
  session: text(2),
  capacity: u32(3),
  types: list(4, PluginTypeInfo),
  address: text(5),
  /** Attempts this worker has, running or finished and not yet acknowledged. */
  attempts: list(6, AttemptKey),
  draining: bool(7),
  zone: optional(text(8)),
  /** `name=value` */
  labels: optional(list(9, 'text')),
  softwareVersion: optional(text(10)),
  reserved: optional(list(11, SlotReservation)),
});
/** From time to time, to the leader: shares, in thousandths, of the machine's processors and memory that are in use. */
export const WorkerUsage = struct('WorkerUsage', { session: text(1), cpuParts: u16(2), memoryParts: u16(3) });
/** Answer of a coordinator; only the leader registers. */
export const WorkerWelcome = struct('WorkerWelcome', {
  session: text(1),
  registered: bool(2),
  /** Empty while no leader is known. */
  leaderId: text(3),
});
export const TaskAssign = struct('TaskAssign', {
  instanceId: text(1),
  taskId: text(2),
  token: u64(3),
  attempt: u32(4),
  type: text(5),
  timeoutMs: u64(6),
  /** UTF-8 JSON: {workflow, revision, message_id, config, params, message, outputs}. */
  context: bytes(7),
});
export const ResultItem = struct('ResultItem', {
  instanceId: text(1),
  taskId: text(2),
  token: u64(3),
  /** 'ok' | 'retryable' | 'terminal' | 'lost' */
  status: text(4),
  output: optional(bytes(5)),
  error: optional(text(6)),
});
export const TaskResult = struct('TaskResult', { session: text(1), results: list(2, ResultItem) });
const ResultAck = struct('ResultAck', {
  instanceId: text(1),
  taskId: text(2),
  token: u64(3),
  /** False: STALE_ATTEMPT, the report changed nothing. */
  accepted: bool(4),
});
/** Leader's answer to results once they are applied: the worker may forget them. */
export const TaskStatus = struct('TaskStatus', { acks: list(1, ResultAck) });
export const TaskCancel = struct('TaskCancel', { attempts: list(1, AttemptKey) });
/** From a worker: no new tasks, please; `leaving` once nothing is left running. */
export const WorkerDrain = struct('WorkerDrain', { session: text(1), leaving: bool(2) });

// ---- clients ---------------------------------------------------------------------------------------------------

export const ClientItem = struct('ClientItem', {
  /** One JSON object, UTF-8. */
  payload: bytes(1),
  idempotencyKey: optional(text(2)),
  /** JSON object of texts, as the `x-` and `ce-` headers of REST. */
  headers: optional(text(3)),
  /**
   * UUIDv7 of the client's making: sent again under the same id, a message is kept once, at no cost to the state. A key
   * does so for clients that start anew, and costs an entry in the table of keys.
   */
  messageId: optional(text(4)),
});
export const ClientMessage = struct('ClientMessage', { source: optional(text(1)), items: list(2, ClientItem) });
const StartedInstances = struct('StartedInstances', {
  index: u32(1),
  workflows: list(2, 'text'),
  instances: list(3, 'text'),
});
const RefusedItem = struct('RefusedItem', { index: u32(1), error: nested(2, RpcError) });
/** Rows only for what is out of the ordinary: most messages start nothing, are new and are accepted. */
export const ClientResponse = struct('ClientResponse', {
  /** One per item, in order; empty for one that was not accepted. */
  messageIds: list(1, 'text'),
  started: list(2, StartedInstances),
  /** Indexes of items whose idempotency key gave an earlier message's outcome. */
  duplicates: list(3, 'u64'),
  refused: list(4, RefusedItem),
});
/** `query`: a `Query` of `core/state/query.ts` as JSON; `consistency`: 'linearizable' | 'stale'. */
export const ClientQuery = struct('ClientQuery', { query: text(1), consistency: text(2) });
/** `command`: JSON {kind, id?, mode?, document?} with the kinds of `Command` (`node/requests.ts`). */
export const ClientAdmin = struct('ClientAdmin', { command: text(1) });
/** `result`: the JSON answer as REST gives it. */
export const ClientResult = struct('ClientResult', { result: bytes(1), appliedIndex: optional(u64(2)) });

const CoordinatorAddress = struct('CoordinatorAddress', { id: text(1), address: text(2) });
/**
 * Told to a client when it comes, and whenever the leader changes; `leaderId` is empty while none is known. Workers are
 * told where the coordinators are, when they come and whenever those change.
 */
export const ClusterView = struct('ClusterView', {
  leaderId: text(1),
  coordinators: list(2, CoordinatorAddress),
  /** Clock of the coordinator, ms since the epoch: message ids are made by it. */
  wallMs: optional(u64(3)),
});

// ---- the table ---------------------------------------------------------------------------------------------------

export type Lane = 'control' | 'bulk';

interface Declaration<S> {
  code: number;
  struct: S;
  lane: Lane;
  urgent: boolean;
}

function control<S>(code: number, body: S): Declaration<S> {
  return { code, struct: body, lane: 'control', urgent: true };
}

function bulk<S>(code: number, body: S): Declaration<S> {
  return { code, struct: body, lane: 'bulk', urgent: false };
}

export const MESSAGES = {
  HELLO: control(0x0001, Hello),
  CREDIT: control(0x0002, Credit),
  GOAWAY: control(0x0003, GoAway),
  KEEPALIVE: control(0x0005, KeepAlive),
  RPC_ERROR: control(0x0006, RpcError),
  REQUEST_VOTE: control(0x1001, RequestVote),
  REQUEST_VOTE_RESPONSE: control(0x1002, RequestVoteResponse),
  APPEND_ENTRIES: bulk(0x1003, AppendEntries),
  APPEND_ENTRIES_RESPONSE: control(0x1004, AppendEntriesResponse),
  INSTALL_SNAPSHOT: bulk(0x1005, InstallSnapshot),
  PRE_VOTE: control(0x1006, PreVote),
  PRE_VOTE_RESPONSE: control(0x1007, PreVoteResponse),
  TIMEOUT_NOW: control(0x1008, TimeoutNow),
  READ_INDEX: control(0x1009, ReadIndex),
  READ_INDEX_RESPONSE: control(0x100a, ReadIndexResponse),
  FORWARD_PROPOSE: bulk(0x100b, ForwardPropose),
  FORWARD_RESULT: bulk(0x100c, ForwardResult),
  PING: control(0x2001, Ping),
  ACK: control(0x2002, Ack),
  PING_REQ: control(0x2003, PingReq),
  STATE: control(0x2004, State),
  NACK: control(0x2005, Nack),
  // Hundreds of kilobytes in a large cluster: no heartbeat is to wait behind them.
  PUSH_PULL: bulk(0x2006, PushPull),
  INSTALL_SNAPSHOT_RESPONSE: control(0x100d, InstallSnapshotResponse),
  NOT_A_MEMBER: control(0x100e, NotAMember),
  TASK_ASSIGN: bulk(0x3001, TaskAssign),
  TASK_RESULT: bulk(0x3002, TaskResult),
  TASK_STATUS: bulk(0x3003, TaskStatus),
  TASK_CANCEL: bulk(0x3004, TaskCancel),
  WORKER_HELLO: bulk(0x3006, WorkerHello),
  WORKER_DRAIN: bulk(0x3007, WorkerDrain),
  WORKER_WELCOME: bulk(0x3008, WorkerWelcome),
  WORKER_USAGE: bulk(0x3009, WorkerUsage),
  CLIENT_MESSAGE: bulk(0x4001, ClientMessage),
  CLIENT_RESPONSE: bulk(0x4002, ClientResponse),
  CLIENT_QUERY: bulk(0x4003, ClientQuery),
  CLIENT_ADMIN: bulk(0x4004, ClientAdmin),
  CLIENT_RESULT: bulk(0x4005, ClientResult),
  CLUSTER_VIEW: bulk(0x4006, ClusterView),
} as const;

export type MessageKind = keyof typeof MESSAGES;
export type Body<K extends MessageKind> = Infer<(typeof MESSAGES)[K]['struct']>;
export type Message = { [K in MessageKind]: { kind: K; body: Body<K> } }[MessageKind];

/** A heartbeat is an APPEND_ENTRIES that carries no entries: it must not queue behind a megabyte of them. */
export function laneOf(message: Message): Lane {
  if (message.kind === 'APPEND_ENTRIES' && message.body.entries.length === 0) return 'control';
  return MESSAGES[message.kind].lane;
}

const KIND_BY_CODE = new Map<number, MessageKind>(
  (Object.keys(MESSAGES) as MessageKind[]).map((kind) => [MESSAGES[kind].code, kind]),
);

export function kindOfCode(code: number): MessageKind | undefined {
  return KIND_BY_CODE.get(code);
}

export function encodeMessage(host: Host, message: Message): { code: number; payload: Uint8Array } {
  const { code, struct: body } = MESSAGES[message.kind];
  return { code, payload: encode(host, body as Struct<unknown>, message.body) };
}

/** Of the payload. */
export function encodedBytes(host: Host, message: Message): number {
  return structSize(host, MESSAGES[message.kind].struct, message.body);
}

/** Undefined for a code this version does not know: skipped and counted. Throws MalformedError. */
export function decodeMessage(host: Host, code: number, payload: Uint8Array): Message | undefined {
  const kind = KIND_BY_CODE.get(code);
  if (kind === undefined) return undefined;
  const body = decode(host, MESSAGES[kind].struct as Struct<unknown>, payload);
  return { kind, body } as Message;
}
