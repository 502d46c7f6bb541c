import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Random } from '../../base/random.ts';
import { membershipOf } from '../core/raft/membership.ts';
import { ANCHOR_KEY } from '../core/state/keys.ts';
import { StateMachine } from '../core/state/machine.ts';
import { INDEX_JUMP } from '../core/state/refounding.ts';
import { nodeHost } from '../io/host.ts';
import { LogStore } from '../io/lmdb/log-store.ts';
import { StateStore } from '../io/lmdb/state-store.ts';
import { readBackup } from './backup-file.ts';
import { BackupError } from './backup-format.ts';
import { inspectData } from './inspect.ts';
import { planRecovery, type Recovered, recoverData } from './recover.ts';
import { receiveBackup } from './receive-backup.ts';
import { restoreBackup } from './restore.ts';
import { entriesOf, exampleReplica, TEST_CLUSTER_ID, TEST_TERM, testBackup, writeData } from './test-data.ts';
import { verifyData } from './verify.ts';

const MAP = { mapBytesMax: 64 * 1024 * 1024 };
const MESSAGES = 5;
const entries = entriesOf(exampleReplica(MESSAGES));
const LAST = entries.length;
const CLUSTER = { nodeId: 'c2', operator: 'ops' };

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'distric-restore-'));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

async function backedUp(clusterId?: string): Promise<string> {
  const file = join(root, 'shop.backup');
  writeFileSync(file, await testBackup(root, clusterId));
  return file;
}

/** The state as a node finds it at its start. */
async function opened<T>(dir: string, look: (machine: StateMachine) => T): Promise<T> {
  const state = await StateStore.open(join(dir, 'state'), MAP);
  try {
    return look(new StateMachine(nodeHost, state));
  } finally {
    await state.close();
  }
}

function tokensOf(machine: StateMachine): number[] {
  const instances = Array.from({ length: MESSAGES }, (_, i) => machine.instances.get(`m${String(i + 1)}-1`));
  return instances.flatMap((instance) => instance?.tasks.map(({ token }) => token) ?? []);
}

describe('readBackup', () => {
  it('tells what is in it', async () => {
    const file = await backedUp();
    const progress: number[] = [];
    const summary = await readBackup(file, undefined, (done, total) => progress.push(done / total));
    expect(summary.header).toMatchObject({
      cluster_id: TEST_CLUSTER_ID,
      index: LAST,
      membership: membershipOf(['c1', 'c2', 'c3']),
    });
    expect(summary.counts).toMatchObject({ messages: MESSAGES, instances: MESSAGES, rules: 1 });
    expect(progress.at(-1)).toBe(1);
  });

  it('refuses a header that is not of this state', async () => {
    const file = await backedUp('another');
    await expect(readBackup(file)).rejects.toThrow(/header is not that of the state/);
  });
});

describe('receiveBackup', () => {
  async function* inPieces(bytes: Buffer): AsyncGenerator<Uint8Array> {
    for (let offset = 0; offset < bytes.length; offset += 1_000) {
      yield await Promise.resolve(bytes.subarray(offset, offset + 1_000));
    }
  }

  it('keeps it for its owner only, once it is whole', async () => {
    const bytes = readFileSync(await backedUp());
    const file = join(root, 'kept.backup');
    expect((await receiveBackup(inPieces(bytes), file)).index).toBe(LAST);
    expect(readFileSync(file).equals(bytes)).toBe(true);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    await expect(receiveBackup(inPieces(bytes), file)).rejects.toThrow(/is there already/);
  });

  it('keeps nothing of one that was cut off or damaged', async () => {
    const bytes = readFileSync(await backedUp());
    const file = join(root, 'kept.backup');
    await expect(receiveBackup(inPieces(bytes.subarray(0, -1)), file)).rejects.toThrow(/cut off/);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    await expect(receiveBackup(inPieces(bytes), file)).rejects.toThrow(/is damaged/);
    expect(readdirSync(root).filter((name) => name.startsWith('kept'))).toEqual([]);
  });
});

