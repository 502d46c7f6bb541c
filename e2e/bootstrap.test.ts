/** A cluster that is founded by an order: coordinators that wait, one that is told to begin, the others added to it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ClusterStatus } from '../api/rest.ts';
import { Joiner } from '../cli/joiner.ts';
import { type Answer, call, get, put } from './rest-call.ts';
import { until } from './until.ts';

const STEP_MS = 60_000;
const TIMEOUT_MS = 180_000;
const CLUSTER_ID = '0b6a3c1e-7a4f-4a8e-9a55-6f1d2c3b4a59';

let dir: string;
let nodes: Joiner[] = [];

const server = (index: number): string => `http://${nodes[index]!.http}`;

/** Waits for a process that has only just started. */
function own(index: number): Promise<ClusterStatus> {
  return until('it answers', STEP_MS, () => get<ClusterStatus>(server(index), '/cluster/status?consistency=stale'));
}

async function found(index: number, change: object = {}): Promise<Answer<{ code: string }>> {
  const { data_uuid } = await own(index);
  const { peer: address, http: http_address } = nodes[index]!;
  const body = { cluster_id: CLUSTER_ID, data_uuid, address, http_address, min_voters: 3, ...change };
  return call(server(index), 'POST', '/cluster/bootstrap', { body: JSON.stringify(body) });
}

function order(pathBelow: string, body: unknown): Promise<boolean> {
  return until(pathBelow, STEP_MS, async () => {
    const { status, text } = await call(server(0), 'POST', pathBelow, { body: JSON.stringify(body) });
    if (status >= 400) throw new Error(`${status} ${text}`);
    return true;
  });
}

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'distric-bootstrap-'));
  for (const id of ['c0', 'c1', 'c2']) {
    nodes.push(await Joiner.launch(id, path.join(dir, id), nodes[0]?.peer ?? '127.0.0.1:1'));
  }
}, TIMEOUT_MS);

afterAll(async () => {
  await Promise.all(nodes.map((node) => node.kill()));
  nodes = [];
  await rm(dir, { recursive: true, force: true });
});

describe('coordinators that wait to be added', () => {
  it('form no cluster by themselves, and say which disk they have', async () => {
    const status = await own(0);
    expect(status).toMatchObject({ standing: 'joining', leader: null, coordinators: [] });
    expect(status.data_uuid).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('found none on another disk than the one that is named', async () => {
    const { status, body } = await found(0, { data_uuid: CLUSTER_ID });
    expect([status, body.code]).toEqual([400, 'INVALID_REQUEST']);
  });

  it('found one when told so, once; the same order again changes nothing', async () => {
    expect((await found(0)).status).toBe(204);
    expect((await found(0)).status).toBe(204);
    await until('there is a cluster', STEP_MS, async () => ((await own(0)).cluster_id === '' ? undefined : true));
    expect(await own(0)).toMatchObject({ cluster_id: CLUSTER_ID, standing: 'member', leader: 'c0' });
    const other = await found(0, { cluster_id: '00000000-7a4f-4a8e-9a55-6f1d2c3b4a59' });
    expect([other.status, other.body.code]).toEqual([409, 'ALREADY_EXISTS']);
  });

  it('are added to it; messages are taken once all have been in', async () => {
    const message = { body: '{"event_type":"a"}' };
    const early = await call<{ code: string }>(server(0), 'POST', '/messages', message);
    expect([early.status, early.body.code]).toEqual([503, 'BOOTSTRAPPING']);
    for (const { id, peer: address, http: http_address } of nodes.slice(1)) {
      await order('/cluster/members', { id, address, http_address });
    }
    await order('/cluster/members/promote', { ids: ['c1', 'c2'] });
    await until('a message is taken', STEP_MS, async () => {
      const { status } = await call(server(2), 'POST', '/messages', message);
      return status === 202 ? true : undefined;
    });
  });

  it(
    'with an empty disk again, and having heard of the cluster, found no second one',
    async () => {
      const first = nodes[0]!;
      await first.kill();
      await rm(first.dataDir, { recursive: true });
      // It dials the address of another member now, as whoever comes back does.
      nodes[0] = await Joiner.launch(first.id, path.join(dir, 'again'), nodes[1]!.peer);
      await until('it is told', STEP_MS, async () => ((await own(0)).standing === 'wrong disk' ? true : undefined));
      const { status, body } = await found(0);
      expect([status, body.code]).toEqual([409, 'ALREADY_EXISTS']);
      await until('the others go on', STEP_MS, async () => {
        await put(server(1), '/workflow-definitions/w', { id: 'w', tasks: [{ id: 't', type: 'log' }] });
        return true;
      });
    },
    TIMEOUT_MS,
  );
});
