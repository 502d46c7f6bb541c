/**
 * Kill −9 of coordinators under load: what was acknowledged is there, everywhere, once; and a power cut of all of them
 * leaves the whole state. Calls side by side on the same rules are answered as if one copy of each had answered them all.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ClusterStatus } from '../api/rest.ts';
import { Random } from '../base/random.ts';
import { violations as unlinearizable } from '../base/linearizability.ts';
import { RULE as RULE_MODEL } from '../api/models.ts';
import { violations } from './history.ts';
import { LoadClient } from './load-client.ts';
import { differences, readReplica, type Replica } from './replica.ts';
import { get, put } from './rest-call.ts';
import { RuleClient } from './rule-client.ts';
import { TestCluster } from './test-cluster.ts';
import { until } from './until.ts';

const SEED = 20_261;
const KILLS = 10;
/** The load lasts until there is so much. */
const MESSAGES_MIN = 1_000;
const CALLS_MIN = 100;
const RECOVERY_MS_MAX = 20_000;
const TIMEOUT_MS = 480_000;

const WORKFLOW = {
  id: 'fulfil',
  tasks: [
    { id: 'check', type: 'witness', retry: 2 },
    { id: 'reshape', type: 'transform', config: { expression: '{"marker": message.marker}' } },
    { id: 'ship', type: 'witness', depends_on: ['check', 'reshape'], retry: 2 },
  ],
};
const RULE = {
  id: 'orders',
  conditions: { field: 'event_type', op: 'equals', value: 'order' },
  actions: [{ workflow: 'fulfil' }],
};

let cluster: TestCluster;
const random = Random.stream(SEED, 'faults');
const clients: LoadClient[] = [];

function startLoad(name: string): LoadClient {
  const client = new LoadClient({
    servers: cluster.servers,
    random: Random.stream(SEED, name),
    loops: 3,
    itemsPerBatch: 10,
    pauseMs: 50,
    payload: (index) => ({ event_type: index % 15 === 0 ? 'order' : 'visit', index }),
    name,
  });
  clients.push(client);
  return client;
}

function sentByAll(): ReadonlyMap<string, LoadClient['sent'] extends Map<string, infer T> ? T : never> {
  return new Map(clients.flatMap(({ sent }) => [...sent]));
}

async function leader(): Promise<string> {
  return until('a leader', 30_000, () => cluster.processes.leader());
}

/** Waits until every instance has ended and all coordinators have applied the same entries. */
async function quiescence(): Promise<void> {
  await until('all instances end and all coordinators catch up', 60_000, async () => {
    const all = await Promise.all(cluster.coordinators.map((id) => cluster.status(id)));
    const isEqual = new Set(all.map(({ applied_index: index }) => index)).size === 1;
    return isEqual && all.every(({ counts }) => counts.instances_active === 0) ? true : undefined;
  });
}

async function readAll(): Promise<Replica[]> {
  return Promise.all(cluster.servers.map((server) => readReplica(server, 'stale')));
}

/** What of the status must survive a restart. */
function lasting({ cluster: name, catalog_version: catalogVersion, counts }: ClusterStatus) {
  return { name, catalogVersion, counts };
}

async function documents(server: string): Promise<unknown[]> {
  return Promise.all(['/rules', '/workflow-definitions'].map((path) => get(server, `${path}?consistency=stale`)));
}

async function killAndRestart(client: LoadClient, run: number): Promise<{ ofLeader: boolean; recoveryMs: number }> {
  await delay(random.integer(200, 1_200));
  const leading = await leader();
  const ids = cluster.coordinators;
  const victim = run % 2 === 0 ? leading : ids[random.integer(0, ids.length - 1)]!;
  const killedMs = performance.now();
  expect(await cluster.processes.kill(victim)).toBe(true);
  const answered = until('messages are acknowledged again', 60_000, () => Promise.resolve(client.recoveryMs(killedMs)));
  // Back at a random moment: before, during or after the election.
  const restarted = delay(random.integer(0, 2_000)).then(() => cluster.processes.restart(victim));
  const [recoveryMs] = await Promise.all([answered, restarted]);
  return { ofLeader: victim === leading, recoveryMs: Math.round(recoveryMs) };
}

