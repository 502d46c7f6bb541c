/**
 * The shapes of the REST API under `/api/v1`: what the server answers and what its clients (CLI, console, demo)
 * read. JSON is snake_case, times are cluster time as RFC 3339 in UTC.
 */
import { Type, type Static, type TSchema } from 'typebox';
import { GossipStateSchema } from './nodes.ts';

export const API_BASE = '/api/v1';

/** Rows of a list when the client names no `limit`. */
export const PAGE_LIMIT_DEFAULT = 100;
export const PAGE_LIMIT_MAX = 1_000;
/** A cursor is opaque text of the server's own making; longer ones cannot be ours. */
export const CURSOR_CHARS_MAX = 512;
export const IDEMPOTENCY_KEY_CHARS_MAX = 256;
export const SOURCE_CHARS_MAX = 256;
/** An id given as a filter: keys of the store have a length limit, and no id comes near this one. */
export const FILTER_CHARS_MAX = 256;

const text = Type.String();
const count = Type.Integer({ minimum: 0 });
const time = Type.String({ format: 'date-time' });

function optional<T extends TSchema>(schema: T) {
  return Type.Optional(schema);
}

/** RFC 9457, with the code of the error catalogue and the places at fault. */
export const ProblemSchema = Type.Object({
  type: text,
  title: text,
  status: Type.Integer(),
  code: text,
  detail: text,
  errors: Type.Array(Type.Object({ field: text, reason: text })),
});
export type Problem = Static<typeof ProblemSchema>;

/** Answer to one accepted message. */
export const AcceptedMessageSchema = Type.Object({
  message_id: text,
  status: Type.Literal('accepted'),
  workflows_triggered: Type.Array(text),
  instances: Type.Array(text),
  duplicate: Type.Boolean(),
});
export type AcceptedMessage = Static<typeof AcceptedMessageSchema>;

/**
 * `refused`: nothing of the item was kept. `unknown`: it may or may not have been kept, so send it again
 * with its idempotency key.
 */
export const RefusedItemSchema = Type.Object({
  index: count,
  status: Type.Union([Type.Literal('refused'), Type.Literal('unknown')]),
  code: text,
  detail: text,
  errors: Type.Array(Type.Object({ field: text, reason: text })),
});
export type RefusedItem = Static<typeof RefusedItemSchema>;

/** Answer to a JSON array or NDJSON: one row per item, in the order sent. */
export const BatchResultSchema = Type.Object({
  items: Type.Array(
    Type.Union([Type.Intersect([Type.Object({ index: count }), AcceptedMessageSchema]), RefusedItemSchema]),
  ),
  accepted: count,
  refused: count,
  unknown: count,
});
export type BatchResult = Static<typeof BatchResultSchema>;

const InstanceStatusSchema = Type.Union([
  Type.Literal('RUNNING'),
  Type.Literal('COMPLETED'),
  Type.Literal('FAILED'),
  Type.Literal('TIMED_OUT'),
  Type.Literal('CANCELLED'),
]);

export const MessageSummarySchema = Type.Object({
  message_id: text,
  status: Type.Literal('accepted'),
  received_at: time,
  source: optional(text),
  headers: optional(Type.Record(text, text)),
  payload: Type.Unknown(),
  matched_rules: Type.Array(Type.Object({ id: text, version: text })),
});
export type MessageSummary = Static<typeof MessageSummarySchema>;

const MessageInstancesSchema = Type.Object({
  instances: Type.Array(Type.Object({ id: text, workflow: text, status: InstanceStatusSchema })),
});
export const MessageResourceSchema = Type.Intersect([MessageSummarySchema, MessageInstancesSchema]);
export type MessageResource = Static<typeof MessageResourceSchema>;

export const InstanceSummarySchema = Type.Object({
  id: text,
  workflow: text,
  revision: count,
  status: InstanceStatusSchema,
  message_id: text,
  rule: text,
  created_at: time,
  ended_at: optional(time),
  tasks_running: count,
  tasks_done: count,
  tasks_total: count,
});

export const TaskResourceSchema = Type.Object({
  id: text,
  type: text,
  status: text,
  attempts: count,
  redispatches: count,
  worker: optional(text),
  token: optional(count),
  ready_at: optional(time),
  started_at: optional(time),
  ended_at: optional(time),
  next_attempt_in_ms: optional(count),
  error: optional(Type.Unknown()),
  output: optional(Type.Unknown()),
});
export type TaskResource = Static<typeof TaskResourceSchema>;

export const InstanceResourceSchema = Type.Intersect([
  InstanceSummarySchema,
  Type.Object({
    params: Type.Unknown(),
    deadline_at: time,
    error: optional(Type.Unknown()),
    tasks: Type.Array(TaskResourceSchema),
  }),
]);
export type InstanceResource = Static<typeof InstanceResourceSchema>;

const nextCursor = optional(text);

export const MessageListSchema = Type.Object({
  messages: Type.Array(MessageSummarySchema),
  next_cursor: nextCursor,
});
export type MessageList = Static<typeof MessageListSchema>;

export const InstanceListSchema = Type.Object({
  instances: Type.Array(InstanceSummarySchema),
  next_cursor: nextCursor,
});
export type InstanceList = Static<typeof InstanceListSchema>;

const MemberRoleSchema = Type.Union([Type.Literal('voter'), Type.Literal('learner'), Type.Literal('leaving')]);

