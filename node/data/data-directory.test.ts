import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { membershipOf } from '../core/raft/membership.ts';
import { ANCHOR_KEY, META_KEY } from '../core/state/keys.ts';
import type { Writes } from '../core/state/store.ts';
import { Environment, recordBytes } from '../io/lmdb/environment.ts';
import { LogStore } from '../io/lmdb/log-store.ts';
import { StateStore } from '../io/lmdb/state-store.ts';
import { exportData, type ExportedRecord } from './export.ts';
import { inspectData } from './inspect.ts';
import { entriesOf, exampleReplica, TEST_CLUSTER_ID, TEST_TERM, writeData } from './test-data.ts';
import { verifyData } from './verify.ts';
import { verifyInChild } from './verify-in-child.ts';

const MAP = { mapBytesMax: 64 * 1024 * 1024, writeDeadlineMs: 10_000 };
const MESSAGES = 4;
const replica = exampleReplica(MESSAGES);
const entries = entriesOf(replica);
const LAST = entries.length;
/** The entries behind it are all that is about the last message. */
const APPLIED = LAST - 3;
const KEPT = MESSAGES - 1;

let dir = '';
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'distric-data-'));
  await writeData(dir, entries, APPLIED);
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

async function changeState(writes: Writes): Promise<void> {
  const store = await StateStore.open(join(dir, 'state'), MAP);
  await store.commit(writes);
  await store.close();
}

async function changeLog(fill: (db: Environment['db']) => void): Promise<void> {
  const environment = await Environment.open(join(dir, 'log'), { kind: 'log', ...MAP });
  await environment.write(fill, 0);
  await environment.close();
}

async function rawState(key: string): Promise<string> {
  const store = await StateStore.open(join(dir, 'state'), MAP);
  const bytes = store.get(key);
  await store.close();
  return Buffer.from(bytes ?? []).toString('utf8');
}

