import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { LogWrite } from '../../core/raft/log-reader.ts';
import { Environment } from './environment.ts';
import { LogStore, type LogStoreOptions } from './log-store.ts';
import { StorageError } from './storage-error.ts';

const MIB = 1024 * 1024;
const options: LogStoreOptions = { mapBytesMax: 64 * MIB, queueBytesMax: 16 * MIB };

let dir: string;
let stores: LogStore[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'distric-log-'));
  stores = [];
});

afterEach(async () => {
  for (const store of stores) await store.close();
  rmSync(dir, { recursive: true, force: true });
});

async function openLog(change: Partial<LogStoreOptions> = {}): Promise<LogStore> {
  const store = await LogStore.open(dir, { ...options, ...change });
  stores.push(store);
  return store;
}

async function reopen(store: LogStore): Promise<LogStore> {
  await store.close();
  stores.splice(stores.indexOf(store), 1);
  return openLog();
}

function entry(index: number, text = `entry ${String(index)}`): LogWrite['entries'][number] {
  return { index, bytes: Buffer.from(text) };
}

function entries(from: number, to: number): LogWrite['entries'] {
  return Array.from({ length: to - from }, (_, offset) => entry(from + offset));
}

function texts(store: LogStore, from: number, to: number, bytesMax = MIB): string[] {
  return store.read(from, to, bytesMax).map((bytes) => Buffer.from(bytes).toString());
}

/** Both meta pages say that the file has pages up to `page`. */
function withLastPage(file: Buffer, page: bigint): Buffer {
  const changed = Buffer.from(file);
  for (const meta of [0, 4_096]) changed.writeBigUInt64LE(page, meta + 144);
  return changed;
}

