/**
 * What the ingress (HTTP, later the binary protocol) and the core say to each other: plain messages,
 * so that the ingress can run on a thread of its own without a change here.
 */
import type { Actor } from '../api/access.ts';
import type { DistricError } from '../base/errors.ts';
import type { Rule } from '../api/rule.ts';
import type { Workflow } from '../api/workflow.ts';
import type { MembershipChange } from './core/raft/membership.ts';
import type { Founding } from './core/state/commands.ts';
import type { Query } from './core/state/query.ts';

/** One message as a client handed it in, parsed and validated. */
export interface IncomingItem {
  /** The JSON text, UTF-8: stored as it came. */
  payload: Uint8Array;
  /** The same, parsed: what the rules read. Whoever takes the item in lets go of it once they have. */
  value: Record<string, unknown> | undefined;
  /** A UUIDv7 that its client made, where it did: the message is kept once under it. */
  messageId?: string;
  idempotencyKey?: string;
  source?: string;
  headers?: Record<string, string>;
}

export interface AcceptedItem {
  messageId: string;
  /** Workflow id per started instance, in the order of `instances`. */
  workflowsTriggered: string[];
  instances: string[];
  /** True when an earlier message with the same idempotency key gave this outcome. */
  duplicate: boolean;
}

export type ItemOutcome = { accepted: AcceptedItem } | { error: DistricError };

/** An administrative change; goes through the Raft log. */
export type Command =
  /** `force`: also when somebody else owns the document (`managedBy`). */
  | { kind: 'putRule'; rule: Rule; mode: 'create' | 'upsert'; force?: boolean }
  | { kind: 'deleteRule'; id: string; force?: boolean }
  | { kind: 'putWorkflow'; workflow: Workflow; mode: 'create' | 'upsert'; force?: boolean }
  | { kind: 'deleteWorkflow'; id: string; force?: boolean }
  | { kind: 'cancelInstance'; id: string }
  /** `expiresAt` is wall clock, ms since the epoch; `rateLimit` in requests per second. */
  | { kind: 'createKey'; id: string; name: string; role: string; hash: string; expiresAt?: number; rateLimit?: number }
  | { kind: 'revokeKey'; id: string }
  | { kind: 'rotateKey'; id: string; hash: string; overlapMs: number }
  /** The worker gets nothing more; what it runs may finish within the grace limit. */
  | { kind: 'orderDrain'; workerId: string; graceMs: number }
  | { kind: 'endDrain'; workerId: string }
  /** Who takes a backup: nothing changes. */
  | { kind: 'noteBackup' }
  | { kind: 'changeMembers'; change: MembershipChange }
  /** Only for a node that waits to be added, and carried out by it alone. */
  | ({ kind: 'foundCluster' } & Founding)
  /** `target` '': the voter that has most of the log. */
  | { kind: 'transferLeadership'; target: string }
  /** A row of the audit log that changes nothing else. */
  | { kind: 'note'; action: string; target: string; outcome: string };

/** `result` is the resource as stored, in the shape its GET answers. */
export type CommandOutcome = { result: unknown } | { error: DistricError };

export type Consistency = 'linearizable' | 'stale';

export { INSTANCE_STATUSES } from './core/workflow/instance.ts';
export type { InstanceStatus } from './core/workflow/instance.ts';
export type { Page, Query } from './core/state/query.ts';

/** `result` is the JSON answer as REST gives it (snake_case); a missing resource is a NOT_FOUND error. */
export type QueryOutcome = { result: unknown; appliedIndex: number } | { error: DistricError };

/** What a front end (REST, binary protocol, a simulated client) calls. Each `done` is called exactly once, later or at once. */
export interface Gateway {
  /** One outcome per item, in order; items are not atomic together. `scope` is the API key or source that idempotency keys belong to. */
  submit(items: readonly IncomingItem[], scope: string, done: (outcomes: readonly ItemOutcome[]) => void): void;
  /** `actor` is whom the audit log names. */
  command(command: Command, actor: Actor, done: (outcome: CommandOutcome) => void): void;
  query(query: Query, consistency: Consistency, done: (outcome: QueryOutcome) => void): void;
}
