const SUSPECT_MS = 60_000;

/**
 * Task types that ran when a process died: they stay out of the shared processes until one of their attempts has
 * ended in good order alone, or the time has passed. Bounded by the number of types.
 */
export class Suspects {
  readonly #untilMs = new Map<string, number>();

  get size(): number {
    return this.#untilMs.size;
  }

  has(type: string): boolean {
    return this.#untilMs.has(type);
  }

  add(type: string, nowMs: number): void {
    this.#untilMs.set(type, nowMs + SUSPECT_MS);
  }

  delete(type: string): void {
    this.#untilMs.delete(type);
  }

  expire(nowMs: number): void {
    for (const [type, untilMs] of this.#untilMs) if (untilMs <= nowMs) this.#untilMs.delete(type);
  }
}
