/** A binary heap of ids by due time that can move and remove an id in O(log n). Ties by id: the same order everywhere. */
export class DueQueue {
  #heap: { id: string; dueMs: number }[] = [];
  #position = new Map<string, number>();

  get size(): number {
    return this.#heap.length;
  }

  peek(): { id: string; dueMs: number } | undefined {
    return this.#heap[0];
  }

  set(id: string, dueMs: number): void {
    const position = this.#position.get(id);
    if (position === undefined) {
      this.#heap.push({ id, dueMs });
      this.#position.set(id, this.#heap.length - 1);
      this.#up(this.#heap.length - 1);
      return;
    }
    const item = this.#heap[position];
    if (item === undefined || item.dueMs === dueMs) return;
    item.dueMs = dueMs;
    this.#up(position);
    this.#down(this.#position.get(id) ?? 0);
  }

  delete(id: string): void {
    const position = this.#position.get(id);
    if (position === undefined) return;
    this.#position.delete(id);
    const last = this.#heap.pop();
    if (last === undefined || last.id === id) return;
    this.#heap[position] = last;
    this.#position.set(last.id, position);
    this.#up(position);
    this.#down(this.#position.get(last.id) ?? 0);
  }

  #before(a: number, b: number): boolean {
    const x = this.#heap[a];
    const y = this.#heap[b];
    if (x === undefined || y === undefined) return false;
    return x.dueMs < y.dueMs || (x.dueMs === y.dueMs && x.id < y.id);
  }

  #swap(a: number, b: number): void {
    const x = this.#heap[a];
    const y = this.#heap[b];
    if (x === undefined || y === undefined) return;
    this.#heap[a] = y;
    this.#heap[b] = x;
    this.#position.set(y.id, a);
    this.#position.set(x.id, b);
  }

  #up(start: number): void {
    let position = start;
    while (position > 0) {
      const parent = (position - 1) >> 1;
      if (!this.#before(position, parent)) return;
      this.#swap(position, parent);
      position = parent;
    }
  }

  #down(start: number): void {
    let position = start;
    for (;;) {
      let first = position;
      for (const child of [2 * position + 1, 2 * position + 2]) {
        if (child < this.#heap.length && this.#before(child, first)) first = child;
      }
      if (first === position) return;
      this.#swap(position, first);
      position = first;
    }
  }
}
