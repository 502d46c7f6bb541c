/** The rule document: conditions over a message, and the workflows to start when they hold. */
import { Type, type Static } from 'typebox';
import {
  CLOSED,
  DescriptionSchema,
  IdSchema,
  JsonObjectSchema,
  ManagedBySchema,
  RetrySchema,
  VersionSchema,
} from './common-schema.ts';
import { type Condition, conditionFaults } from './condition.ts';
import { durationFaults, DurationSchema } from './duration.ts';
import { compileParse, quote, refuseFaults, refuseUnbounded } from './validation.ts';

export type { Condition, Leaf } from './condition.ts';

const RULE_ACTIONS_MAX = 100;
const PRIORITY_MAX = 4_294_967_295;

const ActionSchema = Type.Object(
  {
    workflow: IdSchema,
    params: Type.Optional(JsonObjectSchema),
    timeout: Type.Optional(DurationSchema),
    retry: Type.Optional(RetrySchema),
  },
  CLOSED,
);

export const RuleSchema = Type.Object(
  {
    id: IdSchema,
    version: Type.Optional(VersionSchema),
    description: Type.Optional(DescriptionSchema),
    priority: Type.Optional(Type.Integer({ minimum: 0, maximum: PRIORITY_MAX })),
    enabled: Type.Optional(Type.Boolean()),
    stop: Type.Optional(Type.Boolean()),
    dedupe: Type.Optional(Type.Literal('workflow')),
    managedBy: Type.Optional(ManagedBySchema),
    conditions: Type.Unknown(),
    actions: Type.Array(ActionSchema, { minItems: 1, maxItems: RULE_ACTIONS_MAX }),
  },
  CLOSED,
);

/** Starts `workflow`; `timeout` (seconds or text, read it with `durationMs`) and `retry` are defaults for the instance. */
export type Action = Static<typeof ActionSchema>;

/** A rule in canonical form: version (1), priority (0) and enabled (true) are there. */
export interface Rule {
  id: string;
  version: number | string;
  description?: string;
  /** Higher first; ties by id. */
  priority: number;
  enabled: boolean;
  /** When this rule matches, no rule after it is looked at. */
  stop?: boolean;
  /** `workflow`: a workflow that an earlier rule has started for this message is not started again by this one. */
  dedupe?: 'workflow';
  /** Who owns it; see `ManagedBySchema`. */
  managedBy?: string;
  conditions: Condition;
  actions: Action[];
}

const parse = compileParse(RuleSchema, ['mode']);

/** The rule in `input` (parsed JSON or YAML), or throws INVALID_DOCUMENT with the place and reason of every fault. */
export function parseRule(input: unknown): Rule {
  refuseUnbounded('rule', input);
  const { id, version = 1, priority = 0, enabled = true, conditions, actions, ...rest } = parse('rule', input);
  refuseFaults(`rule ${quote(id)}`, [
    ...conditionFaults(conditions, 'conditions'),
    ...actions.flatMap((action, i) => durationFaults(`actions[${i}].timeout`, action.timeout)),
  ]);
  return { id, version, priority, enabled, ...rest, conditions: conditions as Condition, actions };
}
