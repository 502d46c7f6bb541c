/**
 * The log as the Raft core sees it: a tail of decoded entries in memory over the durable log below it.
 *
 * Invariants
 * 1. Entries above `durableIndex` are in memory; entries below `memoryFirst` are on disk.
 * 2. `firstIndex` is the anchor: it is kept only as the predecessor of firstIndex + 1 (nothing was cut while it is 0 or 1).
 * 3. `durableIndex` counts only entries that are still in the log: a truncation lowers it, and the completion of a write
 *    whose last entry was replaced since does not raise it.
 */
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import type { Entry } from './entry.ts';
import { decodeEntry } from './entry.ts';
import type { LogReader } from './log-reader.ts';

/** Entries kept in memory for followers that are close behind, in bytes of encoded entries. */
export const MEMORY_BYTES_MAX = 64 * 1024 * 1024;

export class RaftLog {
  readonly #host: Host;
  readonly #reader: LogReader;
  /** Entries memoryFirst … lastIndex. */
  #tail: Entry[] = [];
  #tailBytes = 0;
  #memoryFirst: number;
  #lastTerm: number;
  #lastChecksum: number;
  firstIndex: number;
  durableIndex: number;

  constructor(host: Host, reader: LogReader, firstIndex: number, lastIndex: number) {
    this.#host = host;
    this.#reader = reader;
    this.firstIndex = firstIndex;
    this.durableIndex = lastIndex;
    this.#memoryFirst = lastIndex + 1;
    const last = lastIndex === 0 ? undefined : this.#fromDisk(lastIndex);
    this.#lastTerm = last?.term ?? 0;
    this.#lastChecksum = last?.checksum ?? 0;
  }

  get lastIndex(): number {
    return this.#memoryFirst + this.#tail.length - 1;
  }

  get lastTerm(): number {
    return this.#lastTerm;
  }

  get lastChecksum(): number {
    return this.#lastChecksum;
  }

  get lastTimeMs(): number {
    return this.lastIndex === 0 ? 0 : this.entry(this.lastIndex).timeMs;
  }

  /** Undefined for an index that is cut away or not there yet; 0 for index 0. */
  termAt(index: number): number | undefined {
    if (index === 0) return 0;
    if (index > this.lastIndex || index < this.firstIndex) return undefined;
    return this.entry(index).term;
  }

  /** Whether what follows `index` is here to be sent, and the term at `index` with it. */
  reaches(index: number): boolean {
    return index === 0 ? this.firstIndex <= 1 : index >= this.firstIndex && index <= this.lastIndex;
  }

  entry(index: number): Entry {
    const cached = this.#tail[index - this.#memoryFirst];
    return cached ?? this.#fromDisk(index);
  }

  append(entry: Entry): void {
    assert(entry.index === this.lastIndex + 1, 'entries are appended without a gap');
    assert(entry.previousChecksum === this.#lastChecksum, 'an entry continues the checksum chain');
    if (entry.index === 1) this.firstIndex = 1;
    this.#tail.push(entry);
    this.#tailBytes += entry.bytes.length;
    this.#lastTerm = entry.term;
    this.#lastChecksum = entry.checksum;
  }

  /** Removes every entry from `index` on (Raft §5.3, a conflicting suffix). */
  truncateFrom(index: number): void {
    assert(index > this.firstIndex || this.firstIndex <= 1, 'a truncation leaves the anchor');
    if (index < this.#memoryFirst) {
      this.#tail = [];
      this.#tailBytes = 0;
      this.#memoryFirst = index;
    } else {
      for (const entry of this.#tail.splice(index - this.#memoryFirst)) this.#tailBytes -= entry.bytes.length;
    }
    this.durableIndex = Math.min(this.durableIndex, index - 1);
    const last = index === 1 ? undefined : this.entry(index - 1);
    this.#lastTerm = last?.term ?? 0;
    this.#lastChecksum = last?.checksum ?? 0;
  }

  /** A write ending with entry (`index`, `term`) is on disk. */
  persisted(index: number, term: number): void {
    if (this.termAt(index) === term && index > this.durableIndex) this.durableIndex = index;
  }

  /** Encoded entries from `from`, at most `bytesMax` but at least one. */
  slice(from: number, bytesMax: number): Uint8Array[] {
    if (from < this.#memoryFirst) return this.#intactFromDisk(from, bytesMax);
    const out: Uint8Array[] = [];
    let bytes = 0;
    for (let index = from; index <= this.lastIndex; index++) {
      const entry = this.entry(index);
      if (out.length > 0 && bytes + entry.bytes.length > bytesMax) break;
      out.push(entry.bytes);
      bytes += entry.bytes.length;
    }
    return out;
  }

  /** Forgets entries in memory that are on disk and not above `index`, oldest first, while memory is over its limit. */
  shrink(index: number): void {
    const upTo = Math.min(index, this.durableIndex);
    let count = 0;
    while (this.#tailBytes > MEMORY_BYTES_MAX && this.#memoryFirst + count <= upTo && count < this.#tail.length - 1) {
      this.#tailBytes -= this.#tail[count]?.bytes.length ?? 0;
      count++;
    }
    if (count === 0) return;
    this.#tail.splice(0, count);
    this.#memoryFirst += count;
  }

  /** Makes `index` the anchor; the driver removes what is below it. */
  cut(index: number): void {
    assert(index <= this.durableIndex, 'only what is on disk is cut');
    if (index > this.firstIndex) this.firstIndex = index;
  }

  /** Replaces the whole log by `anchor`, the entry that an installed snapshot ended with. */
  restart(anchor: Entry): void {
    this.#tail = [anchor];
    this.#tailBytes = anchor.bytes.length;
    this.#memoryFirst = anchor.index;
    this.#lastTerm = anchor.term;
    this.#lastChecksum = anchor.checksum;
    this.firstIndex = anchor.index;
    this.durableIndex = anchor.index - 1;
  }

  /** Damage stops this node: a follower could only refuse the entry, and be sent it again for ever. */
  #intactFromDisk(from: number, bytesMax: number): Uint8Array[] {
    const read = this.#reader.read(from, this.#memoryFirst, bytesMax);
    read.forEach((bytes, i) => {
      const index = from + i;
      assert(decodeEntry(this.#host, bytes)?.index === index, `entry ${String(index)} on disk is intact`);
    });
    return read;
  }

  #fromDisk(index: number): Entry {
    const bytes = this.#reader.read(index, index + 1, 0)[0];
    assert(bytes !== undefined, `entry ${String(index)} is on disk`);
    const entry = decodeEntry(this.#host, bytes);
    assert(entry?.index === index, `entry ${String(index)} on disk is intact`);
    return entry;
  }
}
