/** The calls of one connection, as the side that answers sees them: what it holds, against the credit it gave. */
export interface CreditWindow {
  readonly calls: number;
  readonly bytes: number;
}

export type Taken = 'taken' | 'over_credit' | 'repeated_id';

export class HeldCalls {
  readonly #window: CreditWindow;
  readonly #bytesById = new Map<number, number>();
  #bytes = 0;

  constructor(window: CreditWindow) {
    this.#window = window;
  }

  get calls(): number {
    return this.#bytesById.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Anything but `taken` is a fault of the caller that ends its connection. */
  take(id: number, bytes: number): Taken {
    if (this.#bytesById.has(id)) return 'repeated_id';
    if (this.#bytesById.size >= this.#window.calls || this.#bytes + bytes > this.#window.bytes) return 'over_credit';
    this.#bytesById.set(id, bytes);
    this.#bytes += bytes;
    return 'taken';
  }

  /** How many bytes the answered call held; undefined when it is not held (any more). */
  release(id: number): number | undefined {
    const bytes = this.#bytesById.get(id);
    if (bytes === undefined) return undefined;
    this.#bytesById.delete(id);
    this.#bytes -= bytes;
    return bytes;
  }
}
