/** Members come and go under load: nothing acknowledged is lost, and a disk that is not the member's does not count. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { MemberList } from '../api/rest.ts';
import { Random } from '../base/random.ts';
import { lastLines } from '../cli/node-process.ts';
import { violations } from './history.ts';
import { Joiner } from '../cli/joiner.ts';
import { LoadClient } from './load-client.ts';
import { readReplica } from './replica.ts';
import { call, get } from './rest-call.ts';
import { TestCluster } from './test-cluster.ts';
import { until } from './until.ts';

const FIRST = 'coordinator-1';
const STEP_MS = 30_000;
const TIMEOUT_MS = 180_000;

let cluster: TestCluster;
let client: LoadClient;
const joiners = new Map<string, Joiner>();

async function launch(id: string): Promise<Joiner> {
  const { processes } = cluster;
  const joiner = await Joiner.launch(id, path.join(processes.dataDir, 'joined', id), processes.node(FIRST).peer);
  joiners.set(id, joiner);
  return joiner;
}

function server(id: string): string {
  const joiner = joiners.get(id);
  return joiner === undefined ? cluster.server(id) : `http://${joiner.http}`;
}

function members(): Promise<MemberList> {
  return get<MemberList>(cluster.server(FIRST), '/cluster/members');
}

async function order(pathBelow: string, body: unknown, method = 'POST'): Promise<void> {
  await until(`${method} ${pathBelow}`, STEP_MS, async () => {
    const { status, text } = await call(cluster.server(FIRST), method, pathBelow, { body: JSON.stringify(body) });
    // A learner that has not caught up, or a change that is not settled yet.
    if (status >= 400) throw new Error(`${status} ${text}`);
    return true;
  });
}

function add(joiner: Joiner): Promise<void> {
  return order('/cluster/members', { id: joiner.id, address: joiner.peer, http_address: joiner.http });
}

function settledAs(voters: readonly string[]): Promise<true> {
  return until(`${voters.join()} decide`, STEP_MS, async () => {
    const list = await members();
    const ids = list.members.filter(({ role }) => role === 'voter').map(({ id }) => id);
    return !list.changing && ids.sort().join() === [...voters].sort().join() ? true : undefined;
  });
}

async function lead(target: string): Promise<void> {
  await until(`${target} leads`, STEP_MS, async () => {
    const { leader } = await cluster.status(FIRST);
    if (leader === target) return true;
    await call(cluster.server(FIRST), 'POST', '/cluster/leader', { body: JSON.stringify({ target }) });
    return undefined;
  });
}

async function health(address: string): Promise<string> {
  const answer = await fetch(`http://${address}/health/ready`, { signal: AbortSignal.timeout(5_000) });
  return answer.text();
}

async function logged({ log }: Joiner, text: string): Promise<boolean> {
  return (await lastLines(log, Infinity)).some((line) => line.includes(text));
}

/** What one of them has, all the others have as well: linearizable reads, while more comes in. */
async function expectEqualReplicas([first = '', ...others]: readonly string[]): Promise<void> {
  const wanted = await readReplica(server(first), 'linearizable');
  for (const id of others) {
    const { messages } = await readReplica(server(id), 'linearizable');
    for (const [message, row] of wanted.messages) expect(messages.get(message)).toEqual(row);
  }
}

beforeAll(async () => {
  // Its disk could pass for a whole one until others have the log as well: no messages before that.
  const nodeSettings = { bootstrap: { minVoters: 3 } };
  cluster = await TestCluster.start({ coordinators: 1, workers: 0, auth: 'disabled', nodeSettings });
  client = new LoadClient({
    servers: cluster.servers,
    random: Random.stream(78, 'members'),
    loops: 4,
    itemsPerBatch: 5,
    pauseMs: 10,
    payload: (index) => ({ event_type: 'visit', index }),
    name: 'members',
  });
}, 60_000);

afterAll(async () => {
  await Promise.allSettled([client.finish()]);
  for (const joiner of joiners.values()) await joiner.kill();
  await cluster.end();
}, 60_000);

