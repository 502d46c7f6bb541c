/** Workers over REST: what is told of them, and the request to drain one. */
import { Type, type Static } from 'typebox';
import { CLOSED } from './common-schema.ts';
import { durationFaults, durationMs, DurationSchema } from './duration.ts';
import { compileParse, refuseFaults } from './validation.ts';

/** How long what a drained worker runs may take to finish, when the request does not say. */
export const DRAIN_GRACE_DEFAULT = '5m';
const DRAIN_GRACE_MS_MAX = 86_400_000;

export const WORKER_STATUSES = ['alive', 'suspected', 'draining', 'failed'] as const;
export type WorkerStatus = (typeof WORKER_STATUSES)[number];

const text = Type.String();
const time = Type.String({ format: 'date-time' });
const count = Type.Integer({ minimum: 0 });
const share = Type.Number({ minimum: 0, maximum: 1 });

const WorkerSummarySchema = Type.Object({
  id: text,
  address: text,
  status: Type.Enum([...WORKER_STATUSES]),
  /** Running tasks over capacity. */
  load: share,
  running: count,
  capacity: count,
  types: Type.Array(Type.Object({ name: text, version: Type.Optional(text) })),
  /** `name=value` */
  labels: Type.Array(text),
  zone: Type.Optional(text),
  /** Of the program. */
  version: Type.Optional(text),
  reserved: Type.Array(Type.Object({ workflow: Type.Optional(text), type: Type.Optional(text), slots: count })),
  registered_at: Type.Optional(time),
  /** Of the machine, in use: as the worker told the leader, and told by the leader only. */
  cpu: Type.Optional(share),
  memory: Type.Optional(share),
  /** An order that it gets nothing more; at the end of the grace limit what it runs is handed back. */
  drain: Type.Optional(Type.Object({ ordered_at: time, grace_ms: count, handed_back: Type.Boolean() })),
});
export type WorkerSummary = Static<typeof WorkerSummarySchema>;

export const WorkerListSchema = Type.Object({ workers: Type.Array(WorkerSummarySchema) });
export type WorkerList = Static<typeof WorkerListSchema>;

export const WorkerResourceSchema = Type.Intersect([
  WorkerSummarySchema,
  Type.Object({
    attempts: Type.Array(
      Type.Object({ instance: text, workflow: text, task: text, type: text, token: count, started_at: time }),
    ),
  }),
]);
export type WorkerResource = Static<typeof WorkerResourceSchema>;

/** Answer to an order, and to its end. */
export const DrainResourceSchema = Type.Object({
  id: text,
  draining: Type.Boolean(),
  ordered_at: Type.Optional(time),
  grace_ms: Type.Optional(count),
});
export type DrainResource = Static<typeof DrainResourceSchema>;

const checkDrainRequest = compileParse(
  Type.Object({ grace: Type.Optional(Type.Union([DurationSchema, Type.Literal(0)])) }, CLOSED),
);

/** Body of `POST /workers/{id}/drain`: the grace limit in ms. Throws INVALID_DOCUMENT. */
export function parseDrainRequest(input: unknown): number {
  const { grace = DRAIN_GRACE_DEFAULT } = checkDrainRequest('the drain', input);
  if (grace === 0) return 0;
  refuseFaults('the drain', durationFaults('grace', grace));
  const graceMs = durationMs(grace);
  if (graceMs > DRAIN_GRACE_MS_MAX) refuseFaults('the drain', [{ field: 'grace', reason: 'is at most one day' }]);
  return graceMs;
}
