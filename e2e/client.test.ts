/** The binary client against a real cluster whose coordinators are killed: nothing acknowledged is lost, nothing is kept twice. */
import { execFile as execFileWithCallback } from 'node:child_process';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { BatchResult, ClusterStatus } from '../api/rest.ts';
import { Random } from '../base/random.ts';
import { DistricClient, DistricError, type OutgoingMessage } from '../client/client.ts';
import { captureIo } from '../cli/captured-io.ts';
import { EXIT } from '../cli/exit-code.ts';
import { run } from '../cli/program.ts';
import { violations } from './history.ts';
import type { Sent } from './load-client.ts';
import { readReplica } from './replica.ts';
import { TestCluster } from './test-cluster.ts';
import { until } from './until.ts';

const execFile = promisify(execFileWithCallback);
const KILLS = 5;
const BATCH = 20;
const STREAM_MS_MAX = 60_000;
const TIMEOUT_MS = 120_000;

const WORKFLOW = { id: 'note', tasks: [{ id: 'only', type: 'witness', retry: 2 }] };
const RULE = {
  id: 'orders',
  conditions: { field: 'event_type', op: 'equals', value: 'order' },
  actions: [{ workflow: 'note' }],
};

let cluster: TestCluster;
let client: DistricClient;
const sent = new Map<string, Sent>();

function peers(): string[] {
  return cluster.coordinators.map((id) => cluster.processes.node(id).peer);
}

/** Batches, until told to stop. */
function* batches(goesOn: () => boolean): Generator<OutgoingMessage[]> {
  while (goesOn()) {
    yield Array.from({ length: BATCH }, () => {
      const marker = `binary-${sent.size}`;
      sent.set(marker, { marker, keyed: true, acknowledged: [], unknown: 0, refused: 0 });
      return { payload: { marker, event_type: sent.size % 50 === 0 ? 'order' : 'visit' } };
    });
  }
}

beforeAll(async () => {
  const pluginDirs = [fileURLToPath(new URL('plugins', import.meta.url))];
  cluster = await TestCluster.start({ coordinators: 3, workers: 1, pluginDirs });
  const { apiKey } = cluster.processes;
  client = await DistricClient.connect({
    servers: peers(),
    clusterName: 'distric',
    ...(apiKey === undefined ? {} : { apiKey }),
    window: { batchesMax: 16 },
  });
  await client.change({ kind: 'putWorkflow', document: WORKFLOW });
  await client.change({ kind: 'putRule', document: RULE });
}, 60_000);

afterAll(async () => {
  await client.close();
  await cluster.end();
}, 60_000);

describe('the binary client', () => {
  it(
    'loses nothing acknowledged and doubles nothing while coordinators are killed and started again',
    async () => {
      const random = Random.stream(20_262, 'kills');
      let killing = true;
      const deadline = performance.now() + STREAM_MS_MAX;
      const killer = (async () => {
        for (let run = 0; run < KILLS; run++) {
          await delay(random.integer(300, 1_200));
          const leader = await until('a leader', 15_000, () => cluster.processes.leader());
          const ids = cluster.coordinators;
          const victim = run % 2 === 0 ? leader : random.pick(ids);
          await cluster.processes.kill(victim);
          await delay(random.integer(0, 1_500));
          await cluster.processes.restart(victim);
        }
      })().finally(() => (killing = false));

      const markers = sent.keys();
      const problems: string[] = [];
      for await (const outcomes of client.sendStream(batches(() => killing && performance.now() < deadline))) {
        for (const outcome of outcomes) {
          const record = sent.get(markers.next().value ?? '');
          if (record === undefined) throw new Error('more outcomes than messages');
          if ('accepted' in outcome) {
            const { messageId, instances, duplicate } = outcome.accepted;
            record.acknowledged.push({ messageId, instances: [...instances], duplicate });
          } else problems.push(`${record.marker}: ${outcome.error.code}`);
        }
        // The cluster is to be killed under load, not to be filled.
        await delay(5);
      }
      await killer;
      expect(problems).toEqual([]);
      expect([...sent.values()].every(({ acknowledged }) => acknowledged.length === 1)).toBe(true);

      await until('all instances end', 30_000, async () => {
        const { counts } = await cluster.status(cluster.coordinators[0]!, 'linearizable');
        return counts.instances_active === 0 ? true : undefined;
      });
      const replica = await readReplica(cluster.servers[0]!, 'linearizable');
      expect(violations(sent, replica)).toEqual([]);
      expect(replica.messages.size).toBe(sent.size);
      expect(sent.size).toBeGreaterThan(1_000);
    },
    TIMEOUT_MS,
  );

  it('is at the leader, reads what REST reads, and refuses what REST refuses', async () => {
    const status = (await client.query({ kind: 'clusterStatus' })) as ClusterStatus;
    const leader = status.coordinators.find(({ id }) => id === status.leader);
    await until('the client is at the leader', 10_000, () =>
      Promise.resolve(client.address === leader?.address ? true : undefined),
    );
    const [outcome] = await client.send([{ payload: '{"a":1,"a":2}' }]);
    expect(outcome).toMatchObject({ error: { code: 'INVALID_JSON' } });
    const [first] = await client.send([{ payload: { marker: 'x' }, idempotencyKey: 'again' }]);
    const [second] = await client.send([{ payload: { marker: 'x' }, idempotencyKey: 'again' }]);
    expect(second).toMatchObject({ accepted: { ...(first as { accepted: object }).accepted, duplicate: true } });
    await expect(client.query({ kind: 'message', id: 'none' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(client.change({ kind: 'deleteRule', id: 'none' })).rejects.toBeInstanceOf(DistricError);
  });

  it('is what distric send --binary and the example use', async () => {
    const { dataDir, apiKey } = cluster.processes;
    const io = captureIo({ cwd: path.dirname(dataDir), stdin: '{"n":1}\n[]\n{"n":2}\n' });
    expect(await run(['send', '--binary', '--ndjson', '-', '--data', dataDir, '-o', 'json'], io)).toBe(EXIT.REFUSED);
    const { items, accepted, refused } = JSON.parse(io.out()) as BatchResult;
    expect([accepted, refused]).toEqual([2, 1]);
    expect(items[1]).toMatchObject({ index: 1, status: 'refused', code: 'INVALID_MESSAGE' });
    const single = captureIo({ cwd: dataDir });
    const order = '{"event_type":"order","marker":"cli"}';
    expect(await run(['send', order, '--binary', '--key', 'cli-1', '--data', dataDir], single)).toBe(EXIT.OK);
    expect(single.out()).toMatch(/^message\/[0-9a-f-]{36} accepted\n {2}workflow\/note started as /);

    const example = fileURLToPath(new URL('../examples/client/send-orders.ts', import.meta.url));
    const env = { ...process.env, ...(apiKey === undefined ? {} : { DISTRIC_API_KEY: apiKey }) };
    const send = () => execFile(process.execPath, [example, peers().join(), '250'], { env });
    const [first, second] = [await send(), await send()];
    expect(first.stdout).toBe('250 of 250 accepted, 0 instances started\n');
    expect(second.stdout).toBe(first.stdout);
  });

  it('needs a key that is good', async () => {
    const wrong = `dk_bootstrap_${'A'.repeat(43)}`;
    const options = { servers: peers(), ...(cluster.processes.apiKey === undefined ? {} : { apiKey: wrong }) };
    const tried = DistricClient.connect(options, { deadlineMs: 10_000 });
    await expect(tried).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });
});
