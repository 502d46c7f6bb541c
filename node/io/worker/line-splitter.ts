import { StringDecoder } from 'node:string_decoder';

/** Cuts a byte stream into lines of bounded length: a longer line is cut and the rest of it skipped. */
export class LineSplitter {
  readonly #decoder = new StringDecoder('utf8');
  readonly #charsMax: number;
  readonly #onLine: (line: string) => void;
  #rest = '';
  #skipping = false;

  constructor(charsMax: number, onLine: (line: string) => void) {
    this.#charsMax = charsMax;
    this.#onLine = onLine;
  }

  push(bytes: Buffer): void {
    let text = this.#decoder.write(bytes);
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      this.#append(text.slice(0, end));
      this.#flush();
      this.#skipping = false;
      text = text.slice(end + 1);
    }
    this.#append(text);
  }

  /** The stream has ended: what is left is a line. */
  end(): void {
    this.#flush();
  }

  #append(part: string): void {
    if (this.#skipping) return;
    this.#rest += part;
    if (this.#rest.length <= this.#charsMax) return;
    this.#rest = `${this.#rest.slice(0, this.#charsMax)}…`;
    this.#flush();
    this.#skipping = true;
  }

  #flush(): void {
    if (this.#rest !== '') this.#onLine(this.#rest);
    this.#rest = '';
  }
}
