/**
 * Nodes whose disks fail, as processes: power losses of the whole cluster, a sync that fails, a full disk, one that can
 * only be read. What was acknowledged is there afterwards, on every coordinator, once.
 *
 * `DISTRIC_POWER_CYCLES` sets the number of power losses; by default as many as fit POWER_MS.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Problem } from '../../api/rest.ts';
import { Random } from '../../base/random.ts';
import { violations } from '../history.ts';
import { LoadClient } from '../load-client.ts';
import { differences, readReplica, type Replica } from '../replica.ts';
import { call, put } from '../rest-call.ts';
import { TestCluster } from '../test-cluster.ts';
import { until } from '../until.ts';
import { buildDiskFaults, FaultyDisk } from './disk-faults.ts';

const SEED = 20_262;
const POWER_MS = 15_000;
const POWER_CYCLES_MIN = 3;
const CYCLES_ASKED = Number(process.env['DISTRIC_POWER_CYCLES'] ?? 0);
/** A cycle takes about two seconds on a quiet machine. */
const CYCLE_LIMIT_MS = 30_000;
const TIMEOUT_MS = 180_000 + CYCLES_ASKED * CYCLE_LIMIT_MS;
const MIB = 1024 * 1024;
/** Marks messages that are sent to see whether they are taken. */
const PROBE = 'probe';

const WORKFLOW = {
  id: 'reshape',
  tasks: [{ id: 'only', type: 'transform', config: { expression: '{"marker": message.marker}' } }],
};
const RULE = {
  id: 'orders',
  conditions: { field: 'event_type', op: 'equals', value: 'order' },
  actions: [{ workflow: 'reshape' }],
};

let libraryDir: string;
let cluster: TestCluster;
let client: LoadClient;
const clients: LoadClient[] = [];
const random = Random.stream(SEED, 'faults');

function diskOf(id: string): FaultyDisk {
  return new FaultyDisk(path.join(cluster.processes.dataDir, id));
}

async function leader(): Promise<string> {
  return until('a leader', 30_000, () => cluster.processes.leader());
}

async function aFollower(): Promise<string> {
  const leading = await leader();
  return cluster.coordinators.find((id) => id !== leading)!;
}

async function gone(id: string): Promise<void> {
  await until(`${id} ends`, 30_000, () => Promise.resolve(cluster.processes.isRunning(id) ? undefined : true));
}

/** Some messages that were sent after this call are acknowledged. */
async function progress(): Promise<void> {
  const sinceMs = performance.now();
  await until('messages are acknowledged', 30_000, () => Promise.resolve(client.recoveryMs(sinceMs)));
}

/** What the last process of a node said when it ended. */
async function lastWords(id: string): Promise<string> {
  const [last] = (await cluster.logged(id, '"level":"fatal"')).slice(-1);
  return JSON.stringify(last);
}

/** Unsynced writes that the power losses so far took back. */
function dropped(): number {
  return cluster.coordinators.reduce((sum, id) => sum + diskOf(id).counts().dropped, 0);
}

async function withoutProbes(server: string): Promise<Replica> {
  const replica = await readReplica(server, 'stale');
  for (const [id, { payload }] of replica.messages) {
    if ((payload as { marker: string }).marker === PROBE) replica.messages.delete(id);
  }
  return replica;
}

async function powerCycle(): Promise<void> {
  await progress();
  await delay(random.integer(0, 300)); // at any moment
  for (const id of cluster.coordinators) diskOf(id).set('powerOff');
  await Promise.all(cluster.coordinators.map(gone));
  for (const id of cluster.coordinators) diskOf(id).set('none');
  await Promise.all(cluster.coordinators.map((id) => cluster.processes.restart(id)));
}

beforeAll(async () => {
  libraryDir = await mkdtemp(path.join(tmpdir(), 'distric-faults-'));
  const env = buildDiskFaults(libraryDir);
  cluster = await TestCluster.start({ coordinators: 3, workers: 1, profile: 'fast', env });
  await put(cluster.servers[0]!, '/workflow-definitions/reshape', WORKFLOW);
  await put(cluster.servers[0]!, '/rules/orders', RULE);
  client = new LoadClient({
    servers: cluster.servers,
    random: Random.stream(SEED, 'load'),
    loops: 4,
    itemsPerBatch: 10,
    pauseMs: 10,
    payload: (index) => ({ event_type: index % 15 === 0 ? 'order' : 'visit', index }),
    name: 'load',
  });
  clients.push(client);
}, 60_000);

afterAll(async () => {
  await Promise.allSettled(clients.map((one) => one.finish()));
  await cluster.end();
  await rm(libraryDir, { recursive: true, force: true });
}, 60_000);

