/**
 * Leaves of conditions as closures.
 *
 * 1. A missing field makes a leaf false, except under `not_equals` and `not_exists`.
 * 2. A `not_…` op on a field that is there is the exact opposite of its op.
 * 3. With `[*]` an op holds when any of the values passes; its `not_…` when none does.
 * 4. Text in the rule that spells a number equals a number field too; text in a message is never read as a number.
 */
import { assert, unreachable } from '../../../base/assert.ts';
import { numberInText, type Leaf, type Scalar } from '../../../api/condition.ts';
import { compilePattern } from '../../../api/pattern.ts';
import type { FieldCache } from './field-cache.ts';

/** Reads the message that its field cache holds. */
export type Predicate = () => boolean;
type ValueTest = (value: unknown) => boolean;

export function compileLeaf(leaf: Leaf, fields: FieldCache): Predicate {
  const slot = fields.slotOf(leaf.field);
  switch (leaf.op) {
    case 'exists':
      return () => fields.read(slot) !== undefined;
    case 'not_exists':
      return () => fields.read(slot) === undefined;
    case 'not_equals':
      return negative(fields, slot, equalTo(leaf.value), true);
    case 'not_contains':
      return negative(fields, slot, containing(leaf.value), false);
    case 'not_in':
      return negative(fields, slot, amongst(leaf.value), false);
    default:
      return positive(fields, slot, compileTest(leaf));
  }
}

type PositiveLeaf = Exclude<Leaf, { op: 'exists' | 'not_exists' | 'not_equals' | 'not_contains' | 'not_in' }>;

function compileTest(leaf: PositiveLeaf): ValueTest {
  switch (leaf.op) {
    case 'equals':
      return equalTo(leaf.value);
    case 'greater_than':
      return comparing(leaf.value, (number, bound) => number > bound);
    case 'greater_or_equal':
      return comparing(leaf.value, (number, bound) => number >= bound);
    case 'less_than':
      return comparing(leaf.value, (number, bound) => number < bound);
    case 'less_or_equal':
      return comparing(leaf.value, (number, bound) => number <= bound);
    case 'in_range': {
      const [min, max] = leaf.value.map(Number);
      assert(min !== undefined && max !== undefined, 'a range has two bounds');
      return (value) => typeof value === 'number' && value >= min && value <= max;
    }
    case 'contains':
      return containing(leaf.value);
    case 'starts_with':
      return (value) => typeof value === 'string' && value.startsWith(leaf.value);
    case 'ends_with':
      return (value) => typeof value === 'string' && value.endsWith(leaf.value);
    case 'regex':
      return matching(leaf.value);
    case 'in':
      return amongst(leaf.value);
    case 'is_null':
      return (value) => value === null;
    default:
      return unreachable(leaf, 'op');
  }
}

function positive(fields: FieldCache, slot: number, test: ValueTest): Predicate {
  if (fields.isMany(slot)) return () => anyOf(fields.read(slot), test);
  return () => {
    const value = fields.read(slot);
    return value !== undefined && test(value);
  };
}

function negative(fields: FieldCache, slot: number, test: ValueTest, whenMissing: boolean): Predicate {
  const many = fields.isMany(slot);
  return () => {
    const value = fields.read(slot);
    if (value === undefined) return whenMissing;
    return many ? !anyOf(value, test) : !test(value);
  };
}

function anyOf(values: unknown, test: ValueTest): boolean {
  return Array.isArray(values) && values.some(test);
}

/** The values of a field that a scalar of a rule equals: itself, and the number it spells. */
export function equalValues(scalar: Scalar): Scalar[] {
  const number = typeof scalar === 'string' ? numberInText(scalar) : undefined;
  return number === undefined ? [scalar] : [scalar, number];
}

function equalTo(scalar: Scalar): ValueTest {
  const [itself, number = itself] = equalValues(scalar);
  return (value) => value === itself || value === number;
}

function amongst(scalars: readonly Scalar[]): ValueTest {
  const values = new Set<unknown>(scalars.flatMap(equalValues));
  return (value) => values.has(value);
}

function comparing(bound: number | string, compare: (number: number, bound: number) => boolean): ValueTest {
  const boundNumber = Number(bound);
  return (value) => typeof value === 'number' && compare(value, boundNumber);
}

/** A piece of a text, or an element of a list. */
function containing(scalar: Scalar): ValueTest {
  const equals = equalTo(scalar);
  return (value) => {
    if (typeof value === 'string') return typeof scalar === 'string' && value.includes(scalar);
    return Array.isArray(value) && value.some(equals);
  };
}

function matching(source: string): ValueTest {
  const compiled = compilePattern(source);
  assert('pattern' in compiled, 'a compiled rule has valid patterns');
  const { pattern, textLengthMax } = compiled;
  return (value) => typeof value === 'string' && pattern.test(value.slice(0, textLengthMax));
}
