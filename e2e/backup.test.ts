/**
 * A cluster is lost, and goes on: from a backup that was taken under load, and from the one disk of three that is left.
 * Both are new clusters, which have everything they promised, run what was running again, and grow as any other.
 */
import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { AuditList, InstanceResource, MemberList } from '../api/rest.ts';
import { Random } from '../base/random.ts';
import { captureIo } from '../cli/captured-io.ts';
import { run } from '../cli/program.ts';
import { Joiner } from '../cli/joiner.ts';
import { LoadClient } from './load-client.ts';
import { readReplica, type Replica } from './replica.ts';
import { call, get, put } from './rest-call.ts';
import { TestCluster } from './test-cluster.ts';
import { until } from './until.ts';

const FIRST = 'coordinator-1';
const STEP_MS = 60_000;
const TIMEOUT_MS = 180_000;
/** Longer than it takes to back up a small state: there are always attempts under way. */
const TASK_MS = 1_000;

let room: string;
const clusters: TestCluster[] = [];
const clients: LoadClient[] = [];

beforeAll(async () => {
  room = await mkdtemp(path.join(tmpdir(), 'distric-backup-'));
});

afterAll(async () => {
  await Promise.allSettled(clients.map((client) => client.finish()));
  for (const cluster of clusters) await cluster.end();
  await rm(room, { recursive: true, force: true });
}, 60_000);

async function start(coordinators: number, prepare?: (dataDir: string) => Promise<void>): Promise<TestCluster> {
  const cluster = await TestCluster.start({ coordinators, workers: 1, auth: 'disabled' }, prepare);
  clusters.push(cluster);
  return cluster;
}

/** The output of a command that succeeds, as with -o json. */
async function distric<T>(...argv: string[]): Promise<T> {
  const io = captureIo({ cwd: room });
  expect([await run([...argv, '-o', 'json'], io), io.err()]).toEqual([0, expect.any(String)]);
  return JSON.parse(io.out()) as T;
}

async function define(server: string): Promise<void> {
  const tasks = [{ id: 'wait', type: 'delay', config: { ms: TASK_MS } }];
  await put(server, '/workflow-definitions/fulfil', { id: 'fulfil', tasks });
  await put(server, '/rules/orders', {
    id: 'orders',
    conditions: { field: 'event_type', op: 'equals', value: 'order' },
    actions: [{ workflow: 'fulfil' }],
  });
}

function load(cluster: TestCluster, name: string): LoadClient {
  const client = new LoadClient({
    servers: cluster.servers,
    random: Random.stream(811, name),
    loops: 2,
    itemsPerBatch: 5,
    pauseMs: 20,
    payload: (index) => ({ event_type: index % 25 === 0 ? 'order' : 'visit', index }),
    name,
  });
  clients.push(client);
  return client;
}

function acknowledged(client: LoadClient): string[] {
  return [...client.sent.values()].flatMap((sent) => sent.acknowledged.map(({ messageId }) => messageId));
}

async function underLoad(client: LoadClient, messages: number): Promise<void> {
  await until(`${String(messages)} messages`, STEP_MS, () =>
    Promise.resolve(acknowledged(client).length >= messages ? true : undefined),
  );
}

async function allEnded(server: string): Promise<Replica> {
  return until('every instance ends', STEP_MS, async () => {
    const replica = await readReplica(server, 'linearizable');
    return [...replica.instances.values()].every(({ status }) => status !== 'RUNNING') ? replica : undefined;
  });
}

async function expectNewWorkDone(server: string): Promise<void> {
  const { status, body } = await call<{ instances: string[] }>(server, 'POST', '/messages', {
    body: JSON.stringify({ event_type: 'order', marker: 'new' }),
  });
  expect([status, body.instances]).toEqual([202, [expect.any(String)]]);
  await until('new work is done', STEP_MS, async () => {
    const instance = await get<InstanceResource>(server, `/instances/${body.instances[0] ?? ''}`);
    return instance.status === 'COMPLETED' ? true : undefined;
  });
}

/** A new member, with nothing on its disk, gets the whole state. */
async function expectToGrow(cluster: TestCluster): Promise<void> {
  const joiner = await Joiner.launch('joiner', path.join(room, 'joiner'), cluster.processes.node(FIRST).peer);
  const { peer, http } = joiner;
  try {
    const server = cluster.server(FIRST);
    await distric<MemberList>('members', 'add', 'joiner', '--address', peer, '--http-address', http, '-s', server);
    const wanted = await readReplica(server, 'linearizable');
    const copy = await until('the new member has the state', STEP_MS, async () => {
      const replica = await readReplica(`http://${http}`, 'stale');
      return replica.messages.size === wanted.messages.size ? replica : undefined;
    });
    expect([...copy.instances.keys()].sort()).toEqual([...wanted.instances.keys()].sort());
  } finally {
    await joiner.kill();
  }
}

