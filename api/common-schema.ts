import { Type } from 'typebox';

export const CLOSED = { additionalProperties: false } as const;
const ID_PATTERN = '^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$';

/** Names a rule, workflow, task or task type. */
export const IdSchema = Type.String({
  pattern: ID_PATTERN,
  description: 'an id: 1 to 128 letters, digits, ".", "_" or "-", starting and ending with a letter or digit',
});

/** The label people give a version; the cluster's own revision is another thing. */
export const VersionSchema = Type.Union([Type.Number(), Type.String({ minLength: 1, maxLength: 128 })], {
  description: 'a version: a number, or a label of 1 to 128 characters',
});

export const DescriptionSchema = Type.String({ maxLength: 4_096 });

/** Who owns a document, such as `kubernetes/NAMESPACE/Rule/NAME`: others change it only when they insist. */
export const ManagedBySchema = Type.String({
  pattern: '^[!-~]{1,512}$',
  description: 'an owner of 1 to 512 visible characters',
});

/** Number of retries after the first attempt. */
export const RetrySchema = Type.Integer({
  minimum: 0,
  maximum: 100,
  description: 'a number of retries after the first attempt, 0 to 100',
});

export const JsonObjectSchema = Type.Record(Type.String(), Type.Unknown());