describe('a cluster under load', () => {
  it(
    'grows from one to three to five, and shrinks again, without losing a message',
    async () => {
      const [c2, c3] = [await launch('c2'), await launch('c3')];
      await until('c2 waits to be added', STEP_MS, async () =>
        (await health(c2.metrics)).includes('waits to be added') ? true : undefined,
      );
      await add(c2);
      await add(c3);
      const alone = await call(cluster.server(FIRST), 'POST', '/cluster/members/promote', {
        body: JSON.stringify({ ids: ['c2'] }),
      });
      expect(alone.status).toBe(400);
      await until('a message is refused as too early', STEP_MS, async () => {
        const { status, text } = await call(cluster.server(FIRST), 'POST', '/messages', { body: '{"n":0}' });
        return status === 503 && text.includes('BOOTSTRAPPING') ? true : undefined;
      });
      await order('/cluster/members/promote', { ids: ['c2', 'c3'] });
      await settledAs([FIRST, 'c2', 'c3']);

      const [c4, c5] = [await launch('c4'), await launch('c5')];
      await add(c4);
      await add(c5);
      await order('/cluster/members/promote', { ids: ['c4', 'c5'] });
      await settledAs([FIRST, 'c2', 'c3', 'c4', 'c5']);

      await lead('c4');
      await order('/cluster/members/remove', { ids: ['c4', 'c5'] });
      await settledAs([FIRST, 'c2', 'c3']);
      await until('c5 says that it is removed', STEP_MS, async () =>
        (await health(c5.metrics)).includes('removed from the cluster') ? true : undefined,
      );
      await expectEqualReplicas([FIRST, 'c2', 'c3']);
    },
    TIMEOUT_MS,
  );

  it(
    'refuses the disk that is not the one that joined, and takes it in by a replacement',
    async () => {
      const c2 = joiners.get('c2')!;
      await lead(FIRST);
      await c2.kill();
      await rm(c2.dataDir, { recursive: true });
      await c2.start();
      const refusal = 'the disk of c2 is not the one that joined: replace the member: distric members replace c2';
      await until('c2 is refused', STEP_MS, async () => ((await logged(c2, refusal)) ? true : undefined));
      expect(await health(c2.metrics)).toContain(refusal);
      const before = (await members()).members.find(({ id }) => id === 'c2')!;
      expect(before).toMatchObject({ role: 'voter' });

      await order('/cluster/members/c2/replace', {});
      await until('the new disk is known', STEP_MS, async () => {
        const now = (await members()).members.find(({ id }) => id === 'c2');
        return now?.data_uuid !== undefined && now.data_uuid !== before.data_uuid ? true : undefined;
      });
      await order('/cluster/members/c2/promote', {});
      await settledAs([FIRST, 'c2', 'c3']);
      await until('c2 is well', STEP_MS, async () => {
        const text = await health(c2.metrics);
        return text.includes('is not the one') ? undefined : true;
      });
      await expectEqualReplicas([FIRST, 'c2', 'c3']);
    },
    TIMEOUT_MS,
  );

  it(
    'goes back to one, which has every message that was acknowledged',
    async () => {
      await lead('c2');
      await lead(FIRST);
      await order('/cluster/members/remove', { ids: ['c2', 'c3'] });
      await settledAs([FIRST]);
      await client.finish();
      expect(client.sent.size).toBeGreaterThan(100);
      const replica = await readReplica(cluster.server(FIRST), 'linearizable');
      expect(violations(client.sent, replica)).toEqual([]);
      const audit = await get<{ entries: { action: string }[] }>(cluster.server(FIRST), '/audit?limit=100');
      const actions = new Set(audit.entries.map(({ action }) => action));
      for (const action of ['member.add', 'member.promote', 'member.remove', 'member.renew', 'leader.transfer']) {
        expect(actions).toContain(action);
      }
    },
    TIMEOUT_MS,
  );
});
