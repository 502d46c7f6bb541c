interface Item {
  readonly id: string;
  dueMs: number;
  /** In the heap. */
  position: number;
}

/** A binary heap of ids by due time that can move and remove an id in O(log n). Ties by id: the same order everywhere. */
export class DueQueue {
  readonly #heap: Item[] = [];
  readonly #items = new Map<string, Item>();

  get size(): number {
    return this.#heap.length;
  }

  peek(): { readonly id: string; readonly dueMs: number } | undefined {
    return this.#heap[0];
  }

  set(id: string, dueMs: number): void {
    const item = this.#items.get(id);
    if (item === undefined) {
      const added = { id, dueMs, position: this.#heap.length };
      this.#heap.push(added);
      this.#items.set(id, added);
      this.#up(added);
    } else if (item.dueMs !== dueMs) {
      item.dueMs = dueMs;
      this.#up(item);
      this.#down(item);
    }
  }

  delete(id: string): void {
    const item = this.#items.get(id);
    if (item === undefined) return;
    this.#items.delete(id);
    const last = this.#heap.pop();
    if (last === undefined || last === item) return;
    this.#place(last, item.position);
    this.#up(last);
    this.#down(last);
  }

  #place(item: Item, position: number): void {
    this.#heap[position] = item;
    item.position = position;
  }

  #up(item: Item): void {
    let { position } = item;
    while (position > 0) {
      const above = (position - 1) >> 1;
      const parent = this.#heap[above];
      if (parent === undefined || !isBefore(item, parent)) break;
      this.#place(parent, position);
      position = above;
    }
    this.#place(item, position);
  }

  #down(item: Item): void {
    let { position } = item;
    for (;;) {
      const left = this.#heap[2 * position + 1];
      const right = this.#heap[2 * position + 2];
      const first = left !== undefined && right !== undefined && isBefore(right, left) ? right : left;
      if (first === undefined || !isBefore(first, item)) break;
      const below = first.position;
      this.#place(first, position);
      position = below;
    }
    this.#place(item, position);
  }
}

function isBefore(a: Item, b: Item): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.id < b.id);
}
