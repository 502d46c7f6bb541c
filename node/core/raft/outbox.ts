/**
 * What the Raft core wants to have happen: messages to send, and what must be on disk before some of them may leave.
 *
 * Invariants
 * 1. A held message leaves only after every write that was handed out before it, or with it, is flushed.
 * 2. A held message of a term that has passed meanwhile never leaves: it would be a promise to a leader of the past.
 */
import type { Message } from '../tlv/messages.ts';
import type { Entry } from './entry.ts';
import type { HardState, LogWrite } from './log-reader.ts';

export interface Envelope {
  to: string;
  message: Message;
}

export interface SequencedWrite extends LogWrite {
  /** Handed back by `persisted(sequence)` once it is on disk; writes complete in order. */
  sequence: number;
}

interface UnfinishedWrite {
  sequence: number;
  /** When it was handed out. */
  sinceMs: number;
  /** Last entry of the write, 0 when it has none. */
  lastIndex: number;
  lastTerm: number;
  hardState: boolean;
  held: Envelope[];
}

export class Outbox {
  #messages: Envelope[] = [];
  #held: Envelope[] = [];
  #hardStateChanged = false;
  #restarted = false;
  #newEntries: Entry[] = [];
  #truncatedFrom: number | undefined;
  #cutBefore: number | undefined;
  #sequence = 0;
  #unfinished: UnfinishedWrite[] = [];

  /** Depends on nothing that is not on disk. */
  send(to: string, message: Message): void {
    this.#messages.push({ to, message });
  }

  /** Leaves once all that has changed so far is on disk. */
  hold(to: string, message: Message): void {
    this.#held.push({ to, message });
  }

  hardStateChanged(): void {
    this.#hardStateChanged = true;
  }

  /** Term and vote are on disk as they are now. */
  get hardStateFlushed(): boolean {
    return !this.#hardStateChanged && this.#unfinished.every(({ hardState }) => !hardState);
  }

  /** Since when the disk owes an answer; undefined: it owes none. */
  get waitingSinceMs(): number | undefined {
    return this.#unfinished[0]?.sinceMs;
  }

  append(entry: Entry): void {
    this.#newEntries.push(entry);
  }

  truncateFrom(from: number): void {
    this.#newEntries = this.#newEntries.filter(({ index }) => index < from);
    this.#truncatedFrom = Math.min(this.#truncatedFrom ?? Infinity, from);
  }

  /** The log begins anew with `anchor`: nothing written before matters. */
  restart(anchor: Entry): void {
    this.#restarted = true;
    this.#newEntries = [anchor];
    this.#truncatedFrom = undefined;
    this.#cutBefore = undefined;
  }

  cutBefore(index: number): void {
    this.#cutBefore = index;
  }

  /** Every write up to `sequence` is flushed; `flushed` is told the last entry of each that had any. */
  persisted(sequence: number, term: number, flushed: (lastIndex: number, lastTerm: number) => void): void {
    while (this.#unfinished.length > 0) {
      const write = this.#unfinished[0];
      if (write === undefined || write.sequence > sequence) break;
      this.#unfinished.shift();
      if (write.lastIndex > 0) flushed(write.lastIndex, write.lastTerm);
      for (const envelope of write.held) if (termOf(envelope.message) === term) this.#messages.push(envelope);
    }
  }

  take(hardState: HardState, nowMs: number): { messages: Envelope[]; write: SequencedWrite | undefined } {
    const write = this.#takeWrite(hardState, nowMs);
    const messages = this.#messages;
    this.#messages = [];
    if (this.#held.length > 0) {
      const last = this.#unfinished.at(-1);
      // With nothing unflushed before it, a held message depends on nothing that is not on disk already.
      if (last === undefined) messages.push(...this.#held);
      else last.held.push(...this.#held);
      this.#held = [];
    }
    return { messages, write };
  }

  #takeWrite(hardState: HardState, nowMs: number): SequencedWrite | undefined {
    const changed = this.#hardStateChanged || this.#newEntries.length > 0;
    if (!changed && this.#truncatedFrom === undefined && this.#cutBefore === undefined) return undefined;
    this.#sequence++;
    const last = this.#newEntries.at(-1);
    const write: SequencedWrite = {
      sequence: this.#sequence,
      ...(this.#hardStateChanged ? { hardState } : {}),
      ...(this.#restarted ? { restart: true as const } : {}),
      ...(this.#truncatedFrom === undefined ? {} : { truncateFrom: this.#truncatedFrom }),
      entries: this.#newEntries.map(({ index, bytes }) => ({ index, bytes })),
      ...(this.#cutBefore === undefined ? {} : { cutBefore: this.#cutBefore }),
    };
    const { sequence } = write;
    const end = { lastIndex: last?.index ?? 0, lastTerm: last?.term ?? 0 };
    this.#unfinished.push({ sequence, sinceMs: nowMs, ...end, hardState: this.#hardStateChanged, held: [] });
    this.#hardStateChanged = false;
    this.#restarted = false;
    this.#newEntries = [];
    this.#truncatedFrom = undefined;
    this.#cutBefore = undefined;
    return write;
  }
}

/** The term a message speaks in. */
function termOf(message: Message): number | undefined {
  return 'term' in message.body ? message.body.term : undefined;
}
