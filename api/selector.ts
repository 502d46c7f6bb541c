/** Which workers a task may go to, by their labels: `{ disk: ssd, gpu: [a100, h100], zone: eu-1a }`. */
import { Type } from 'typebox';

/** As a node's `labels` have them. */
const NAME_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._/-]{0,30}$';
const LabelValueSchema = Type.String({
  pattern: '^[A-Za-z0-9._-]{0,63}$',
  description: 'the value of a label: up to 63 letters, digits, ".", "_" or "-"',
});

/** Label names with the value, or one of the values, that a worker must have; `zone` is the worker's zone. */
export const SelectorSchema = Type.Record(
  Type.String({ pattern: NAME_PATTERN }),
  Type.Union([LabelValueSchema, Type.Array(LabelValueSchema, { minItems: 1, maxItems: 16 })], {
    description: 'the value of a label, or a list of values',
  }),
  { additionalProperties: false, maxProperties: 8 },
);
