/** Quantities as Kubernetes writes them: `20Gi`, `500m`, `1e3`. */
import { DistricError } from './errors.ts';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};
const QUANTITY = /^(\d{1,18}(?:\.\d{1,9})?)(e\d{1,2}|[kMGTP]i?|Ki|m)?$/;

/** The number that `text` stands for, of bytes or whatever is counted. Throws INVALID_DOCUMENT. */
export function quantityOf(text: string): number {
  const [, digits, unit = ''] = QUANTITY.exec(text) ?? [];
  if (digits === undefined || unit === 'ki') {
    throw new DistricError('INVALID_DOCUMENT', `${JSON.stringify(text)} is no quantity such as 20Gi`);
  }
  return unit.startsWith('e') ? Number(`${digits}${unit}`) : Number(digits) * (UNITS[unit] ?? 1);
}
