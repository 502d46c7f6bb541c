/** Items by rank, the lowest at hand: a binary heap that knows the place of each item, so that any can move or go. */
interface Ranked<T> {
  item: T;
  rank: number;
}

export class RankHeap<T> {
  readonly #heap: Ranked<T>[] = [];
  readonly #places = new Map<T, number>();

  get size(): number {
    return this.#heap.length;
  }

  /** With the lowest rank. */
  get first(): Readonly<Ranked<T>> | undefined {
    return this.#heap[0];
  }

  /** The one at a place from 0 to `size` - 1, in no order. */
  at(place: number): T {
    const ranked = this.#heap[place];
    if (ranked === undefined) throw new RangeError('no item has that place');
    return ranked.item;
  }

  set(item: T, rank: number): void {
    const place = this.#places.get(item);
    const ranked = { item, rank };
    if (place === undefined) {
      this.#heap.push(ranked);
      this.#up(ranked, this.#heap.length - 1);
    } else {
      this.#down(ranked, this.#up(ranked, place));
    }
  }

  delete(item: T): void {
    const place = this.#places.get(item);
    if (place === undefined) return;
    this.#places.delete(item);
    const last = this.#heap.pop();
    if (last !== undefined && last.item !== item) this.#down(last, this.#up(last, place));
  }

  #up(ranked: Ranked<T>, from: number): number {
    let place = from;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = this.#heap[above];
      if (parent === undefined || parent.rank <= ranked.rank) break;
      this.#put(parent, place);
      place = above;
    }
    this.#put(ranked, place);
    return place;
  }

  #down(ranked: Ranked<T>, from: number): void {
    let place = from;
    for (;;) {
      const left = 2 * place + 1;
      const a = this.#heap[left];
      const b = this.#heap[left + 1];
      if (a === undefined) break;
      const [child, below] = b !== undefined && b.rank < a.rank ? [b, left + 1] : [a, left];
      if (child.rank >= ranked.rank) break;
      this.#put(child, place);
      place = below;
    }
    this.#put(ranked, place);
  }

  #put(ranked: Ranked<T>, place: number): void {
    this.#heap[place] = ranked;
    this.#places.set(ranked.item, place);
  }
}