describe('a disk that fails', () => {
  it(
    'a sync that fails ends the node at once, without another try, and the others go on',
    async () => {
      const victim = await leader();
      await progress();
      diskOf(victim).set('failSync');
      await gone(victim);
      // One of the log and one of the state at most.
      expect(diskOf(victim).counts().met).toBeGreaterThanOrEqual(1);
      expect(diskOf(victim).counts().met).toBeLessThanOrEqual(2);
      expect(await lastWords(victim)).toMatch(
        /writing the (log|state) in .* failed, check the disk: .*this node cannot go on/,
      );
      await progress();
      diskOf(victim).set('none');
      await cluster.processes.restart(victim);
      await progress();
    },
    TIMEOUT_MS,
  );

  it(
    'a write that fails ends the node, too',
    async () => {
      const victim = await aFollower();
      diskOf(victim).set('failWrite');
      await gone(victim);
      expect(await lastWords(victim)).toMatch(
        /writing the (log|state) in .* failed, check the disk: .*EIO|Input\/output/,
      );
      await progress();
      diskOf(victim).set('none');
      await cluster.processes.restart(victim);
    },
    TIMEOUT_MS,
  );

  it(
    'a disk that fills up is told of before it is full: messages are refused everywhere until there is room again',
    async () => {
      const victim = await aFollower();
      diskOf(victim).leave(350 * MIB);
      const refusal = await until('messages are refused', 30_000, async () => {
        const answer = await call<Problem>(cluster.server(await leader()), 'POST', '/messages', {
          body: JSON.stringify({ marker: PROBE }),
        });
        return answer.status === 503 && answer.body.code === 'STORAGE_FULL' ? answer : undefined;
      });
      expect(refusal.body.detail).toMatch(/ is 8\d % full, its soft limit is 80 %/);
      expect(refusal.body.detail.startsWith(`the disk of ${victim} `)).toBe(true);
      expect(refusal.headers.get('retry-after')).toMatch(/^\d+$/);
      diskOf(victim).leave(undefined);
      await progress();
      expect(cluster.processes.isRunning(victim)).toBe(true);
    },
    TIMEOUT_MS,
  );

  it(
    'a disk that is full from one moment to the next ends the node or is refused, and it comes back with room',
    async () => {
      const victim = await aFollower();
      diskOf(victim).leave(0);
      const body = JSON.stringify({ marker: PROBE, text: 'x'.repeat(MIB / 4) });
      await until('it ends, or messages are refused', 30_000, async () => {
        if (!cluster.processes.isRunning(victim)) return true;
        const { status, body: problem } = await call<Problem>(cluster.server(await leader()), 'POST', '/messages', {
          body,
        });
        return status === 503 && problem.code === 'STORAGE_FULL' ? true : undefined;
      });
      if (!cluster.processes.isRunning(victim)) {
        expect(await lastWords(victim)).toMatch(/failed, check the disk: .*(ENOSPC|No space left)/);
      }
      diskOf(victim).leave(undefined);
      if (!cluster.processes.isRunning(victim)) await cluster.processes.restart(victim);
      await progress();
    },
    TIMEOUT_MS,
  );

  it(
    'a disk that can only be read is told of at the start',
    async () => {
      const victim = await aFollower();
      await cluster.processes.kill(victim);
      diskOf(victim).set('readOnly');
      await expect(cluster.processes.restart(victim)).rejects.toThrow(/EROFS|[Rr]ead-only file system/);
      await progress();
      diskOf(victim).set('none');
      await cluster.processes.restart(victim);
    },
    TIMEOUT_MS,
  );

  it(
    'power losses of all coordinators at any moment lose nothing that was acknowledged',
    async () => {
      const startedMs = performance.now();
      const isOver = (cycles: number): boolean => {
        if (CYCLES_ASKED > 0) return cycles >= CYCLES_ASKED;
        // Until the power went off when something was at stake, too.
        return cycles >= POWER_CYCLES_MIN && performance.now() - startedMs >= POWER_MS && dropped() > 0;
      };
      let cycles = 0;
      for (; !isOver(cycles); cycles++) await powerCycle();
      await progress();
      await client.finish();
      await until('all instances end and all coordinators catch up', 60_000, async () => {
        const all = await Promise.all(cluster.coordinators.map((id) => cluster.status(id)));
        const isEqual = new Set(all.map(({ applied_index: index }) => index)).size === 1;
        return isEqual && all.every(({ counts }) => counts.instances_active === 0) ? true : undefined;
      });

      const [first, ...others] = await Promise.all(cluster.servers.map(withoutProbes));
      expect(violations(client.sent, first!)).toEqual([]);
      for (const other of others) expect(differences(first!, other)).toEqual([]);
      const count = [...client.sent.values()].filter(({ acknowledged }) => acknowledged.length > 0).length;
      process.stdout.write(
        `${cycles} power losses, ${dropped()} unsynced writes dropped, 0 of ${count} messages lost\n`,
      );
    },
    TIMEOUT_MS,
  );
});
