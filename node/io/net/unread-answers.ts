/** One that may leave unread what it was answered. */
export interface Reader {
  /** As it is now. */
  readonly unreadBytes: number;
}

/** Ends the largest first, until `excess` bytes are gone. */
export function shedLargest<R>(
  readers: Iterable<R>,
  excess: number,
  bytesOf: (one: R) => number,
  end: (one: R) => void,
) {
  let left = excess;
  for (const one of [...readers].sort((a, b) => bytesOf(b) - bytesOf(a))) {
    const bytes = bytesOf(one);
    if (left <= 0 || bytes === 0) return;
    left -= bytes;
    end(one);
  }
}

/**
 * What all readers together have not read yet. A reader that catches up says nothing, so the sum is too high until it
 * is over the limit: then it is counted anew, and only what is over by that is shed.
 */
export class UnreadAnswers<R extends Reader> {
  readonly #bytesMax: number;
  readonly #end: (reader: R) => void;
  readonly #bytesByReader = new Map<R, number>();
  #bytes = 0;

  /** `end` has to make an end of a reader, and leads to its `forget`. */
  constructor(bytesMax: number, end: (reader: R) => void) {
    this.#bytesMax = bytesMax;
    this.#end = end;
  }

  /** It was answered. */
  note(reader: R): void {
    this.#count(reader);
    if (this.#bytes <= this.#bytesMax) return;
    for (const one of this.#bytesByReader.keys()) this.#count(one);
    const bytesOf = (one: R): number => this.#bytesByReader.get(one) ?? 0;
    shedLargest(this.#bytesByReader.keys(), this.#bytes - this.#bytesMax, bytesOf, this.#end);
  }

  forget(reader: R): void {
    this.#bytes -= this.#bytesByReader.get(reader) ?? 0;
    this.#bytesByReader.delete(reader);
  }

  #count(reader: R): void {
    const bytes = reader.unreadBytes;
    this.#bytes += bytes - (this.#bytesByReader.get(reader) ?? 0);
    if (bytes === 0) this.#bytesByReader.delete(reader);
    else this.#bytesByReader.set(reader, bytes);
  }
}
