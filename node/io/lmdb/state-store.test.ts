import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { StateStore, type StateStoreOptions } from './state-store.ts';

const MIB = 1024 * 1024;

let dir: string;
let store: StateStore;

async function openState(change: Partial<StateStoreOptions> = {}): Promise<StateStore> {
  return StateStore.open(dir, { mapBytesMax: 64 * MIB, ...change });
}

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'distric-state-'));
  store = await openState();
});

afterEach(async () => {
  await store.close();
  rmSync(dir, { recursive: true, force: true });
});

function writes(values: Record<string, string | null>): Map<string, Uint8Array | null> {
  return new Map(Object.entries(values).map(([key, text]) => [key, text === null ? null : Buffer.from(text)]));
}

function rows(from: string, to: string, reverse = false): string[] {
  return [...store.range(from, to, reverse)].map(({ key, value }) => `${key}=${Buffer.from(value).toString()}`);
}

describe('StateStore', () => {
  it('gives back what was committed, after a restart too', async () => {
    await store.commit(writes({ a: '1', b: '', c: '3' }));
    await store.commit(writes({ a: null, absent: null, c: 'x'.repeat(100_000) }));
    await store.close();
    store = await openState();
    expect(store.get('a')).toBeUndefined();
    expect(store.get('b')).toHaveLength(0);
    expect(store.get('c')).toHaveLength(100_000);
    expect(rows('', 'c')).toEqual(['b=']);
  });

  it('takes effect in the order of the calls', async () => {
    const commits = [1, 2, 3, 4].map(async (value) => store.commit(writes({ n: String(value) })));
    const empty = store.commit(new Map());
    await empty;
    expect(rows('', '~')).toEqual(['n=4']);
    await Promise.all(commits);
  });

  it('reads [from, to) both ways', async () => {
    await store.commit(writes({ a: '1', b: '2', ba: '3', c: '4' }));
    expect(rows('b', 'c')).toEqual(['b=2', 'ba=3']);
    expect(rows('b', 'c', true)).toEqual(['ba=3', 'b=2']);
    expect(rows('', '~', true)).toEqual(['c=4', 'ba=3', 'b=2', 'a=1']);
    expect(rows('c', 'b')).toEqual([]);
    expect(rows('b', 'b', true)).toEqual([]);
  });

  it('orders keys bytewise, control characters and long keys included, like a sorted map', async () => {
    const key = fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(key, { maxLength: 40 }),
        key,
        key,
        fc.boolean(),
        async (keys, from, to, reverse) => {
          const everything = [...store.range('', '\u00ff')].map((row) => [row.key, null] as const);
          await store.commit(new Map([...everything, ...keys.map((name) => [name, Buffer.from(name)] as const)]));
          const expected = keys.filter((name) => name >= from && name < to).sort();
          if (reverse) expected.reverse();
          const found = [...store.range(from, to, reverse)];
          expect(found.map((row) => row.key)).toEqual(expected);
          expect(found.map((row) => Buffer.from(row.value).toString())).toEqual(expected);
        },
      ),
      { numRuns: 100 },
    );
    const long = 'k'.repeat(1_977);
    const left = [...store.range('', '\u00ff')].map((row) => [row.key, null] as const);
    await store.commit(new Map([...left, [long, Buffer.from('long')]]));
    expect(rows('k', 'l')).toEqual([`${long}=long`]);
  });

  it.each(['', 'é', 'k'.repeat(1_978)])('asserts that keys are ASCII of a bounded length: %j', (key) => {
    expect(() => void store.commit(writes({ fine: '1', [key]: '2' }))).toThrow('assertion failed');
    expect(store.get('fine')).toBeUndefined();
  });

  it('hands out values that later reads and commits leave alone', async () => {
    await store.commit(writes({ a: 'a'.repeat(50), b: 'b'.repeat(50_000) }));
    const kept = [...store.range('', '~')].map(({ value }) => value).concat(store.get('a') ?? []);
    await store.commit(writes({ a: 'z'.repeat(50_000), b: 'y'.repeat(50) }));
    store.get('a');
    rows('', '~');
    expect(kept.map((value) => Buffer.from(value).toString())).toEqual([
      'a'.repeat(50),
      'b'.repeat(50_000),
      'a'.repeat(50),
    ]);
  });

  it('reads lazily, and a range that was left early pins no pages', async () => {
    const value = 'v'.repeat(1_000);
    const keys = Array.from({ length: 500 }, (_, n) => `key/${String(n)}`);
    const commitAll = async (): Promise<void> =>
      store.commit(writes(Object.fromEntries(keys.map((key) => [key, value]))));
    await commitAll();
    const fileBytes: number[] = [];
    for (let round = 0; round < 40; round++) {
      for (const { key } of store.range('', '~')) if (key.endsWith('7')) break;
      await commitAll();
      fileBytes.push(store.fileBytes());
    }
    expect(fileBytes.at(-1)).toBe(fileBytes[10]);
  });

  it('fails for good when it is full, and says so', async () => {
    await store.close();
    store = await openState({ mapBytesMax: 2 * MIB });
    const before = writes({ small: '1' });
    await store.commit(before);
    const full = /the state has reached its limit of 2097152 bytes/;
    await expect(store.commit(writes({ large: 'x'.repeat(3 * MIB) }))).rejects.toThrow(full);
    await expect(store.commit(writes({ small: '2' }))).rejects.toThrow(full);
    expect(rows('', '~')).toEqual(['small=1']);
  });

  it('tells how long a commit took and how many keys it had', async () => {
    await store.close();
    const told: [number, number][] = [];
    store = await openState({ onCommit: (seconds, keys) => told.push([seconds, keys]) });
    await store.commit(writes({ a: '1', b: '2' }));
    expect(told).toEqual([[expect.any(Number), 2]]);
    expect(told[0]?.[0]).toBeGreaterThan(0);
  });

  it('counts a commit that takes too long as failed', async () => {
    await store.close();
    store = await openState({ commitDeadlineMs: 0 });
    const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`k${String(n)}`, 'x'.repeat(500)]));
    await expect(store.commit(writes(many))).rejects.toThrow(/took longer than 0 ms/);
  });
});
