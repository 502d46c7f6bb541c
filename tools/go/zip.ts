/** Unpacks a zip archive whose checksum was verified: plain and deflated files with their modes, no ZIP64, no encryption. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inflateRawSync } from 'node:zlib';

const END = 0x06054b50;
const END_BYTES = 22;
const ENTRY = 0x02014b50;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const DEFLATED = 8;
const MODE_BY_DEFAULT = 0o644;

/** Writes the files below `prefix` into `dir`; others are refused. Throws for an archive that is not one. */
export function unzip(archive: Buffer, prefix: string, dir: string): void {
  const end = endOf(archive);
  let at = archive.readUInt32LE(end + 16);
  for (let left = archive.readUInt16LE(end + 10); left > 0; left--) {
    if (archive.readUInt32LE(at) !== ENTRY) throw new Error('the zip archive is damaged');
    const nameBytes = archive.readUInt16LE(at + 28);
    const name = archive.toString('utf8', at + ENTRY_BYTES, at + ENTRY_BYTES + nameBytes);
    if (!name.startsWith(prefix) || name.split('/').includes('..')) throw new Error(`no place for ${name}`);
    if (!name.endsWith('/')) {
      const file = join(dir, name.slice(prefix.length));
      mkdirSync(dirname(file), { recursive: true });
      const mode = (archive.readUInt32LE(at + 38) >>> 16) & 0o777;
      writeFileSync(file, contentAt(archive, at), { mode: mode === 0 ? MODE_BY_DEFAULT : mode });
    }
    at += ENTRY_BYTES + nameBytes + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32);
  }
}

/** The record at the end, behind which there may be a comment. */
function endOf(archive: Buffer): number {
  const signature = Buffer.alloc(4);
  signature.writeUInt32LE(END);
  const end = archive.lastIndexOf(signature);
  if (end < 0 || end + END_BYTES > archive.length) throw new Error('that is no zip archive');
  return end;
}

function contentAt(archive: Buffer, entry: number): Buffer {
  const packedBytes = archive.readUInt32LE(entry + 20);
  const local = archive.readUInt32LE(entry + 42);
  const start = local + LOCAL_BYTES + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
  const packed = archive.subarray(start, start + packedBytes);
  const content = archive.readUInt16LE(entry + 10) === DEFLATED ? inflateRawSync(packed) : packed;
  if (content.length !== archive.readUInt32LE(entry + 24)) throw new Error('the zip archive is damaged');
  return content;
}
