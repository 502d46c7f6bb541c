/**
 * Messages and the idempotency keys that gave them.
 *
 * Invariants
 * 1. A message id is stored once; applying a batch again gives the first outcome (so forwarding again is harmless).
 * 2. Inside the dedup window an idempotency key gives one message: the first.
 * 3. A key is never forgotten early: at the quota new keyed messages are refused.
 */
import { decodeText, encodeText, type Host } from '../../../base/host.ts';
import { decode } from '../tlv/struct.ts';
import { MessageItem } from './commands.ts';
import { afterPrefix, dedupExpiryKey, dedupKey, instanceKey, messageKey, padded } from './keys.ts';
import { MARKER, type Overlay } from './overlay.ts';

export const DEDUP_WINDOW_MS = 24 * 3_600_000;
/** Keys kept at most; about 540 bytes each on disk. */
export const DEDUP_KEYS_MAX = 10_000_000;
/** Expired keys removed by one entry. */
export const DEDUP_SWEEP_MAX = 1_000;

/** The `ordinal`-th instance that a message starts, from 1; there is no gap. */
export function instanceIdOf(messageId: string, ordinal: number): string {
  return `${messageId}-${String(ordinal)}`;
}

interface DedupRecord {
  messageId: string;
  expiresMs: number;
}

export class MessageTable {
  readonly #host: Host;
  readonly #overlay: Overlay;
  count = 0;
  dedupCount = 0;
  /** Cluster time at which the oldest key expires; Infinity when there is none. */
  nextExpiryMs: number;
  /** Ids rise with time. No higher one is in the store or on its way there; */
  #newestStored: string;
  /** none has been put. */
  #newest: string;

  constructor(host: Host, overlay: Overlay) {
    this.#host = host;
    this.#overlay = overlay;
    this.nextExpiryMs = this.#firstExpiry();
    this.#newestStored = this.#lastId();
    this.#newest = this.#newestStored;
  }

  get(id: string): MessageItem | undefined {
    const bytes = this.#overlay.get(messageKey(id));
    return bytes === undefined ? undefined : decode(this.#host, MessageItem, bytes);
  }

  /** Hardly ever looked up: a message that is new is newer than all that are there, or at least than those in the store. */
  has(id: string): boolean {
    if (id > this.#newest) return false;
    const key = messageKey(id);
    const pending = this.#overlay.pending(key);
    if (pending !== undefined) return pending !== null;
    return id <= this.#newestStored && this.#overlay.get(key) !== undefined;
  }

  /** All that was put is on its way to the store. */
  handedOut(): void {
    this.#newestStored = this.#newest;
  }

  /** Newest first; `before` is the id of the last one of the page before. */
  *newestFirst(before: string | undefined): Iterable<MessageItem> {
    const to = before === undefined ? afterPrefix('m/') : messageKey(before);
    for (const { value } of this.#overlay.range('m/', to, true)) yield decode(this.#host, MessageItem, value);
  }

  /** Oldest first, by the clock of the coordinator that took it. */
  *idsFrom(from: string, to: string): Iterable<string> {
    for (const { key } of this.#overlay.range(messageKey(from), messageKey(to))) yield key.slice(messageKey('').length);
  }

  delete(id: string): void {
    this.#overlay.delete(messageKey(id));
    this.count--;
  }

  /** True while a message with the same idempotency key would be a duplicate of this one. */
  isKeyLive({ id, scopedKey }: MessageItem, nowMs: number): boolean {
    return scopedKey !== undefined && this.dedupOf(scopedKey, nowMs) === id;
  }

  put(id: string, itemBytes: Uint8Array): void {
    this.#overlay.put(messageKey(id), itemBytes);
    if (id > this.#newest) this.#newest = id;
    this.count++;
  }

  /** Ids of the instances that a message started, in order. Looked up one by one: a range would walk the whole overlay. */
  *instanceIdsOf(messageId: string): Iterable<string> {
    for (let ordinal = 1; ; ordinal++) {
      const id = instanceIdOf(messageId, ordinal);
      if (this.#overlay.get(instanceKey(id)) === undefined) return;
      yield id;
    }
  }

  dedupOf(scopedKey: string, nowMs: number): string | undefined {
    const bytes = this.#overlay.get(dedupKey(scopedKey));
    if (bytes === undefined) return undefined;
    const record = JSON.parse(decodeText(this.#host, bytes)) as DedupRecord;
    return record.expiresMs > nowMs ? record.messageId : undefined;
  }

  putDedup(scopedKey: string, messageId: string, nowMs: number): void {
    const before = this.#overlay.get(dedupKey(scopedKey));
    if (before === undefined) this.dedupCount++;
    else {
      const { expiresMs } = JSON.parse(decodeText(this.#host, before)) as DedupRecord;
      this.#overlay.delete(dedupExpiryKey(expiresMs, scopedKey));
    }
    const expiresMs = nowMs + DEDUP_WINDOW_MS;
    const record: DedupRecord = { messageId, expiresMs };
    this.#overlay.put(dedupKey(scopedKey), encodeText(this.#host, JSON.stringify(record)));
    this.#overlay.put(dedupExpiryKey(expiresMs, scopedKey), MARKER);
    this.nextExpiryMs = Math.min(this.nextExpiryMs, expiresMs);
  }

  /** Forgets keys that have expired by `nowMs`, at most DEDUP_SWEEP_MAX of them. */
  sweep(nowMs: number): void {
    if (this.nextExpiryMs > nowMs) return;
    const expired: string[] = [];
    for (const { key } of this.#overlay.range('x/', `x/${padded(nowMs + 1)}`)) {
      expired.push(key);
      if (expired.length >= DEDUP_SWEEP_MAX) break;
    }
    for (const key of expired) {
      this.#overlay.delete(key);
      this.#overlay.delete(dedupKey(key.slice(`x/${padded(0)}/`.length)));
      this.dedupCount--;
    }
    this.nextExpiryMs = this.#firstExpiry();
  }

  #lastId(): string {
    for (const { key } of this.#overlay.range('m/', afterPrefix('m/'), true)) return key.slice(messageKey('').length);
    return '';
  }

  #firstExpiry(): number {
    for (const { key } of this.#overlay.range('x/', afterPrefix('x/'))) {
      return Number(key.slice(2, 2 + padded(0).length));
    }
    return Infinity;
  }
}