describe('verifyData', () => {
  it('finds nothing wrong with what a node left, and changes nothing', async () => {
    const report = await verifyData(dir);
    expect(report).toMatchObject({
      ok: true,
      faults: [],
      log: { first_index: 1, last_index: LAST },
      state: { applied_index: APPLIED },
      replayed_entries: LAST - APPLIED,
    });
    expect(await verifyData(dir)).toEqual(report);
  });

  it('gives two nodes at the same applied index the same content hash, and others another', async () => {
    const others = [join(dir, 'same'), join(dir, 'behind')] as const;
    await writeData(others[0], entries.slice(0, APPLIED), APPLIED);
    await writeData(others[1], entries, APPLIED - 1);
    const [own, same, behind] = [await verifyData(dir), await verifyData(others[0]), await verifyData(others[1])];
    expect(same.state).toEqual(own.state);
    expect(behind.state.content_sha256).not.toBe(own.state.content_sha256);
  });

  it('refuses a directory that a node has open, and one that is none', async () => {
    const log = await LogStore.open(join(dir, 'log'), { ...MAP, queueBytesMax: 1_000 });
    await expect(verifyData(dir)).rejects.toThrow(/stop the other process/);
    await log.close();
    await expect(verifyData(join(dir, 'nowhere'))).rejects.toThrow(/there is no log in/);
  });

  it.each([
    [2, /newer release/],
    [0, /take a backup there, and restore it/],
  ])('refuses format %i with the way out', async (version, words) => {
    await changeLog((db) => {
      void db.put(0, recordBytes({ kind: 'log', version }));
    });
    await expect(verifyData(dir)).rejects.toThrow(words);
    await expect(LogStore.open(join(dir, 'log'), { ...MAP, queueBytesMax: 1_000 })).rejects.toThrow(words);
  });

  it('names a missing, a damaged, a misplaced and an unchained entry', async () => {
    const damaged = Buffer.from(entries[2]!.bytes);
    damaged[60] = (damaged[60] ?? 0) ^ 1;
    await changeLog((db) => {
      void db.remove(2);
      void db.put(3, damaged);
      void db.put(6, entries[8]!.bytes);
    });
    const { ok, faults } = await verifyData(dir);
    expect(ok).toBe(false);
    expect(faults).toEqual([
      'log: entries 2 to 2 are missing',
      'log: entry 3 is damaged: its checksum is not that of its content',
      'log: entry 6 says that it is entry 9',
      'log: entry 6 does not continue the entry before it',
      'log: entry 7 does not continue the entry before it',
    ]);
  });

  it('names a log that ends before what the state has applied, unless it is to restart there', async () => {
    await changeLog((db) => {
      for (let index = APPLIED; index <= LAST; index++) void db.remove(index);
    });
    expect((await verifyData(dir)).faults).toEqual([
      `log: it ends at ${String(APPLIED - 1)}, and the state has applied ${String(APPLIED)}`,
    ]);
    await changeState(new Map([[ANCHOR_KEY, entries[APPLIED - 1]!.bytes]]));
    expect((await verifyData(dir)).ok).toBe(true);
  });

  it('names a term that the hard state does not know', async () => {
    await changeLog((db) => {
      void db.put('hard-state', recordBytes({ term: TEST_TERM - 1, votedFor: null }));
    });
    expect((await verifyData(dir)).faults[0]).toMatch(/entry 1 is of term 4, which this node never saw/);
  });

  it('names records that contradict their keys and indexes that point nowhere', async () => {
    const item = Buffer.from('no message');
    const instance = JSON.parse(await rawState('i/m1-1')) as { id: string; status: string };
    await changeState(
      new Map<string, Uint8Array | null>([
        ['m/m2', item],
        ['a/m1-1', null],
        ['a/ghost', Buffer.alloc(0)],
        ['d/default/key-1', null],
        ['i/m2-1', recordBytes({ ...instance, id: 'm9-1' })],
        ['v/w/0000000000000001', null],
        ['z/new', item],
        ['o/m7-1/t', recordBytes({})],
      ]),
    );
    const { faults } = await verifyData(dir);
    const about = (key: string): string => faults.find((fault) => fault.includes(`state: ${key}`)) ?? '';
    expect(about('m/m2')).toMatch(/can't be read/);
    expect(about('i/m1-1')).toMatch(/runs revision 1 of workflow "w", which is not there/);
    expect(about('a/ghost')).toMatch(/points to no running instance/);
    expect(about('x/')).toMatch(/points to no key that ends then/);
    expect(about('i/m2-1')).toMatch(/says that its id is "m9-1"/);
    expect(about('w/w')).toMatch(/lacks its revision 1/);
    expect(about('z/new')).toMatch(/belongs to nothing/);
    expect(about('o/m7-1/t')).toMatch(/is of no instance/);
    expect(faults).toContain('state: it counts 3 dedupKeys, and has 2');
  });

  it('names a running instance that is in no index, and tells no more than it can hold', async () => {
    await changeState(new Map([['a/m1-1', null]]));
    expect((await verifyData(dir)).faults).toEqual(['state: i/m1-1 is running and not in the index of those']);
    const junk = Array.from({ length: 200 }, (_, i) => [`z/${String(i)}`, Buffer.alloc(1)] as const);
    await changeState(new Map(junk));
    const report = await verifyData(dir);
    expect(report.faults).toHaveLength(100);
    expect(report.more_faults).toBe(true);
  });

  it('names an entry that can be read but not applied', async () => {
    const meta = JSON.parse(await rawState(META_KEY)) as Record<string, unknown>;
    await changeState(new Map([[META_KEY, recordBytes({ ...meta, timeMs: 10_000_000_000_000 })]]));
    const { faults } = await verifyData(dir);
    expect(faults).toEqual([expect.stringContaining(`entry ${String(APPLIED + 1)} can't be applied: `)]);
  });
});

describe('verifyInChild', () => {
  it('reports as verifyData does, and refuses as it does', async () => {
    expect(await verifyInChild(dir)).toEqual(await verifyData(dir));
    await expect(verifyInChild(join(dir, 'nowhere'))).rejects.toThrow(/there is no log in/);
  });

  it('outlives a state whose pages lead nowhere', async () => {
    const file = join(dir, 'state', 'data.mdb');
    const bytes = readFileSync(file);
    bytes.fill(0xff, 2 * 4096); // all but the two pages that say where the rest is
    writeFileSync(file, bytes);
    await expect(verifyInChild(dir)).rejects.toThrow();
  });
});

describe('inspectData', () => {
  it('tells what is there', async () => {
    expect(await inspectData(dir)).toMatchObject({
      cluster_id: TEST_CLUSTER_ID,
      data_uuid: expect.stringMatching(/^[0-9a-f-]{36}$/),
      boots: 1,
      format_version: 1,
      term: TEST_TERM,
      voted_for: 'c1',
      log: { first_index: 1, last_index: LAST, last_term: TEST_TERM, used_bytes: expect.any(Number) },
      state: { applied_index: APPLIED },
      membership: membershipOf(['c1', 'c2', 'c3']),
      membership_index: 2,
      counts: { messages: KEPT, instances: KEPT, rules: 1, workflows: 1, workers: 1, running_instances: 2 },
    });
  });
});

describe('exportData', () => {
  it('gives every record of the state, and no secret', async () => {
    await changeState(
      new Map([
        [
          'y/k1',
          recordBytes({
            id: 'k1',
            name: 'ci',
            role: 'admin',
            hash: 'SECRET-HASH',
            createdAt: 0,
            previousHash: 'SECRET-HASH',
            previousUntil: null,
            expiresAt: null,
            revokedAt: null,
            rateLimit: null,
            lastUsedAt: null,
          }),
        ],
      ]),
    );
    const records: ExportedRecord[] = [];
    for await (const record of exportData(dir)) records.push(record);
    const types = records.map(({ type }) => type);
    const count = (type: string): number => types.filter((other) => other === type).length;
    expect(count('message')).toBe(KEPT);
    expect(count('instance')).toBe(KEPT);
    expect([count('rule'), count('workflow'), count('workflow_revision'), count('key')]).toEqual([1, 1, 1, 1]);
    expect(records.find(({ id }) => id === 'm3')).toMatchObject({ payload: { n: 3 }, matched_rules: ['r@1'] });
    const text = JSON.stringify(records);
    expect(text).not.toContain('SECRET-HASH');
    expect(text).not.toContain('default/key-1');
  });

  it('lets go of the directory when the reader stops early', async () => {
    for await (const { type } of exportData(dir)) {
      expect(type).toBe('instance');
      break;
    }
    expect((await verifyData(dir)).ok).toBe(true);
  });
});

describe('a data file that was cut off', () => {
  it.each(['log', 'state'])('is refused in words: %s', async (name) => {
    truncateSync(join(dir, name, 'data.mdb'), 5_000);
    await expect(verifyData(dir)).rejects.toThrow(/is damaged/);
  });
});
