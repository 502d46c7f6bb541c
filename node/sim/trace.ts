import type { EventQueue } from './event-queue.ts';

const FNV_PRIME = 0x01000193;

/** A running hash over everything that happens (two runs of a seed must agree), and a log of it on demand. */
export class Trace {
  readonly #queue: EventQueue;
  readonly #print: ((line: string) => void) | undefined;
  #hash = 0x811c9dc5;

  constructor(queue: EventQueue, print?: (line: string) => void) {
    this.#queue = queue;
    this.#print = print;
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0');
  }

  get verbose(): boolean {
    return this.#print !== undefined;
  }

  /** Whole numbers below 2^32. */
  mix(a: number, b: number): void {
    const { nowUs } = this.#queue;
    let hash = Math.imul(this.#hash ^ nowUs, FNV_PRIME);
    hash = Math.imul(hash ^ (hash >>> 15) ^ a, FNV_PRIME);
    this.#hash = Math.imul(hash ^ (hash >>> 13) ^ b, FNV_PRIME);
  }

  /** `details` are for readers only. */
  note(who: string, text: string, details = ''): void {
    if (text !== '') this.#mixText(who, text);
    this.#print?.(`${(this.#queue.nowUs / 1e6).toFixed(6).padStart(12)} ${who.padEnd(4)} ${text} ${details}`);
  }

  #mixText(who: string, text: string): void {
    let textHash = FNV_PRIME;
    for (let i = 0; i < who.length; i++) textHash = Math.imul(textHash ^ who.charCodeAt(i), FNV_PRIME);
    for (let i = 0; i < text.length; i++) textHash = Math.imul(textHash ^ text.charCodeAt(i), FNV_PRIME);
    this.mix(textHash, text.length);
  }
}