beforeAll(async () => {
  const pluginDirs = [fileURLToPath(new URL('plugins', import.meta.url))];
  cluster = await TestCluster.start({ coordinators: 3, workers: 2, pluginDirs });
  await put(cluster.servers[0]!, '/workflow-definitions/fulfil', WORKFLOW);
  await put(cluster.servers[0]!, '/rules/orders', RULE);
}, 60_000);

afterAll(async () => {
  await Promise.allSettled(clients.map((client) => client.finish()));
  await cluster.end();
}, 60_000);

describe('kill -9 of coordinators', () => {
  it(
    'loses no acknowledged message and commits one result per task, ten times at random moments under load',
    async () => {
      const client = startLoad('first');
      const ids = ['shared-0', 'shared-1', 'shared-2'];
      const rules = new RuleClient(cluster.servers, Random.stream(SEED, 'rules'), 'fulfil', ids, 2);
      const kills: { ofLeader: boolean; recoveryMs: number }[] = [];
      for (let run = 0; run < KILLS; run++) kills.push(await killAndRestart(client, run));
      await until('there is enough to judge', 90_000, () => {
        const calls = [...rules.history.values()].flat().length;
        return Promise.resolve((client.sent.size > MESSAGES_MIN && calls > CALLS_MIN) || undefined);
      });
      await Promise.all([client.finish(), rules.finish()]);
      await quiescence();

      expect(unlinearizable(RULE_MODEL, rules.history)).toEqual([]);
      const [first, ...others] = await readAll();
      expect(violations(sentByAll(), first!)).toEqual([]);
      for (const other of others) expect(differences(first!, other)).toEqual([]);
      const linearizable = await readReplica(cluster.servers[1]!, 'linearizable');
      expect(differences(first!, linearizable)).toEqual([]);

      expect(first!.messages.size).toBeGreaterThan(MESSAGES_MIN);
      expect(first!.instances.size).toBeGreaterThan(MESSAGES_MIN / 20);
      const leaderKills = kills.filter(({ ofLeader }) => ofLeader).map(({ recoveryMs }) => recoveryMs);
      expect(leaderKills.length).toBeGreaterThanOrEqual(KILLS / 2);
      process.stdout.write(
        `failover after kill -9 of the leader, ms: ${leaderKills.sort((a, b) => a - b).join(' ')}\n`,
      );
      expect(Math.max(...leaderKills)).toBeLessThan(RECOVERY_MS_MAX);
    },
    TIMEOUT_MS,
  );

  it(
    'has the whole state back after all three were killed at once, and goes on',
    async () => {
      await quiescence();
      const before = await readReplica(cluster.servers[0]!, 'stale');
      const statusBefore = lasting(await cluster.status(cluster.coordinators[0]!));
      const documentsBefore = await documents(cluster.servers[0]!);

      await Promise.all(cluster.coordinators.map((id) => cluster.processes.kill(id)));
      expect(cluster.coordinators.some((id) => cluster.processes.isRunning(id))).toBe(false);
      await Promise.all(cluster.coordinators.map((id) => cluster.processes.restart(id)));
      await quiescence();

      for (const [position, replica] of (await readAll()).entries()) {
        expect(differences(before, replica)).toEqual([]);
        expect(lasting(await cluster.status(cluster.coordinators[position]!))).toEqual(statusBefore);
        expect(await documents(cluster.servers[position]!)).toEqual(documentsBefore);
      }

      const client = startLoad('second');
      await until('new messages are acknowledged', 30_000, () =>
        Promise.resolve(client.acknowledgements.length > 20 ? true : undefined),
      );
      await client.finish();
      await quiescence();
      const [first, ...others] = await readAll();
      expect(violations(sentByAll(), first!)).toEqual([]);
      for (const other of others) expect(differences(first!, other)).toEqual([]);
      expect(first!.instances.size).toBeGreaterThan(before.instances.size);
    },
    TIMEOUT_MS,
  );
});
