/**
 * A coordinator that was away while the others cut their log: it comes back by a snapshot, also when it is killed in the
 * middle of installing one, and then holds exactly what the others hold.
 */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Random } from '../base/random.ts';
import { violations } from './history.ts';
import { LoadClient } from './load-client.ts';
import { differences, readReplica, type Replica } from './replica.ts';
import { call, get, put } from './rest-call.ts';
import { TestCluster } from './test-cluster.ts';
import { until } from './until.ts';

/** More than the log must have before it is cut. */
const ENTRIES = 12_500;
/** The load lasts until there is so much. */
const MESSAGES_MIN = 1_000;
const CALLS_AT_ONCE = 64;
/** Makes the state large enough for an installation to take a while. */
const PADDING = 'p'.repeat(4_000);
const TIMEOUT_MS = 360_000;
/** The moment to kill in may be missed. */
const KILL_ROUNDS = 3;
const SEED = 505;

let cluster: TestCluster;
const clients: LoadClient[] = [];

beforeAll(async () => {
  const pluginDirs = [fileURLToPath(new URL('plugins', import.meta.url))];
  cluster = await TestCluster.start({ coordinators: 3, workers: 1, pluginDirs });
  await put(cluster.servers[0]!, '/workflow-definitions/fulfil', {
    id: 'fulfil',
    tasks: [{ id: 't', type: 'witness' }],
  });
  await put(cluster.servers[0]!, '/rules/orders', {
    id: 'orders',
    conditions: { field: 'event_type', op: 'equals', value: 'order' },
    actions: [{ workflow: 'fulfil' }],
  });
}, 60_000);

afterAll(async () => {
  await Promise.allSettled(clients.map((client) => client.finish()));
  await cluster.end();
}, 60_000);

function startLoad(name: string, servers: readonly string[]): LoadClient {
  const client = new LoadClient({
    servers,
    random: Random.stream(SEED, name),
    loops: 4,
    itemsPerBatch: 20,
    pauseMs: 10,
    payload: (index) => ({ event_type: index % 25 === 0 ? 'order' : 'visit', index, padding: PADDING }),
    name,
  });
  clients.push(client);
  return client;
}

/** Entries of one each, the quickest there are: each cancels an instance that does not exist. */
async function fillLog(server: string, entries: number): Promise<void> {
  let left = entries;
  const fill = async (): Promise<void> => {
    while (left-- > 0) {
      const { status } = await call(server, 'POST', '/workflows/nobody/cancel');
      if (status !== 404) throw new Error(`cancelling what does not exist was answered by ${status}`);
    }
  };
  await Promise.all(Array.from({ length: CALLS_AT_ONCE }, fill));
}

async function firstLogIndex(id: string): Promise<number> {
  const response = await fetch(`${cluster.observability(id)}/metrics`);
  const line = /^distric_raft_index\{[^}]*position="first"[^}]*\} (\d+)$/m.exec(await response.text());
  return Number(line?.[1]);
}

async function aFollower(): Promise<string> {
  const leading = await until('a leader', 30_000, () => cluster.processes.leader());
  return cluster.coordinators.find((id) => id !== leading)!;
}

/** Stops `id`, and lets the others go on until what it needs is cut away. */
async function leaveBehind(id: string, name: string): Promise<void> {
  const { applied_index: reached } = await cluster.status(id);
  await cluster.processes.kill(id);
  const others = cluster.coordinators.filter((other) => other !== id);
  const client = startLoad(
    name,
    others.map((other) => cluster.server(other)),
  );
  await fillLog(cluster.server(others[0]!), ENTRIES);
  await until('there is enough to judge', 60_000, () => Promise.resolve(client.sent.size > MESSAGES_MIN || undefined));
  await client.finish();
  await until('the others cut their log', 60_000, async () => {
    const firsts = await Promise.all(others.map(firstLogIndex));
    return firsts.every((first) => first > reached) ? true : undefined;
  });
}

async function installed(id: string): Promise<number> {
  return (await cluster.logged(id, 'a snapshot was installed')).length;
}

