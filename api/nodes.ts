/** The nodes of the cluster as gossip knows them: what `GET /cluster/nodes` and `GET /cluster/events` tell. */
import { Type, type Static, type TSchema } from 'typebox';

const text = Type.String();
const count = Type.Integer({ minimum: 0 });

function optional<T extends TSchema>(schema: T) {
  return Type.Optional(schema);
}

export const NodeResourceSchema = Type.Object({
  id: text,
  status: Type.Enum(['alive', 'suspected', 'failed', 'left']),
  /** For how long it has been so, as the coordinator that answers has it. */
  for_ms: count,
  /** Raised by the node itself alone, whenever others suspect it. */
  incarnation: count,
  /** What follows the node tells of itself. */
  role: optional(text),
  /** Where it takes datagrams. */
  address: optional(text),
  peer_address: optional(text),
  http_address: optional(text),
  version: optional(text),
  zone: optional(text),
  labels: Type.Array(text),
  /** Of a worker: how many attempts it runs at once, and the share of that in use, 0 to 1. */
  capacity: optional(count),
  load: optional(Type.Number({ minimum: 0 })),
  /** Of a coordinator. */
  raft_state: optional(text),
  raft_term: optional(count),
});
export type NodeResource = Static<typeof NodeResourceSchema>;

/** `blocked`: members answer over connections only, so datagrams do not come through. */
export const GossipStateSchema = Type.Enum(['off', 'on', 'blocked']);

export const NodeListSchema = Type.Object({
  answered_by: text,
  gossip: GossipStateSchema,
  nodes: Type.Array(NodeResourceSchema),
});
export type NodeList = Static<typeof NodeListSchema>;

export const NODE_EVENTS = ['joined', 'updated', 'suspected', 'refuted', 'failed', 'left'] as const;

/** Data of an event of `GET /cluster/events`; `at` by the clock of the coordinator that tells it. */
export const NodeEventSchema = Type.Object({
  event: Type.Enum([...NODE_EVENTS]),
  at: Type.String({ format: 'date-time' }),
  node: NodeResourceSchema,
});
export type NodeEvent = Static<typeof NodeEventSchema>;
