/**
 * A coordinator that needs a snapshot and has no room for it: it refuses, says why, goes on with what it has, and catches
 * up as soon as there is room.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { metricValue, scrape } from '../exposition.ts';
import { differences, readReplica } from '../replica.ts';
import { call } from '../rest-call.ts';
import { TestCluster } from '../test-cluster.ts';
import { until } from '../until.ts';
import { buildDiskFaults, FaultyDisk } from './disk-faults.ts';

const MIB = 1024 * 1024;
/** The log is cut over half of this. */
const LIMITS = { logMapBytesMax: 64 * MIB };
const PAYLOAD = 'x'.repeat(MIB / 4);
const CALLS_AT_ONCE = 4;
/** Of which a tenth of 2 GiB, the least that a disk is judged by, is kept for log and state. */
const ROOM_BYTES = 250 * MIB;
const STEP_MS = 60_000;
const TIMEOUT_MS = 300_000;

let libraryDir: string;
let cluster: TestCluster;

beforeAll(async () => {
  libraryDir = await mkdtemp(path.join(tmpdir(), 'distric-room-'));
  const env = buildDiskFaults(libraryDir);
  cluster = await TestCluster.start({ coordinators: 3, workers: 0, nodeSettings: { limits: LIMITS }, env });
}, 60_000);

afterAll(async () => {
  await cluster.end();
  await rm(libraryDir, { recursive: true, force: true });
}, 60_000);

/** Messages of a quarter of a MiB, until the leader has cut its log above `index`. */
async function fillPast(index: number, leader: string): Promise<void> {
  let isPast = false;
  const fill = async (): Promise<void> => {
    while (!isPast) {
      const body = JSON.stringify({ event_type: 'filling', padding: PAYLOAD });
      const { status } = await call(cluster.server(leader), 'POST', '/messages', { body });
      expect([202, 503]).toContain(status);
    }
  };
  const filling = Promise.all(Array.from({ length: CALLS_AT_ONCE }, fill));
  await until('the log is cut', STEP_MS, async () => {
    const metrics = await scrape(cluster.observability(leader));
    return metricValue(metrics, 'distric_raft_index', { position: 'first' }) > index || undefined;
  }).finally(() => (isPast = true));
  await filling;
}

describe('a coordinator without room for a snapshot', () => {
  it(
    'refuses it, lives, is named with the reason, and has it once there is room',
    async () => {
      const leader = await until('a leader', STEP_MS, () => cluster.processes.leader());
      const victim = cluster.coordinators.find((id) => id !== leader)!;
      const disk = new FaultyDisk(path.join(cluster.processes.dataDir, victim));
      const { applied_index: reached } = await cluster.status(victim);
      // In good order, with a state that it can be ready with.
      await cluster.processes.kill(victim, 'SIGTERM');
      await until(`${victim} ends`, STEP_MS, () => Promise.resolve(!cluster.processes.isRunning(victim) || undefined));
      await fillPast(reached, leader);

      disk.leave(ROOM_BYTES);
      await cluster.processes.restart(victim);
      // On a busy machine the leadership may have moved meanwhile.
      const { teller, reason } = await until('the leader says why it waits', STEP_MS, async () => {
        const teller = await cluster.processes.leader();
        if (teller === undefined) return undefined;
        const { coordinators } = await cluster.status(teller);
        const reason = coordinators.find(({ id }) => id === victim)?.snapshot_waits;
        return reason === undefined ? undefined : { teller, reason };
      });
      expect(reason).toMatch(/^\d+ MiB are needed, \d+ MiB are free, and 205 MiB of them are kept for log and state$/);
      // Refused again and again, and said once.
      await until('it is offered again', STEP_MS, async () => {
        const metrics = await scrape(cluster.observability(victim));
        const refused = metricValue(metrics, 'distric_snapshots_without_room_total', { side: 'receiver' });
        return refused >= 2 || undefined;
      });
      expect(await cluster.logged(victim, 'a snapshot is refused')).toHaveLength(1);
      expect(await cluster.logged(teller, 'a snapshot waits for room')).toHaveLength(1);
      expect(await cluster.logged(victim, 'a snapshot was installed')).toEqual([]);
      expect(cluster.processes.isRunning(victim)).toBe(true);

      disk.leave(undefined);
      await until('it has caught up', STEP_MS, async () => {
        const [own, theirs] = await Promise.all([cluster.status(victim), cluster.status(leader)]);
        return own.applied_index === theirs.applied_index || undefined;
      });
      expect(await cluster.logged(victim, 'a snapshot was installed')).toHaveLength(1);
      const { coordinators } = await cluster.status(leader);
      expect(coordinators.map(({ snapshot_waits: waits }) => waits)).toEqual([undefined, undefined, undefined]);
      const replicas = [victim, leader].map((id) => readReplica(cluster.server(id), 'stale'));
      const [own, theirs] = await Promise.all(replicas);
      expect(differences(theirs!, own!)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