describe('LogStore', () => {
  it('starts empty, with an identity that it keeps and a boot count that rises', async () => {
    const first = await openLog();
    expect(first.boot).toMatchObject({
      hardState: { term: 0, votedFor: null },
      firstIndex: 1,
      lastIndex: 0,
      bootCount: 1,
    });
    const second = await reopen(first);
    expect(second.boot).toEqual({ ...first.boot, bootCount: 2 });
  });

  it('gives back what was persisted, after a restart too', async () => {
    const store = await openLog();
    await store.persist({ hardState: { term: 3, votedFor: 'c2' }, entries: entries(1, 4) });
    expect(texts(store, 1, 4)).toEqual(['entry 1', 'entry 2', 'entry 3']);
    const again = await reopen(store);
    expect(again.boot).toMatchObject({ hardState: { term: 3, votedFor: 'c2' }, firstIndex: 1, lastIndex: 3 });
    expect(texts(again, 2, 4)).toEqual(['entry 2', 'entry 3']);
  });

  it('reads at least one entry and no more than fit the bytes asked for', async () => {
    const store = await openLog();
    await store.persist({ entries: [entry(1, 'x'.repeat(MIB)), entry(2, 'aaaa'), entry(3, 'bbbb'), entry(4, 'cccc')] });
    expect(texts(store, 1, 5, 10)).toEqual(['x'.repeat(MIB)]);
    expect(texts(store, 2, 5, 8)).toEqual(['aaaa', 'bbbb']);
    expect(texts(store, 2, 2)).toEqual([]);
  });

  it('hands out bytes that later reads and writes leave alone', async () => {
    const store = await openLog();
    await store.persist({
      entries: [entry(1, 'a'.repeat(10)), entry(2, 'b'.repeat(20_000)), entry(3, 'c'.repeat(300_000))],
    });
    const kept = store.read(1, 4, MIB);
    await store.persist({ truncateFrom: 1, entries: [entry(1, 'z'.repeat(300_000)), entry(2, 'y'.repeat(300_000))] });
    store.read(1, 3, MIB);
    expect(kept.map((bytes) => Buffer.from(bytes).toString())).toEqual([
      'a'.repeat(10),
      'b'.repeat(20_000),
      'c'.repeat(300_000),
    ]);
  });

  it('orders indexes beyond 32 bits', async () => {
    const store = await openLog();
    await store.persist({ entries: entries(0xffff_fffe, 0x1_0000_0003) });
    const again = await reopen(store);
    expect(again.boot).toMatchObject({ firstIndex: 0xffff_fffe, lastIndex: 0x1_0000_0002 });
    expect(texts(again, 0xffff_ffff, 0x1_0000_0001)).toEqual(['entry 4294967295', 'entry 4294967296']);
  });

  it('replaces a conflicting suffix, and cuts a prefix', async () => {
    const store = await openLog();
    await store.persist({ entries: entries(1, 11) });
    await store.persist({ truncateFrom: 6, entries: [entry(6, 'other 6')], cutBefore: 4 });
    const again = await reopen(store);
    expect(again.boot).toMatchObject({ firstIndex: 4, lastIndex: 6 });
    expect(texts(again, 4, 7)).toEqual(['entry 4', 'entry 5', 'other 6']);
  });

  it('goes on at any index once everything is cut', async () => {
    const store = await openLog();
    await store.persist({ entries: entries(1, 6_000) });
    const cut = store.persist({ entries: [], cutBefore: 5_500 });
    await Promise.all([
      cut,
      store.persist({ entries: [], cutBefore: 9_000 }),
      store.persist({ entries: [entry(9_000)] }),
    ]);
    expect((await reopen(store)).boot).toMatchObject({ firstIndex: 9_000, lastIndex: 9_000 });
  });

  it('restarts at any index, below and above what it had, in one step with the anchor', async () => {
    const store = await openLog();
    await store.persist({ hardState: { term: 4, votedFor: 'c1' }, entries: entries(1, 101) });
    await store.persist({ restart: true, entries: [entry(5_000, 'anchor')] });
    await store.persist({ entries: entries(5_001, 5_011) });
    const above = await reopen(store);
    expect(above.boot).toMatchObject({ hardState: { term: 4, votedFor: 'c1' }, firstIndex: 5_000, lastIndex: 5_010 });
    expect(texts(above, 5_000, 5_002)).toEqual(['anchor', 'entry 5001']);
    await above.persist({ restart: true, entries: [entry(50, 'lower anchor'), entry(51)] });
    const below = await reopen(above);
    expect(below.boot).toMatchObject({ firstIndex: 50, lastIndex: 51 });
    expect(texts(below, 50, 52)).toEqual(['lower anchor', 'entry 51']);
  });

  it('restarts while a cut of what it had is still being carried out', async () => {
    const store = await openLog();
    await store.persist({ entries: entries(1, 10_001) });
    await Promise.all([
      store.persist({ entries: [], cutBefore: 9_000 }),
      store.persist({ restart: true, entries: [entry(8_000, 'anchor')] }),
      store.persist({ entries: [entry(8_001)], cutBefore: 8_000 }),
    ]);
    const again = await reopen(store);
    expect(again.boot).toMatchObject({ firstIndex: 8_000, lastIndex: 8_001 });
  });

  it('leaves no gap when a truncation meets a cut that is still being carried out', async () => {
    const store = await openLog();
    await store.persist({ entries: entries(1, 10_001) });
    await Promise.all([
      store.persist({ entries: [], cutBefore: 10_000 }),
      store.persist({ truncateFrom: 10_000, entries: [] }),
      store.persist({ entries: [entry(20_000)] }),
    ]);
    expect((await reopen(store)).boot).toMatchObject({ firstIndex: 20_000, lastIndex: 20_000 });
  });

  it('carries out a large cut over several syncs and uses the space again', async () => {
    const store = await openLog({ mapBytesMax: 32 * MIB });
    const before = store.usedBytes();
    for (let from = 1; from < 10_001; from += 1_000) await store.persist({ entries: entries(from, from + 1_000) });
    const full = store.usedBytes();
    await store.persist({ entries: [], cutBefore: 10_000 });
    const again = await reopen(store);
    expect(again.boot).toMatchObject({ firstIndex: 10_000, lastIndex: 10_000 });
    expect(again.usedBytes() - before).toBeLessThan((full - before) / 5);
  });

  it('resolves in the order of the calls and syncs waiting writes together', async () => {
    const flushes: number[] = [];
    const store = await openLog({ onFlush: (_, bytes) => flushes.push(bytes) });
    const order: number[] = [];
    const writes: Promise<void>[] = [];
    for (let index = 1; index <= 200; index++) {
      writes.push(store.persist({ entries: [entry(index)] }).then(() => void order.push(index)));
      if (index === 100) await writes[0];
    }
    expect(store.queuedBytes).toBeGreaterThan(0);
    await Promise.all(writes);
    expect(order).toEqual(Array.from({ length: 200 }, (_, offset) => offset + 1));
    expect(flushes.length).toBeLessThan(10);
    expect(store.queuedBytes).toBe(0);
  });

  it('refuses what would overfill its queue, keeps nothing of it and goes on', async () => {
    const store = await openLog({ queueBytesMax: 1_000 });
    const large = store.persist({ entries: [entry(1, 'x'.repeat(2_000))] });
    await expect(store.persist({ entries: [entry(2)] })).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    await large;
    await store.persist({ entries: [entry(2, 'later')] });
    expect(texts(store, 2, 3)).toEqual(['later']);
  });

  it.each<[string, LogWrite]>([
    ['a gap', { entries: [entry(5)] }],
    ['an index that is there', { entries: [entry(3)] }],
    ['a truncation below the first entry', { truncateFrom: 1, entries: [] }],
  ])('asserts that entries follow one another: %s', async (_, write) => {
    const store = await openLog();
    await store.persist({ entries: entries(2, 4) });
    expect(() => void store.persist(write)).toThrow('assertion failed');
  });

  it('asserts that reads stay inside the log', async () => {
    const store = await openLog();
    await store.persist({ entries: entries(1, 4) });
    expect(() => store.read(3, 5, MIB)).toThrow('assertion failed');
  });

  it('fails for good when the log is full, and says so', async () => {
    const store = await openLog({ mapBytesMax: 4 * MIB });
    const block = 'x'.repeat(MIB);
    const full = /limit of 4194304 bytes/;
    await expect(
      (async () => {
        for (let index = 1; index < 10; index++) await store.persist({ entries: [entry(index, block)] });
      })(),
    ).rejects.toThrow(full);
    await expect(store.persist({ hardState: { term: 9, votedFor: null }, entries: [] })).rejects.toThrow(full);
    stores.pop();
  });

  it('refuses a log with a gap', async () => {
    const store = await openLog();
    await store.persist({ entries: entries(1, 10) });
    await store.close();
    stores.pop();
    const environment = await Environment.open(dir, { kind: 'log', mapBytesMax: 64 * MIB, writeDeadlineMs: 10_000 });
    await environment.write((db) => {
      void db.remove(7);
    }, 0);
    await environment.close();
    await expect(openLog()).rejects.toThrow(/misses entry 7 of \[1, 9\]/);
    await expect(openLog()).rejects.toThrow(StorageError); // the refusal released the directory
  });

  it('refuses a newer format and a state in the place of a log', async () => {
    const environment = await Environment.open(dir, { kind: 'log', mapBytesMax: 64 * MIB, writeDeadlineMs: 10_000 });
    await environment.write((db) => {
      void db.put(0, Buffer.from('{"kind":"log","version":99}'));
    }, 0);
    await environment.close();
    await expect(openLog()).rejects.toThrow(/has format 99, this release knows 1/);
    const other = join(dir, 'state');
    const state = await Environment.open(other, { kind: 'state', mapBytesMax: 64 * MIB, writeDeadlineMs: 10_000 });
    await state.close();
    await expect(LogStore.open(other, options)).rejects.toThrow(/holds a state, not a log/);
  });

  it.each<[string, (file: Buffer) => Buffer]>([
    ['no database', () => Buffer.alloc(9_999, 'x')],
    ['one byte', (file) => file.subarray(0, 1)],
    ['one page', (file) => file.subarray(0, 4_096)],
    ['the first two pages', (file) => file.subarray(0, 8_192)],
    ['far too short', (file) => withLastPage(file, 1_000_000n)],
    ['a wiped second page', (file) => Buffer.from(file).fill(0, 4_096, 8_192)],
  ])('refuses a damaged data file instead of crashing: %s', async (_, damage) => {
    const store = await openLog();
    await store.persist({ entries: entries(1, 300) });
    await store.close();
    stores.pop();
    const path = join(dir, 'data.mdb');
    writeFileSync(path, damage(readFileSync(path)));
    await expect(openLog()).rejects.toThrow(/data\.mdb is damaged/);
    await expect(openLog()).rejects.toThrow(StorageError);
  });

  it('belongs to one opener at a time', async () => {
    const store = await openLog();
    await expect(openLog()).rejects.toThrow(/stop the other process that uses the data directory .* \(process \d+\)/);
    await reopen(store);
  });
});
