/** How often things happened, by name; the rare ones among them show what a run has really reached. */
export class Counters {
  readonly counts = new Map<string, number>();

  add(name: string, count = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + count);
  }

  get(name: string): number {
    return this.counts.get(name) ?? 0;
  }

  addAll(other: Counters): void {
    for (const [name, count] of other.counts) this.add(name, count);
  }
}
