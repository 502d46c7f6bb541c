/** The state replaced as a whole, and every state that a crash can leave on the way. */
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { StateDisk } from './state-disk.ts';
import { StateStore } from './state-store.ts';

const MIB = 1024 * 1024;
const options = { mapBytesMax: 64 * MIB };

let dir: string;
let disk: StateDisk;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'distric-state-disk-'));
  disk = await StateDisk.open(dir, options);
  await disk.current.commit(writes({ a: 'old', b: 'old' }));
});

afterEach(async () => {
  await disk.close();
  rmSync(dir, { recursive: true, force: true });
});

function writes(values: Record<string, string>): Map<string, Uint8Array> {
  return new Map(Object.entries(values).map(([key, text]) => [key, Buffer.from(text)]));
}

function rows(store: StateStore): string[] {
  return [...store.range('', '~')].map(({ key, value }) => `${key}=${Buffer.from(value).toString()}`);
}

async function reopen(): Promise<StateDisk> {
  await disk.close();
  disk = await StateDisk.open(dir, options);
  return disk;
}

async function fillNew(store: StateStore): Promise<void> {
  await store.commit(writes({ b: 'new' }));
  await store.commit(writes({ c: 'new' }));
}

describe('StateDisk', () => {
  it('keeps its state over a restart', async () => {
    expect(rows((await reopen()).current)).toEqual(['a=old', 'b=old']);
  });

  it('replaces everything, can still read the old state until told, and goes on with the new one', async () => {
    const old = disk.current;
    const store = await disk.replace(fillNew);
    expect(rows(old)).toEqual(['a=old', 'b=old']);
    expect(store).toBe(disk.current);
    disk.retire();
    await store.commit(writes({ d: 'later' }));
    expect(rows((await reopen()).current)).toEqual(['b=new', 'c=new', 'd=later']);
    expect(readdirSync(dir)).toEqual(['state.1']);
  });

  it('replaces more than once', async () => {
    for (let generation = 1; generation <= 11; generation++) {
      await disk.replace((store) => store.commit(writes({ generation: String(generation) })));
      disk.retire();
    }
    expect(rows((await reopen()).current)).toEqual(['generation=11']);
  });

  it('stays as it was when filling the new one fails', async () => {
    const failing = disk.replace(async (store) => {
      await fillNew(store);
      throw new Error('torn');
    });
    await expect(failing).rejects.toThrow('torn');
    await disk.current.commit(writes({ d: 'later' }));
    expect(rows((await reopen()).current)).toEqual(['a=old', 'b=old', 'd=later']);
    expect(readdirSync(dir)).toEqual(['state']);
    await disk.replace(fillNew);
    expect(rows(disk.current)).toEqual(['b=new', 'c=new']);
  });

  it('is not let go while a reader is pinned', async () => {
    const pinned = disk.current.pin();
    await disk.replace(fillNew);
    disk.retire();
    const iterator = pinned.rows[Symbol.iterator]();
    expect(iterator.next().value).toMatchObject({ key: 'a' });
    await disk.current.commit(writes({ d: 'later' }));
    expect(iterator.next().value).toMatchObject({ key: 'b' });
    expect(iterator.next().done).toBe(true);
    expect(existsSync(join(dir, 'state'))).toBe(true);
    pinned.release();
    await reopen();
    expect(readdirSync(dir)).toEqual(['state.1']);
  });
});

describe('a crash while the state is replaced', () => {
  it('before the rename leaves the old state, whole', async () => {
    await disk.close();
    const unfinished = await StateStore.open(join(dir, 'state.new'), options);
    await fillNew(unfinished);
    await unfinished.close();
    disk = await StateDisk.open(dir, options);
    expect(rows(disk.current)).toEqual(['a=old', 'b=old']);
    expect(readdirSync(dir)).toEqual(['state']);
  });

  it.each([
    ['before the old one is removed', ['data.mdb', 'lock.mdb', 'lock', 'owner']],
    ['while the old one is being removed', ['lock']],
    ['when the directory of the old one is empty', []],
  ])('after the rename leaves the new state, whole: %s', async (_, left) => {
    await disk.close();
    const saved = join(dir, 'saved');
    cpSync(join(dir, 'state'), saved, { recursive: true });
    disk = await StateDisk.open(dir, options);
    await disk.replace(fillNew);
    await disk.close();
    cpSync(saved, join(dir, 'state'), {
      recursive: true,
      filter: (source) => source === saved || left.some((name) => source.endsWith(`/${name}`)),
    });
    rmSync(saved, { recursive: true });
    disk = await StateDisk.open(dir, options);
    expect(rows(disk.current)).toEqual(['b=new', 'c=new']);
    expect(readdirSync(dir)).toEqual(['state.1']);
  });
});