async function quiescence(): Promise<void> {
  await until('all instances end and all coordinators catch up', 60_000, async () => {
    const all = await Promise.all(cluster.coordinators.map((id) => cluster.status(id)));
    const isEqual = new Set(all.map(({ applied_index: index }) => index)).size === 1;
    return isEqual && all.every(({ counts }) => counts.instances_active === 0) ? true : undefined;
  });
}

async function expectAllEqual(): Promise<Replica> {
  await quiescence();
  const [first, ...others] = await Promise.all(cluster.servers.map((server) => readReplica(server, 'stale')));
  expect(violations(new Map(clients.flatMap(({ sent }) => [...sent])), first!)).toEqual([]);
  for (const other of others) expect(differences(first!, other)).toEqual([]);
  const paths = ['/rules?consistency=stale', '/workflow-definitions?consistency=stale'];
  const documents = await Promise.all(
    cluster.servers.map((server) => Promise.all(paths.map((documentPath) => get(server, documentPath)))),
  );
  for (const other of documents) expect(other).toEqual(documents[0]);
  for (const id of cluster.coordinators) expect(await cluster.logged(id, 'state hashes differ')).toEqual([]);
  return first!;
}

/** Undefined when the kill came too late: the installation was through. */
async function killInstalling(round: number): Promise<{ away: string; before: number; data: string } | undefined> {
  const away = await aFollower();
  await leaveBehind(away, `second-${round}`);
  const before = await installed(away);
  const data = path.join(cluster.processes.dataDir, away, 'data');
  const restarted = cluster.processes.restart(away).catch(() => undefined);
  await until('it installs', 60_000, async () => {
    // Polled without a pause: the moment is short.
    for (let i = 0; i < 100; i++) {
      if (existsSync(path.join(data, 'state.new', 'data.mdb'))) return true;
      await new Promise(setImmediate);
    }
    return (await installed(away)) > before ? true : undefined;
  });
  await cluster.processes.kill(away);
  await restarted;
  if ((await installed(away)) === before && readdirSync(data).includes('state.new')) return { away, before, data };
  await cluster.processes.restart(away);
  await quiescence();
  return undefined;
}

describe('a coordinator that needs entries which are cut away', () => {
  it(
    'catches up by a snapshot and then holds what the others hold',
    async () => {
      const away = await aFollower();
      await leaveBehind(away, 'first');
      await cluster.processes.restart(away);
      await until('the snapshot is installed', 60_000, async () => ((await installed(away)) > 0 ? true : undefined));
      const { messages, instances } = await expectAllEqual();
      expect(messages.size).toBeGreaterThan(MESSAGES_MIN);
      expect(instances.size).toBeGreaterThan(MESSAGES_MIN / 50);

      // It is a full member again: with it and one other there is a majority, and what it says lasts.
      const other = cluster.coordinators.find((id) => id !== away)!;
      await cluster.processes.kill(other);
      const client = startLoad('pair', [cluster.server(away)]);
      await until('messages are acknowledged', 60_000, () =>
        Promise.resolve(client.acknowledgements.length > 10 ? true : undefined),
      );
      await client.finish();
      await cluster.processes.restart(other);
      await cluster.processes.restart(away);
      await expectAllEqual();
    },
    TIMEOUT_MS,
  );

  it(
    'and is killed in the middle of installing, starts from its old state and catches up all the same',
    async () => {
      let cut: { away: string; before: number; data: string } | undefined;
      for (let round = 1; cut === undefined && round <= KILL_ROUNDS; round++) cut = await killInstalling(round);
      if (cut === undefined) throw new Error(`the installation was over before the kill, ${KILL_ROUNDS} times`);
      const { away, before, data } = cut;

      await cluster.processes.restart(away);
      await until('the snapshot is installed', 60_000, async () =>
        (await installed(away)) > before ? true : undefined,
      );
      await expectAllEqual();
      const names = readdirSync(data).filter((name) => name.startsWith('state'));
      expect(names).toHaveLength(1);
    },
    TIMEOUT_MS,
  );
});
