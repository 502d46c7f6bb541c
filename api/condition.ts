/** Conditions of a rule: leaves `{field, op, value}` joined by AND, OR and NOT. */
import { Type, type Static, type TSchema } from 'typebox';
import type { FieldError } from '../base/errors.ts';
import { CLOSED } from './common-schema.ts';
import { FIELD_PATH_LENGTH_MAX, parseFieldPath } from './field-path.ts';
import { nearestWord } from './nearest-word.ts';
import { compilePattern, PATTERN_LENGTH_MAX } from './pattern.ts';
import { compileCheck, type Check, FAULTS_MAX, quote } from './validation.ts';

const CONDITION_DEPTH_MAX = 32;
/** Leaves and groups of one rule together. */
export const RULE_CONDITIONS_MAX = 1_000;
const LIST_VALUES_MAX = 1_000;
const TEXT_LENGTH_MAX = 4_096;

const NUMBER_TEXT = '^-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?$';

const FieldSchema = Type.String({ minLength: 1, maxLength: FIELD_PATH_LENGTH_MAX });
const ScalarSchema = Type.Union(
  [Type.String({ maxLength: TEXT_LENGTH_MAX }), Type.Number(), Type.Boolean(), Type.Null()],
  { description: `text of at most ${TEXT_LENGTH_MAX} characters, a number, true, false or null` },
);
const NumberSchema = Type.Union([Type.Number(), Type.String({ pattern: NUMBER_TEXT })], {
  description: 'a number (quotes around it are allowed)',
});
const TextSchema = Type.String({ minLength: 1, maxLength: TEXT_LENGTH_MAX });
const ListSchema = Type.Array(ScalarSchema, { minItems: 1, maxItems: LIST_VALUES_MAX });

function leaf<Op extends string, Value extends TSchema>(op: Op, value: Value) {
  return Type.Object({ field: FieldSchema, op: Type.Literal(op), value }, CLOSED);
}

/** Needs no value; `value: true` is let through, as the other ops have taught people to write one. */
function bareLeaf<Op extends string>(op: Op) {
  return Type.Object({ field: FieldSchema, op: Type.Literal(op), value: Type.Optional(Type.Literal(true)) }, CLOSED);
}

/** One schema per op, because the op decides what `value` may be. */
const LEAF_SCHEMAS = {
  equals: leaf('equals', ScalarSchema),
  not_equals: leaf('not_equals', ScalarSchema),
  greater_than: leaf('greater_than', NumberSchema),
  greater_or_equal: leaf('greater_or_equal', NumberSchema),
  less_than: leaf('less_than', NumberSchema),
  less_or_equal: leaf('less_or_equal', NumberSchema),
  in_range: leaf('in_range', Type.Array(NumberSchema, { minItems: 2, maxItems: 2 })),
  contains: leaf('contains', ScalarSchema),
  not_contains: leaf('not_contains', ScalarSchema),
  starts_with: leaf('starts_with', TextSchema),
  ends_with: leaf('ends_with', TextSchema),
  regex: leaf('regex', Type.String({ minLength: 1, maxLength: PATTERN_LENGTH_MAX })),
  in: leaf('in', ListSchema),
  not_in: leaf('not_in', ListSchema),
  exists: bareLeaf('exists'),
  not_exists: bareLeaf('not_exists'),
  is_null: bareLeaf('is_null'),
} as const;

const GroupSchema = Type.Object(
  {
    combinator: Type.Enum(['AND', 'OR', 'NOT']),
    conditions: Type.Array(Type.Unknown(), { minItems: 1, maxItems: RULE_CONDITIONS_MAX }),
  },
  CLOSED,
);

export type Op = keyof typeof LEAF_SCHEMAS;
export type Scalar = Static<typeof ScalarSchema>;
/** A test of one field; the type of `value` follows from `op`. */
export type Leaf = { [K in Op]: Static<(typeof LEAF_SCHEMAS)[K]> }[Op];
/** NOT has exactly one condition. */
export interface Group {
  combinator: 'AND' | 'OR' | 'NOT';
  conditions: Condition[];
}
export type Condition = Group | Leaf;