function dataOf(dataDir: string, id = FIRST): string {
  return path.join(dataDir, id, 'data');
}

describe('a backup that was taken under load', () => {
  it(
    'is restored into a new cluster, which has all that was acknowledged before, and goes on with it',
    async () => {
      const old = await start(3);
      await define(old.servers[0]!);
      const client = load(old, 'backup');
      await underLoad(client, 150);
      await until('attempts are under way', STEP_MS, async () => {
        const { counts } = await old.status(FIRST);
        return counts.tasks_running > 0 ? true : undefined;
      });
      const before = acknowledged(client);
      const leader = await until('a leader', STEP_MS, () => old.processes.leader());
      const follower = old.coordinators.find((id) => id !== leader)!;
      const header = await distric<{ index: number; cluster_id: string }>(
        'backup',
        'create',
        'a.backup',
        '-s',
        old.server(follower),
      );
      await client.finish();
      const { entries } = await get<AuditList>(old.server(follower), '/audit?action=cluster.backup');
      expect(entries).toHaveLength(1);
      expect((await stat(path.join(room, 'a.backup'))).mode & 0o777).toBe(0o600);
      const { applied_index: appliedLast } = await old.status(leader);
      await old.end();

      expect(await distric('backup', 'verify', 'a.backup')).toMatchObject({ header: { index: header.index } });
      const cluster = await start(1, async (dataDir) => {
        await distric('backup', 'restore', 'a.backup', '--data-dir', dataOf(dataDir), '--node-id', FIRST);
      });
      const server = cluster.server(FIRST);
      const status = await cluster.status(FIRST, 'linearizable');
      expect(status.cluster_id).not.toBe(header.cluster_id);
      expect(status.applied_index).toBeGreaterThan(appliedLast);
      const replica = await allEnded(server);
      for (const id of before) expect(replica.messages.has(id)).toBe(true);
      for (const { status: ended } of replica.instances.values()) expect(ended).toBe('COMPLETED');
      // What was running when the backup was taken ran again, under tokens that the old cluster never came near.
      const tasks = [...replica.instances.values()].flatMap((instance) => instance.tasks);
      const again = tasks.filter(({ redispatches }) => redispatches > 0);
      expect(again.length).toBeGreaterThan(0);
      for (const { token } of again) expect(token).toBeGreaterThan(2 ** 42);
      await expectNewWorkDone(server);
      await cluster.processes.kill(FIRST);
      await cluster.processes.restart(FIRST);
      await expectNewWorkDone(server);
    },
    TIMEOUT_MS,
  );
});

describe('a cluster that lost two of three disks', () => {
  it(
    'is recovered from the third, serves, and grows',
    async () => {
      const old = await start(3);
      await define(old.servers[0]!);
      const client = load(old, 'recover');
      await underLoad(client, 150);
      await client.finish();
      await until('all have everything', STEP_MS, async () => {
        const all = await Promise.all(old.coordinators.map((id) => old.status(id)));
        return new Set(all.map(({ applied_index: index }) => index)).size === 1 ? true : undefined;
      });
      const kept = path.join(room, 'kept');
      for (const id of old.coordinators) await old.processes.kill(id);
      await rename(dataOf(old.processes.dataDir), kept);
      await old.end();

      expect(await distric('data', 'verify', kept)).toMatchObject({ ok: true });
      const { cluster_id: oldId } = await distric<{ cluster_id: string }>('data', 'inspect', kept);
      const { cluster_id: newId } = await distric<{ cluster_id: string }>(
        'data',
        'recover',
        kept,
        '--node-id',
        FIRST,
        '--yes',
      );
      const cluster = await start(1, async (dataDir) => {
        await mkdir(path.join(dataDir, FIRST), { recursive: true });
        await rename(kept, dataOf(dataDir));
      });
      const server = cluster.server(FIRST);
      expect((await cluster.status(FIRST, 'linearizable')).cluster_id).toBe(newId);
      expect(newId).not.toBe(oldId);
      const replica = await allEnded(server);
      for (const id of acknowledged(client)) expect(replica.messages.has(id)).toBe(true);
      const { entries } = await get<AuditList>(server, '/audit?action=cluster.recover');
      expect(entries).toEqual([expect.objectContaining({ target: `cluster/${newId}` })]);
      await expectNewWorkDone(server);
      await expectToGrow(cluster);
    },
    TIMEOUT_MS,
  );
});
