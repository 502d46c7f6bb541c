/**
 * Coordinators and a worker on hosts of their own, and a network that loses, cuts, flaps, chokes, delays, reorders and
 * duplicates. What was acknowledged stays, and service is back within ten seconds of the end of each fault.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ClusterStatus } from '../../api/rest.ts';
import { Random } from '../../base/random.ts';
import { violations } from '../history.ts';
import { LoadClient } from '../load-client.ts';
import { differences, readReplica } from '../replica.ts';
import { get, put } from '../rest-call.ts';
import { until } from '../until.ts';
import { LabCluster } from './lab-cluster.ts';
import type { SwitchRecord } from './unruly-switch.ts';

const SEED = 4_711;
const FAULT_MS = 6_000;
/** The load lasts until there is so much. */
const MESSAGES_MIN = 500;
const RECOVERY_MS_MAX = 10_000;
const TIMEOUT_MS = 300_000;

const WORKFLOW = {
  id: 'fulfil',
  tasks: [
    { id: 'check', type: 'witness', retry: 5 },
    { id: 'ship', type: 'witness', depends_on: ['check'], retry: 5 },
  ],
};
const RULE = {
  id: 'orders',
  conditions: { field: 'event_type', op: 'equals', value: 'order' },
  actions: [{ workflow: 'fulfil' }],
};

let cluster: LabCluster;
let client: LoadClient | undefined;

async function leader(): Promise<string> {
  return until('a leader that a majority follows', 20_000, async () => {
    for (const server of cluster.servers) {
      const status = await get<ClusterStatus>(server, '/cluster/status?consistency=stale');
      if (status.answered_by === status.leader) return status.leader;
    }
    return undefined;
  });
}

function others(name: string): string[] {
  return cluster.coordinators.filter((other) => other !== name);
}

interface Fault {
  name: string;
  begin: (leader: string) => void | Promise<void>;
  /** Messages are acknowledged while it lasts, and not only after it. */
  keepsServing?: boolean;
}

/** Both ways: the host hears nobody, and since TCP needs answers nobody hears it for long. */
function isolate(name: string): void {
  cluster.lab.lose(name, 1);
}

const FAULTS: readonly Fault[] = [
  {
    name: '20 % of packets lost at every host',
    begin: () => {
      for (const name of cluster.lab.hosts.keys()) cluster.lab.lose(name, 0.2);
    },
  },
  {
    name: 'the leader hears one follower no more, one way',
    begin: (leading) => {
      const [follower = ''] = others(leading);
      cluster.lab.deafen(leading, follower);
    },
  },
  {
    name: 'the leader is cut off from everybody',
    begin: (leading) => {
      isolate(leading);
    },
  },
  {
    name: 'a follower flaps',
    begin: async (leading) => {
      const [follower = ''] = others(leading);
      for (let i = 0; i < 6; i++) {
        isolate(follower);
        await delay(400);
        cluster.lab.heal(follower);
        await delay(300);
      }
    },
  },
  {
    name: 'the leader has 256 kbit/s left',
    begin: (leading) => {
      cluster.lab.throttle(leading, 256);
    },
  },
  {
    name: '5 to 60 ms of delay for each packet, 5 % lost, 10 % reordered, 5 % duplicated',
    begin: () =>
      cluster.lab.disturb({ seed: SEED, loss: 0.05, reorder: 0.1, duplicate: 0.05, delay_ms: 5, jitter_ms: 55 }),
    keepsServing: true,
  },
  {
    name: 'every connection is reset, ten times',
    begin: async () => {
      for (let i = 0; i < 10; i++) {
        for (const name of cluster.lab.hosts.keys()) cluster.lab.reset(name);
        await delay(150);
        cluster.lab.healAll();
        await delay(300);
      }
    },
  },
];

/** What the unruly switch did, if there was one. */
async function endFault(): Promise<SwitchRecord | undefined> {
  cluster.lab.healAll();
  return cluster.lab.calm();
}

beforeAll(async () => {
  const pluginDir = fileURLToPath(new URL('../plugins', import.meta.url));
  cluster = await LabCluster.start(pluginDir);
  await put(cluster.servers[0] ?? '', '/workflow-definitions/fulfil', WORKFLOW);
  await put(cluster.servers[0] ?? '', '/rules/orders', RULE);
}, 90_000);

afterAll(async () => {
  await endFault();
  await client?.finish().catch(() => undefined);
  await cluster.stop();
}, 90_000);

describe('a network that fails', () => {
  it(
    'costs no acknowledged message, and service is back within ten seconds of the end of each fault',
    async () => {
      client = new LoadClient({
        servers: cluster.servers,
        random: Random.stream(SEED, 'load'),
        loops: 3,
        itemsPerBatch: 10,
        pauseMs: 50,
        payload: (index) => ({ event_type: index % 20 === 0 ? 'order' : 'visit', index }),
        name: 'net',
      });
      const recoveries: string[] = [];
      const records: SwitchRecord[] = [];
      for (const { name, begin, keepsServing } of FAULTS) {
        await begin(await leader());
        const begunMs = performance.now();
        await delay(FAULT_MS);
        if (keepsServing === true) {
          await until(`messages are acknowledged during: ${name}`, 60_000, () =>
            Promise.resolve(client?.recoveryMs(begunMs)),
          );
        }
        const record = await endFault();
        if (record !== undefined) records.push(record);
        const endedMs = performance.now();
        const recoveryMs = await until(`messages are acknowledged after: ${name}`, 3 * RECOVERY_MS_MAX, () =>
          Promise.resolve(client?.recoveryMs(endedMs)),
        );
        recoveries.push(`${String(Math.round(recoveryMs))} ms after: ${name}`);
        expect({ name, inTime: recoveryMs < RECOVERY_MS_MAX }).toEqual({ name, inTime: true });
      }
      process.stdout.write(`service back\n  ${recoveries.join('\n  ')}\n`);
      expect(records).toHaveLength(1);
      for (const { frames, lost, reordered, duplicated } of records) {
        expect(Math.min(frames, lost, reordered, duplicated)).toBeGreaterThan(10);
      }
      await until('there is enough to judge', 60_000, () =>
        Promise.resolve((client?.sent.size ?? 0) > MESSAGES_MIN || undefined),
      );
      await client.finish();
      await until('all instances end and all coordinators catch up', 60_000, async () => {
        const all = await Promise.all(
          cluster.servers.map((server) => get<ClusterStatus>(server, '/cluster/status?consistency=stale')),
        );
        const isEqual = new Set(all.map(({ applied_index: index }) => index)).size === 1;
        return isEqual && all.every(({ counts }) => counts.instances_active === 0) ? true : undefined;
      });
      const [first, ...rest] = await Promise.all(cluster.servers.map((server) => readReplica(server, 'stale')));
      if (first === undefined) throw new Error('there is a first coordinator');
      expect(violations(client.sent, first)).toEqual([]);
      for (const other of rest) expect(differences(first, other)).toEqual([]);
      expect(first.messages.size).toBeGreaterThan(MESSAGES_MIN);
      expect(first.instances.size).toBeGreaterThan(MESSAGES_MIN / 25);
    },
    TIMEOUT_MS,
  );
});