const LATER_OPS = ['any', 'all', 'none', 'before', 'after', 'within_last'];
export const OPS = Object.keys(LEAF_SCHEMAS);
const checkGroup = compileCheck(GroupSchema);
const checkLeaf = new Map<unknown, Check<Leaf>>(
  Object.entries(LEAF_SCHEMAS).map(([op, schema]) => [
    op,
    compileCheck<TSchema>(schema, ['value_from']) as Check<Leaf>,
  ]),
);

const numberText = new RegExp(NUMBER_TEXT);

/** The number that a text in a rule spells, as `"10000"` does; undefined for any other text. */
export function numberInText(text: string): number | undefined {
  return numberText.test(text) ? Number(text) : undefined;
}

/** What is wrong in the tree under `root`; when nothing is, it is a `Condition`. `at` is its path in the document. */
export function conditionFaults(root: unknown, at: string): FieldError[] {
  const faults: FieldError[] = [];
  const waiting = [{ node: root, at, depth: 1 }];
  for (let count = 1, next = waiting.pop(); next !== undefined; next = waiting.pop(), count++) {
    if (count > RULE_CONDITIONS_MAX) return [{ field: at, reason: `more than ${RULE_CONDITIONS_MAX} conditions` }];
    if (faults.length > FAULTS_MAX) return faults;
    const { node, depth } = next;
    if (depth > CONDITION_DEPTH_MAX) {
      return [{ field: next.at, reason: `conditions are nested deeper than ${CONDITION_DEPTH_MAX} levels` }];
    }
    if (typeof node === 'object' && node !== null && ('combinator' in node || 'conditions' in node)) {
      const checked = checkGroup(node, next.at);
      if ('faults' in checked) faults.push(...checked.faults);
      else {
        const { combinator, conditions } = checked.value;
        if (combinator === 'NOT' && conditions.length !== 1) {
          const reason = `NOT takes exactly one condition, not ${conditions.length}; put several in an AND or OR inside it`;
          faults.push({ field: `${next.at}.conditions`, reason });
        }
        // Last first, so that the stack gives the faults in the order of the document.
        for (let i = conditions.length - 1; i >= 0; i--) {
          waiting.push({ node: conditions[i], at: `${next.at}.conditions[${i}]`, depth: depth + 1 });
        }
      }
    } else faults.push(...leafFaults(node, next.at));
  }
  return faults;
}

function leafFaults(node: unknown, at: string): FieldError[] {
  if (typeof node !== 'object' || node === null || Array.isArray(node)) {
    return [
      {
        field: at,
        reason: `must be a group {combinator, conditions} or a leaf {field, op, value}, not ${quote(node)}`,
      },
    ];
  }
  const op: unknown = 'op' in node ? node.op : undefined;
  const check = checkLeaf.get(op);
  if (check === undefined) return [{ field: `${at}.op`, reason: op === undefined ? 'is required' : unknownOp(op) }];
  const checked = check(node, at);
  if ('faults' in checked) return checked.faults;
  const { field } = checked.value;
  const path = parseFieldPath(field);
  const faults = valueFaults(checked.value, `${at}.value`);
  if ('reason' in path)
    faults.unshift({ field: `${at}.field`, reason: `${quote(field)} is not a field path: ${path.reason}` });
  return faults;
}

function unknownOp(op: unknown): string {
  if (typeof op !== 'string') return `must be text, not ${quote(op)}`;
  if (LATER_OPS.includes(op)) return `op ${quote(op)} is not supported by this version`;
  const nearest = nearestWord(op, OPS);
  return `unknown op ${quote(op)}; ${nearest === undefined ? `known: ${OPS.join(', ')}` : `did you mean ${quote(nearest)}?`}`;
}

function valueFaults(condition: Leaf, at: string): FieldError[] {
  if (condition.op === 'regex') {
    const compiled = compilePattern(condition.value);
    if ('reason' in compiled) return [{ field: at, reason: `${quote(condition.value)}: ${compiled.reason}` }];
  } else if (condition.op === 'in_range') {
    const [min, max] = condition.value;
    if (Number(min) > Number(max)) return [{ field: at, reason: `[${min}, ${max}]: the minimum is above the maximum` }];
  }
  return [];
}
