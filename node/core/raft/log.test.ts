import { describe, expect, it } from '@jest/globals';
import { nodeHost } from '../../io/host.ts';
import { encodeEntry } from './entry.ts';
import { RaftLog } from './log.ts';
import type { LogReader } from './log-reader.ts';

/** Entries 1 … `count`, as a restart finds them on the disk. */
function disk(count: number): Uint8Array[] {
  const entries: Uint8Array[] = [];
  let previousChecksum = 0;
  for (let index = 1; index <= count; index++) {
    const head = { term: 1, index, timeMs: 0, wallMs: 0, kind: 0, previousChecksum };
    const entry = encodeEntry(nodeHost, head, new Uint8Array([index]));
    previousChecksum = entry.checksum;
    entries.push(entry.bytes);
  }
  return entries;
}

function readerOf(entries: readonly Uint8Array[]): LogReader {
  return { read: (from, to, bytesMax) => entries.slice(from - 1, bytesMax === 0 ? from : to - 1) };
}

describe('a log on a disk that has lost a bit', () => {
  const entries = disk(3).map((bytes) => Uint8Array.from(bytes));
  const damaged = entries[1];
  if (damaged !== undefined) damaged[damaged.length - 1] = 77;
  const log = new RaftLog(nodeHost, readerOf(entries), 1, 3);

  it('serves what is intact', () => {
    expect(log.entry(1).payload).toEqual(entries[0]?.subarray(-1));
    expect(log.slice(3, 1_000)).toEqual([entries[2]]);
  });

  it('stops at the damaged entry, instead of reading or sending it', () => {
    expect(() => log.entry(2)).toThrow('entry 2 on disk is intact');
    expect(() => log.slice(1, 1_000)).toThrow('entry 2 on disk is intact');
  });
});
