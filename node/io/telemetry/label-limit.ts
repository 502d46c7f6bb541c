/**
 * Bounds the values of one label: workflow ids and task types come from users, and every value is a series that
 * stays in memory here and in Prometheus. Values beyond the limit share the series `other`.
 */
export class LabelLimit {
  readonly #known = new Set<string>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  of(value: string): string {
    if (this.#known.has(value)) return value;
    if (this.#known.size >= this.#max) return 'other';
    this.#known.add(value);
    return value;
  }
}