export const ClusterStatusSchema = Type.Object({
  cluster: text,
  cluster_id: text,
  /** The coordinator that answers: terms, indexes and connections are as it sees them. */
  answered_by: text,
  /** Of that coordinator: `member`, `joining`, `removed` or `wrong disk`, and which disk it has. */
  standing: optional(text),
  data_uuid: optional(text),
  leader: Type.Union([text, Type.Null()]),
  term: count,
  commit_index: count,
  applied_index: count,
  catalog_version: count,
  /**
   * What all members can do, so that all do the same: a release raises it once none of an earlier one is left. Absent: the
   * answer is from a build before there were levels.
   */
  feature_level: optional(count),
  coordinators: Type.Array(
    Type.Object({
      id: text,
      state: Type.Union([
        Type.Literal('leader'),
        Type.Literal('follower'),
        Type.Literal('candidate'),
        Type.Literal('unreachable'),
      ]),
      address: text,
      http_address: optional(text),
      role: optional(MemberRoleSchema),
      match_index: optional(count),
      lag: optional(count),
      /** The leader: why it gets no snapshot, which it needs: there is no room for one. */
      snapshot_waits: optional(text),
      /** The fullest of its log, its state and its file system, and the share of that in use. */
      storage: optional(Type.Object({ what: text, share: Type.Number({ minimum: 0 }) })),
      /** Supported by its release. */
      feature_level: optional(count),
    }),
  ),
  /** Said by the leader. `soft`: messages are refused; `hard`: task work waits as well. */
  storage_level: optional(Type.Union([Type.Literal('open'), Type.Literal('soft'), Type.Literal('hard')])),
  workers: Type.Array(
    Type.Object({
      id: text,
      address: text,
      /** Running tasks over capacity, 0 to 1. */
      load: Type.Number({ minimum: 0, maximum: 1 }),
      status: Type.Union([
        Type.Literal('alive'),
        Type.Literal('suspected'),
        Type.Literal('failed'),
        Type.Literal('draining'),
      ]),
      running: count,
      capacity: count,
      types: Type.Array(text),
    }),
  ),
  /** Said by the leader, while more than half of the workers are missed at once and so none is given up. */
  losses_suspended: optional(Type.Object({ missing: count, workers: count, for_ms: count })),
  /** How many nodes gossip has as what, and whether datagrams come through; of the coordinator that answers. */
  gossip: optional(Type.Object({ state: GossipStateSchema, alive: count, suspected: count, failed: count })),
  counts: Type.Object({
    messages: count,
    instances_active: count,
    tasks_ready: count,
    tasks_running: count,
  }),
});
export type ClusterStatus = Static<typeof ClusterStatusSchema>;

/** `leaving`: a voter that a change under way leaves out. */
export const MemberListSchema = Type.Object({
  members: Type.Array(
    Type.Object({
      id: text,
      role: MemberRoleSchema,
      address: optional(text),
      http_address: optional(text),
      /** Which disk it has: absent until the leader has heard of it. */
      data_uuid: optional(text),
      /** It comes back as a learner with another disk, once the change under way is done. */
      returning: optional(Type.Boolean()),
      /** As the leader knows it: up to where its log equals the leader's, and how many entries it lacks. */
      match_index: optional(count),
      lag: optional(count),
      /** The leader: why it gets no snapshot, which it needs: there is no room for one. */
      snapshot_waits: optional(text),
    }),
  ),
  /** A change of the voters is under way. */
  changing: Type.Boolean(),
});
export type MemberList = Static<typeof MemberListSchema>;

const timeOrNull = Type.Union([time, Type.Null()]);

/** A key as everybody with the right to see it sees it: never with its secret, nor the hash of it. */
export const KeyResourceSchema = Type.Object({
  id: text,
  name: text,
  role: text,
  created_at: time,
  expires_at: timeOrNull,
  revoked_at: timeOrNull,
  /** Requests per second; null: as configured, 0: no limit. */
  rate_limit: Type.Union([count, Type.Null()]),
  /** To the minute. */
  last_used_at: timeOrNull,
  /** Until when the secret before the last rotation is accepted as well. */
  previous_secret_until: timeOrNull,
});
export type KeyResource = Static<typeof KeyResourceSchema>;

/** Answer to the creation and the rotation of a key: the only time that its text is told. */
export const IssuedKeySchema = Type.Intersect([KeyResourceSchema, Type.Object({ key: text })]);
export type IssuedKey = Static<typeof IssuedKeySchema>;

export const KeyListSchema = Type.Object({ keys: Type.Array(KeyResourceSchema) });
export type KeyList = Static<typeof KeyListSchema>;

export const AuditRowSchema = Type.Object({
  /** Of the log entry. */
  index: count,
  at: time,
  actor: Type.Object({ kind: text, id: text, name: text, role: text }),
  /** Such as `rule.put`. */
  action: text,
  /** Such as `rule/ID`. */
  target: text,
  /** `ok`, or the error code. */
  outcome: text,
  before: Type.Unknown(),
  after: Type.Unknown(),
});
export type AuditRow = Static<typeof AuditRowSchema>;

export const AuditListSchema = Type.Object({ entries: Type.Array(AuditRowSchema), next_cursor: nextCursor });
export type AuditList = Static<typeof AuditListSchema>;
