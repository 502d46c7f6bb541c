import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { StorageError } from './storage-error.ts';

/** LMDB's meta page (mdb.c, MDB_meta behind the page header), little-endian, as the `lmdb` package writes it. */
const MAGIC = 0xbeef_c0de;
const MAGIC_OFFSET = 24;
const PAGE_SIZE_OFFSET = 48;
const ROOT_OFFSETS = [88, 136]; // of the free list, of the data
const LAST_PAGE_OFFSET = 144;
const TRANSACTION_OFFSET = 152;
const META_BYTES = 160;

/** An empty tree has this for a root. */
const NO_PAGE = 2n ** 64n - 1n;

/**
 * Pages that a transaction took and gave back are counted, yet never written when they are the last of the file:
 * a whole file may end this much early, a commit of ours being smaller.
 */
const UNWRITTEN_BYTES_MAX = 64n * 1024n * 1024n;

/**
 * Refuses a data file that is no LMDB file or ends too early. LMDB maps it into memory and trusts it:
 * a half-copied or overwritten file would end the process by a signal, without a word.
 * @throws StorageError
 */
export function checkDataFile(path: string): void {
  const fileBytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (fileBytes === 0) return; // new, or a crash before its first page
  const damaged = (reason: string): StorageError =>
    new StorageError(
      `${path} is damaged (${reason}): replace this node by an empty one, or restore the whole directory`,
    );
  const descriptor = openSync(path, 'r');
  try {
    const first = readMeta(descriptor, 0);
    if (first === undefined) throw damaged('it does not begin like an LMDB file');
    const pageBytes = first.readUInt32LE(PAGE_SIZE_OFFSET);
    const second = readMeta(descriptor, pageBytes);
    if (second === undefined) throw damaged('its second page is missing');
    const newest = transactionOf(second) > transactionOf(first) ? second : first;
    const pageEnd = (offset: number): bigint => (newest.readBigUInt64LE(offset) + 1n) * BigInt(pageBytes);
    const roots = ROOT_OFFSETS.filter((offset) => newest.readBigUInt64LE(offset) !== NO_PAGE).map(pageEnd);
    const neededBytes = [...roots, pageEnd(LAST_PAGE_OFFSET) - UNWRITTEN_BYTES_MAX].reduce((a, b) => (a > b ? a : b));
    if (neededBytes > BigInt(fileBytes)) throw damaged(`it ends after ${String(fileBytes)} bytes, data follows`);
  } finally {
    closeSync(descriptor);
  }
}

function readMeta(descriptor: number, position: number): Buffer | undefined {
  const meta = Buffer.alloc(META_BYTES);
  if (readSync(descriptor, meta, 0, META_BYTES, position) < META_BYTES) return undefined;
  return meta.readUInt32LE(MAGIC_OFFSET) === MAGIC ? meta : undefined;
}

function transactionOf(meta: Buffer): bigint {
  return meta.readBigUInt64LE(TRANSACTION_OFFSET);
}
