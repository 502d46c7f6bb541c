/** SIGTERM of one coordinator after the other under load: a planned stop costs nobody an election time-out. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Random } from '../base/random.ts';
import { violations } from './history.ts';
import { LoadClient } from './load-client.ts';
import { readReplica } from './replica.ts';
import { TestCluster } from './test-cluster.ts';
import { until } from './until.ts';

/** Far beyond what is measured (some 100 ms): a busy machine must not fail it. That nobody waited is seen in the logs. */
const SILENCE_MS_MAX = 5_000;
const WATCHED_MS = 2_500;
const ROUNDS = 3;
const TIMEOUT_MS = 180_000;

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

/** Only a leader that still lives hears that it is one no longer: nobody waited for it to fall silent. */
async function handedOn(id: string): Promise<number> {
  return (await cluster.logged(id, '"msg":"leadership lost"')).length;
}

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
        await until('messages are acknowledged', 30_000, () => {
          const moment = performance.now() - 100;
          return Promise.resolve(client.acknowledgements.some(({ answeredMs }) => answeredMs > moment) || undefined);
        });
        const leader = await until('a leader', 30_000, () => cluster.processes.leader());
        const handedOnBefore = await handedOn(leader);
        const momentMs = performance.now();
        expect(await cluster.processes.kill(leader, 'SIGTERM')).toBe(true);
        await delay(WATCHED_MS);
        silences.push(Math.round(silenceMs(momentMs, performance.now())));
        await until('another leader', 30_000, async () => {
          const now = await cluster.processes.leader();
          return now !== undefined && now !== leader ? now : undefined;
        });
        await until('it has stopped', 60_000, () => Promise.resolve(!cluster.processes.isRunning(leader) || undefined));
        expect(await handedOn(leader)).toBeGreaterThan(handedOnBefore);
        await cluster.processes.restart(leader);
        await until('it has caught up', 60_000, async () => {
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