describe('restoreBackup', () => {
  it('makes a new cluster of one voter with everything in it, and tokens above every old one', async () => {
    const dir = join(root, 'new');
    mkdirSync(dir);
    const restored = await restoreBackup(await backedUp(), dir, CLUSTER);
    expect(restored.index).toBe(LAST + INDEX_JUMP);
    expect(readdirSync(root).filter((name) => name.includes('restoring'))).toEqual([]);
    expect(statSync(dir).mode & 0o077).toBe(0);
    expect(await verifyData(dir)).toMatchObject({
      ok: true,
      log: { first_index: restored.index, last_index: restored.index },
    });
    const summary = await inspectData(dir);
    expect(summary).toMatchObject({
      cluster_id: restored.cluster_id,
      term: TEST_TERM + 1,
      voted_for: null,
      membership: membershipOf(['c2']),
      counts: { messages: MESSAGES, instances: MESSAGES, workers: 0, running_instances: 3 },
    });
    expect(summary.cluster_id).not.toBe(TEST_CLUSTER_ID);
    await opened(dir, (machine) => {
      expect(machine.instances.readyCount).toBe(3);
      expect(machine.instances.runningCount).toBe(0);
      expect(Math.max(...tokensOf(machine))).toBeLessThan(restored.index);
    });
  });

  it('leaves a directory alone that holds something', async () => {
    const file = await backedUp();
    const dir = join(root, 'new');
    mkdirSync(dir);
    writeFileSync(join(dir, 'precious'), '');
    await expect(restoreBackup(file, dir, CLUSTER)).rejects.toThrow(/is not empty/);
    expect(readdirSync(dir)).toEqual(['precious']);
  });

  it('refuses a file with a flipped bit or a missing end, and leaves nothing behind', async () => {
    const file = await backedUp();
    const intact = readFileSync(file);
    const random = new Random(11);
    const dir = join(root, 'new');
    for (let i = 0; i < 12; i++) {
      const damaged = Buffer.from(intact);
      const at = random.integer(0, intact.length - 1);
      if (i % 2 === 0) damaged[at] = (damaged[at] ?? 0) ^ (1 << random.integer(0, 7));
      writeFileSync(file, i % 2 === 0 ? damaged : intact.subarray(0, at));
      await expect(readBackup(file)).rejects.toThrow(BackupError);
      await expect(restoreBackup(file, dir, CLUSTER)).rejects.toThrow(BackupError);
      expect(existsSync(dir)).toBe(false);
    }
    expect(readdirSync(root).filter((name) => name.startsWith('new'))).toEqual([]);
  });
});

describe('recoverData', () => {
  const APPLIED = LAST - 3;

  async function survivor(): Promise<string> {
    const dir = join(root, 'survivor');
    await writeData(dir, entries, APPLIED);
    return dir;
  }

  async function recovered(dir: string): Promise<Recovered> {
    return recoverData(dir, await planRecovery(dir, 'c2'), 'ops');
  }

  it('tells first what there is to go on from', async () => {
    const dir = await survivor();
    expect(await planRecovery(dir, 'c2')).toMatchObject({
      cluster_id: TEST_CLUSTER_ID,
      term: TEST_TERM,
      applied_index: APPLIED,
      last_index: LAST,
      membership: membershipOf(['c1', 'c2', 'c3']),
    });
    expect((await inspectData(dir)).cluster_id).toBe(TEST_CLUSTER_ID);
  });

  it('makes a cluster of one voter of all that this disk has, its tail included', async () => {
    const dir = await survivor();
    const { index, cluster_id: clusterId } = await recovered(dir);
    expect(index).toBe(LAST + INDEX_JUMP);
    expect(await verifyData(dir)).toMatchObject({ ok: true, log: { first_index: index, last_index: index } });
    expect(await inspectData(dir)).toMatchObject({
      cluster_id: clusterId,
      term: TEST_TERM + 1,
      membership: membershipOf(['c2']),
      counts: { messages: MESSAGES, workers: 0 },
    });
    await opened(dir, (machine) => {
      expect(machine.audit.list({ limit: 1 }, undefined, undefined)).toMatchObject({
        entries: [
          { action: 'cluster.recover', actor: { kind: 'offline', id: 'ops' }, before: { cluster_id: TEST_CLUSTER_ID } },
        ],
      });
    });
  });

  it('is whole again when it is repeated after a crash before the log was restarted', async () => {
    const dir = await survivor();
    const first = await recovered(dir);
    // What a crash leaves: the new state with its anchor, the old log under the raised term.
    const log = await LogStore.open(join(dir, 'log'), { ...MAP, queueBytesMax: MAP.mapBytesMax });
    await log.persist({ restart: true, entries: entries.map(({ index, bytes }) => ({ index, bytes })) });
    await log.close();
    expect((await verifyData(dir)).ok).toBe(true);
    expect(await planRecovery(dir, 'c2')).toMatchObject({ cluster_id: first.cluster_id, last_index: first.index });
    const second = await recovered(dir);
    expect(second.index).toBe(first.index + INDEX_JUMP);
    expect(await verifyData(dir)).toMatchObject({ ok: true, log: { first_index: second.index } });
  });

  it('refuses a node that is no member, and data that is damaged', async () => {
    const dir = await survivor();
    await expect(planRecovery(dir, 'c9')).rejects.toThrow(/"c9" is no member.*c1, c2, c3/);
    const state = await StateStore.open(join(dir, 'state'), MAP);
    await state.commit(new Map([[ANCHOR_KEY, Buffer.from('no entry')]]));
    await state.close();
    await expect(recovered(dir)).rejects.toThrow(/is damaged.*anchor/);
  });
});
