/** Virtual time: what happens next, ordered by (time, order of scheduling). Times in whole microseconds. */
interface Scheduled {
  timeUs: number;
  sequence: number;
  run: () => void;
}

export class EventQueue {
  #heap: Scheduled[] = [];
  #sequence = 0;
  /** The present. */
  nowUs = 0;
  /** Events run so far. */
  count = 0;

  after(delayUs: number, run: () => void): void {
    this.at(this.nowUs + delayUs, run);
  }

  at(timeUs: number, run: () => void): void {
    this.#heap.push({ timeUs: Math.max(this.nowUs, Math.floor(timeUs)), sequence: this.#sequence++, run });
    this.#up(this.#heap.length - 1);
  }

  /** Runs the next event if it is due by `untilUs`; false (and time stands at `untilUs`) when there is none. */
  runNext(untilUs: number): boolean {
    const next = this.#heap[0];
    if (next === undefined || next.timeUs > untilUs) {
      this.nowUs = Math.max(this.nowUs, untilUs);
      return false;
    }
    const last = this.#heap.pop();
    if (last !== undefined && last !== next) {
      this.#heap[0] = last;
      this.#down();
    }
    this.nowUs = next.timeUs;
    this.count++;
    next.run();
    return true;
  }

  #up(start: number): void {
    const heap = this.#heap;
    const item = heap[start];
    if (item === undefined) return;
    let position = start;
    while (position > 0) {
      const above = (position - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || !isBefore(item, parent)) break;
      heap[position] = parent;
      position = above;
    }
    heap[position] = item;
  }

  #down(): void {
    const heap = this.#heap;
    const item = heap[0];
    if (item === undefined) return;
    let position = 0;
    for (;;) {
      let below = 2 * position + 1;
      let child = heap[below];
      if (child === undefined) break;
      const right = heap[below + 1];
      if (right !== undefined && isBefore(right, child)) {
        child = right;
        below++;
      }
      if (!isBefore(child, item)) break;
      heap[position] = child;
      position = below;
    }
    heap[position] = item;
  }
}

function isBefore(a: Scheduled, b: Scheduled): boolean {
  return a.timeUs < b.timeUs || (a.timeUs === b.timeUs && a.sequence < b.sequence);
}
