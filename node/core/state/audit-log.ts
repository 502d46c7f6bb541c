/**
 * Who changed what: one row per administrative change, refused ones too, written by the entry that makes the change.
 *
 * Invariants
 * 1. At most AUDIT_ROWS_MAX rows are kept; the oldest goes in the very apply that adds one.
 * 2. A row is bounded: a document over AUDIT_DOCUMENT_BYTES_MAX is cut, and says so.
 */
import type { AuditRow } from '../../../api/rest.ts';
import { decodeText, encodeText, type Host } from '../../../base/host.ts';
import { isoTime } from '../../../base/iso-time.ts';
import type { ActorField } from './commands.ts';
import { afterPrefix, auditKey } from './keys.ts';
import type { Overlay } from './overlay.ts';
import type { Page } from './query.ts';

export const AUDIT_ROWS_MAX = 10_000;
/** Of `before` and of `after`, as JSON text. */
export const AUDIT_DOCUMENT_BYTES_MAX = 16 * 1024;
/** Rows looked at for one page of a filtered list; the cursor goes on from there. */
const AUDIT_SCAN_ROWS_MAX = 2_000;

export interface AuditNote {
  actor: ActorField;
  action: string;
  target: string;
  outcome: string;
  /** Null for what was not there. */
  before: unknown;
  after: unknown;
}

export class AuditLog {
  readonly #host: Host;
  readonly #overlay: Overlay;
  count = 0;

  constructor(host: Host, overlay: Overlay) {
    this.#host = host;
    this.#overlay = overlay;
  }

  record(note: AuditNote, index: number, wallMs: number): void {
    if (this.count >= AUDIT_ROWS_MAX) this.#dropOldest();
    const row: AuditRow = {
      index,
      at: isoTime(wallMs),
      actor: note.actor,
      action: note.action,
      target: note.target,
      outcome: note.outcome,
      before: this.#bounded(note.before),
      after: this.#bounded(note.after),
    };
    this.#overlay.put(auditKey(index), encodeText(this.#host, JSON.stringify(row)));
    this.count++;
  }

  /** Newest first. */
  list(page: Page, actor: string | undefined, action: string | undefined): unknown {
    const entries: AuditRow[] = [];
    let last: string | undefined;
    let scanned = 0;
    let more = false;
    const to = page.cursor === undefined ? afterPrefix('u/') : `u/${page.cursor}`;
    for (const { key, value } of this.#overlay.range('u/', to, true)) {
      if (entries.length >= page.limit || scanned >= AUDIT_SCAN_ROWS_MAX) {
        more = true;
        break;
      }
      scanned++;
      last = key.slice(2);
      const row = JSON.parse(decodeText(this.#host, value)) as AuditRow;
      if (actor !== undefined && row.actor.id !== actor && row.actor.name !== actor) continue;
      if (action !== undefined && row.action !== action) continue;
      entries.push(row);
    }
    return { entries, ...(more && last !== undefined ? { next_cursor: last } : {}) };
  }

  #dropOldest(): void {
    for (const { key } of this.#overlay.range('u/', afterPrefix('u/'))) {
      this.#overlay.delete(key);
      this.count--;
      return;
    }
  }

  #bounded(document: unknown): unknown {
    const text = JSON.stringify(document);
    const bytes = this.#host.textByteLength(text);
    if (bytes <= AUDIT_DOCUMENT_BYTES_MAX) return document;
    // A character is at least a byte; a third of the limit keeps also text of three-byte characters below it.
    return { cut: true, bytes, start: text.slice(0, Math.floor(AUDIT_DOCUMENT_BYTES_MAX / 3)) };
  }
}
