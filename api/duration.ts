import { Type } from 'typebox';
import { DistricError, type FieldError } from '../base/errors.ts';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const PATTERN = /^([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)$/;

const DURATION_MAX_MS = 365 * 86_400_000;

const FORMS = 'a duration: a number of seconds, or text such as 500ms, 10s, 5m, 2h or 1d; at most 365 days';

/** As documents write it: a number of seconds, or text with a unit. */
export const DurationSchema = Type.Union(
  [
    Type.Number({ exclusiveMinimum: 0, maximum: DURATION_MAX_MS / 1_000 }),
    Type.String({ pattern: PATTERN.source, maxLength: 24 }),
  ],
  { description: FORMS },
);

/**
 * Milliseconds, a whole number of at least 1.
 * Takes seconds as a number, or text such as `500ms`, `10s`, `5m`, `2h`, `1d`; throws INVALID_DOCUMENT for anything else.
 */
export function durationMs(value: number | string): number {
  const exactMs = typeof value === 'number' ? value * 1_000 : textMs(value);
  if (!(exactMs > 0 && exactMs <= DURATION_MAX_MS)) {
    throw new DistricError('INVALID_DOCUMENT', `${JSON.stringify(value)} is not ${FORMS}`);
  }
  return Math.max(1, Math.round(exactMs));
}

/** What a schema cannot say: a zero, or a number too large for its unit. Nothing when `value` is absent or good. */
export function durationFaults(field: string, value: number | string | undefined): FieldError[] {
  if (value === undefined) return [];
  try {
    durationMs(value);
    return [];
  } catch (error) {
    if (!(error instanceof DistricError)) throw error;
    return [{ field, reason: error.message }];
  }
}

function textMs(text: string): number {
  const [, amount, unit = ''] = PATTERN.exec(text) ?? [];
  return Number(amount) * (UNIT_MS[unit] ?? Number.NaN);
}
