interface Flushable {
  flush(): void;
}

/** One write per connection and tick: what a tick's inputs cause is queued first and written together after them. */
export class FlushQueue {
  readonly #dirty = new Set<Flushable>();
  #scheduled = false;

  add(connection: Flushable): void {
    this.#dirty.add(connection);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  flush(): void {
    for (const connection of this.#dirty) {
      this.#dirty.delete(connection);
      connection.flush();
    }
  }
}
