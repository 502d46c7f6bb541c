/** SIGTERM of one coordinator after the other under load: a planned stop costs nobody an election time-out. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Random } from '../base/random.ts';
import { violations } from './history.ts';
import { LoadClient } from './load-client.ts';
import { readReplica } from './replica.ts';
import { TestCluster } from './test-cluster.ts';
import { until } from './until.ts';

/** Below the shortest election time-out of the default profile. */
const SILENCE_MS_MAX = 1_000;
const WATCHED_MS = 2_500;
const ROUNDS = 3;
const TIMEOUT_MS = 90_000;

let cluster: TestCluster;
let client: LoadClient;

beforeAll(async () => {
  cluster = await TestCluster.start({ coordinators: 3, workers: 0 });
  client = new LoadClient({
    servers: cluster.servers,
    random: Random.stream(77, 'rolling restart'),
    loops: 6,
    itemsPerBatch: 5,
    pauseMs: 5,
    payload: (index) => ({ event_type: 'visit', index }),
    name: 'rolling',
  });
}, 60_000);

afterAll(async () => {
  await Promise.allSettled([client.finish()]);
  await cluster.end();
}, 60_000);

/** The longest time after `momentMs` without an acknowledgement. */
function silenceMs(momentMs: number, endMs: number): number {
  const times = client.acknowledgements.map(({ answeredMs }) => answeredMs).filter((time) => time >= momentMs);
  const points = [momentMs, ...times.sort((a, b) => a - b), endMs];
  return Math.max(...points.slice(1).map((time, i) => time - points[i]!));
}

describe('SIGTERM of the leader', () => {
  it(
    'hands the leadership on: messages are acknowledged again well before an election time-out',
    async () => {
      const silences: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        await until('messages are acknowledged', 15_000, () => {
          const moment = performance.now() - 100;
          return Promise.resolve(client.acknowledgements.some(({ answeredMs }) => answeredMs > moment) || undefined);
        });
        const leader = await until('a leader', 15_000, () => cluster.processes.leader());
        const momentMs = performance.now();
        expect(await cluster.processes.kill(leader, 'SIGTERM')).toBe(true);
        await delay(WATCHED_MS);
        silences.push(Math.round(silenceMs(momentMs, performance.now())));
        expect(await until('another leader', 5_000, () => cluster.processes.leader())).not.toBe(leader);
        await cluster.processes.restart(leader);
        await until('it has caught up', 15_000, async () => {
          const all = await Promise.all(cluster.coordinators.map((id) => cluster.status(id)));
          const indexes = all.map(({ applied_index: index }) => index);
          return Math.max(...indexes) - Math.min(...indexes) < 100 ? true : undefined;
        });
      }
      process.stdout.write(`longest silence after SIGTERM of the leader, ms: ${silences.join(' ')}\n`);
      expect(Math.max(...silences)).toBeLessThan(SILENCE_MS_MAX);
      await client.finish();
      const replica = await readReplica(cluster.servers[0]!, 'linearizable');
      expect(violations(client.sent, replica)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
