/**
 * The leader is killed (−9) or stopped (SIGSTOP) again and again under load, with the fast profile, in clusters of three
 * and of five: what was acknowledged is there, once, rules behave as one copy of each would, and each time messages are
 * acknowledged again soon.
 *
 * DISTRIC_LEADER_KILLS: how often in all; the figures are printed.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { RULE as RULE_MODEL } from '../api/models.ts';
import { violations as unlinearizable } from '../base/linearizability.ts';
import { Random } from '../base/random.ts';
import { violations } from './history.ts';
import { LoadClient } from './load-client.ts';
import { differences, readReplica } from './replica.ts';
import { put } from './rest-call.ts';
import { RuleClient } from './rule-client.ts';
import { TestCluster } from './test-cluster.ts';
import { until } from './until.ts';

const SEED = 8_128;
const SIZES = [3, 5];
const KILLS = Number(process.env['DISTRIC_LEADER_KILLS'] ?? 8);
/** Of one cluster: the start, the kills, and reading everything at the end. */
const TIMEOUT_MS = 120_000 + KILLS * 15_000;
/** Far above what is reported: a busy machine must not fail this. */
const RECOVERY_MS_MAX = 20_000;

/** One for each coordinator, so that what waits at a stopped one holds up nobody else. */
function startLoad(cluster: TestCluster): LoadClient[] {
  return cluster.coordinators.map(
    (id) =>
      new LoadClient({
        servers: [cluster.server(id)],
        random: Random.stream(SEED, `load ${id}`),
        loops: 2,
        itemsPerBatch: 5,
        pauseMs: 15,
        payload: (index) => ({ event_type: 'visit', index }),
        name: id,
      }),
  );
}

/** The leader that all name, all being up. */
async function agreedLeader(cluster: TestCluster): Promise<string> {
  return until('all name the same leader', 30_000, async () => {
    const all = await Promise.all(cluster.coordinators.map((id) => cluster.status(id)));
    const [leader, ...others] = new Set(all.map(({ leader: name }) => name));
    return others.length === 0 ? (leader ?? undefined) : undefined;
  });
}

/** How long it takes until a message sent after the leader's end is acknowledged. */
async function endLeader(cluster: TestCluster, clients: LoadClient[], random: Random, stops: boolean): Promise<number> {
  const leader = await agreedLeader(cluster);
  await delay(random.integer(100, 600));
  const endedMs = performance.now();
  expect(await cluster.processes.kill(leader, stops ? 'SIGSTOP' : 'SIGKILL')).toBe(true);
  const recovered = until('messages are acknowledged again', RECOVERY_MS_MAX, () => {
    const times = clients.flatMap((client) => client.recoveryMs(endedMs) ?? []);
    return Promise.resolve(times.length === 0 ? undefined : Math.min(...times));
  });
  // It comes back at a random moment: before, during or after the election.
  const returned = delay(random.integer(0, 1_500)).then(async () => {
    if (stops) await cluster.processes.kill(leader, 'SIGCONT');
    else await cluster.processes.restart(leader);
  });
  const [recoveryMs] = await Promise.all([recovered, returned]);
  return recoveryMs;
}

function report(size: number, kind: string, recoveries: number[]): void {
  const sorted = recoveries.map(Math.round).sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  const text = `median ${at(0.5)}, p99 ${at(0.99)}, longest ${sorted.at(-1)}`;
  process.stdout.write(`${size} members, ${kind} of the leader ${sorted.length} times: recovery in ms: ${text}\n`);
}

describe('the end of the leader under load, with the fast profile', () => {
  it.each(SIZES)(
    'loses nothing acknowledged and is overcome soon, with %i members',
    async (size) => {
      const cluster = await TestCluster.start({ coordinators: size, workers: 0, profile: 'fast' });
      const random = Random.stream(SEED, `faults ${size}`);
      const running: { finish(): Promise<void> }[] = [];
      try {
        await put(cluster.servers[0]!, '/workflow-definitions/idle', { id: 'idle', tasks: [{ id: 't', type: 'log' }] });
        const rules = new RuleClient(cluster.servers, Random.stream(SEED, 'rules'), 'idle', ['r-1', 'r-2', 'r-3'], 2);
        const clients = startLoad(cluster);
        running.push(rules, ...clients);
        const killed: number[] = [];
        const stopped: number[] = [];
        for (let run = 0; run < Math.ceil(KILLS / SIZES.length); run++) {
          const stops = run % 2 === 1;
          (stops ? stopped : killed).push(await endLeader(cluster, clients, random, stops));
        }
        await agreedLeader(cluster);
        await Promise.all(running.map((client) => client.finish()));
        if (killed.length > 0) report(size, 'kill -9', killed);
        if (stopped.length > 0) report(size, 'SIGSTOP', stopped);

        const linearizable = await readReplica(cluster.servers[0]!, 'linearizable');
        const sent = new Map(clients.flatMap((client) => [...client.sent]));
        const calls = [...rules.history.values()].flat().length;
        process.stdout.write(`${sent.size} messages acknowledged, ${calls} calls on rules\n`);
        expect(violations(sent, linearizable)).toEqual([]);
        expect(unlinearizable(RULE_MODEL, rules.history)).toEqual([]);
        for (const server of cluster.servers) {
          await until('every replica has the same', 30_000, async () => {
            const found = differences(linearizable, await readReplica(server, 'stale'));
            return found.length === 0 ? true : undefined;
          });
        }
      } finally {
        await Promise.allSettled(running.map((client) => client.finish()));
        await cluster.end();
      }
    },
    TIMEOUT_MS,
  );
});
