/** Snapshots of a `MemoryStore`, taken and put together in memory: for simulated nodes and tests. */
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import { ANCHOR_KEY } from './keys.ts';
import type { MemoryStore } from './memory-store.ts';
import { encodeRecord, isStreamed, RecordReader, type StateHead, stateHead } from './snapshot-stream.ts';

const BEHIND_ALL_KEYS = '\u00ff';

export class MemorySnapshots {
  readonly #host: Host;
  readonly #store: MemoryStore;
  readonly #taken = new Map<string, Uint8Array>();
  #incoming: { snapshotId: string; pieces: Uint8Array[]; offset: number } | undefined;

  constructor(host: Host, store: MemoryStore) {
    this.#host = host;
    this.#store = store;
  }

  /** Undefined when there is nothing to take yet. */
  take(snapshotId: string): { head: StateHead; sizeBytes: number } | undefined {
    const head = stateHead(this.#host, this.#store);
    if (head === undefined) return undefined;
    const records: Uint8Array[] = [];
    for (const { key, value } of this.#store.range('', BEHIND_ALL_KEYS)) {
      if (isStreamed(key)) records.push(encodeRecord(this.#host, key, value));
    }
    const stream = joined(this.#host, records);
    this.#taken.set(snapshotId, stream);
    return { head, sizeBytes: stream.length };
  }

  /** Undefined for one that was dropped. */
  read(snapshotId: string, offset: number, bytesMax: number): { bytes: Uint8Array; done: boolean } | undefined {
    const stream = this.#taken.get(snapshotId);
    if (stream === undefined) return undefined;
    return { bytes: stream.slice(offset, offset + bytesMax), done: offset + bytesMax >= stream.length };
  }

  drop(snapshotId: string): void {
    this.#taken.delete(snapshotId);
  }

  /** Returns the offset below which every byte is kept. */
  keep(snapshotId: string, offset: number, bytes: Uint8Array): number {
    if (offset === 0) this.#incoming = { snapshotId, pieces: [], offset: 0 };
    const incoming = this.#incoming;
    assert(incoming?.snapshotId === snapshotId && incoming.offset === offset, 'pieces come in order');
    incoming.pieces.push(bytes);
    incoming.offset += bytes.length;
    return incoming.offset;
  }

  abandon(snapshotId: string): void {
    if (this.#incoming?.snapshotId === snapshotId) this.#incoming = undefined;
  }

  /** Replaces everything in the store, at once. */
  install(snapshotId: string, anchor: Uint8Array): void {
    const incoming = this.#incoming;
    assert(incoming?.snapshotId === snapshotId, 'only what was kept is installed');
    const content = new Map<string, Uint8Array>([[ANCHOR_KEY, anchor]]);
    const reader = new RecordReader(this.#host, (key, value) => content.set(key, value));
    for (const piece of incoming.pieces) reader.push(piece);
    reader.end();
    this.#store.replace(content);
    this.#incoming = undefined;
  }
}

function joined(host: Host, parts: readonly Uint8Array[]): Uint8Array {
  const all = host.alloc(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}
