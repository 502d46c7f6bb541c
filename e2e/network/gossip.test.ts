/** Gossip between hosts of their own: where datagrams are blocked nobody dies, and two halves become one again. */
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { NodeList } from '../../api/nodes.ts';
import type { ClusterStatus, MemberList } from '../../api/rest.ts';
import { get } from '../rest-call.ts';
import { until } from '../until.ts';
import { LabCluster } from './lab-cluster.ts';

const TIMEOUT_MS = 240_000;
const PARTITION_MS = 30_000;
/** A few seconds on a machine with nothing else to do; a slow one trusts itself less, and takes longer on purpose. */
const SEEN_MS_MAX = 60_000;
const ONE_VIEW_MS_MAX = 10_000;
const ALL = ['c1', 'c2', 'c3', 'w1'];

let cluster: LabCluster;

beforeAll(async () => {
  cluster = await LabCluster.start(fileURLToPath(new URL('../plugins', import.meta.url)));
}, TIMEOUT_MS);
afterAll(async () => {
  await cluster.stop();
}, TIMEOUT_MS);

/** As a coordinator has them: `ID STATUS INCARNATION`. */
async function viewOf(server: string): Promise<string[]> {
  const { nodes } = await get<NodeList>(server, '/cluster/nodes');
  return nodes.map(({ id, status, incarnation }) => `${id} ${status} ${String(incarnation)}`);
}

function statuses(view: readonly string[]): string[] {
  return view.map((line) => line.split(' ').slice(0, 2).join(' '));
}

const ALL_ALIVE = ALL.map((id) => `${id} alive`);

/** All coordinators hold the same, with everybody alive, and so does the worker as far as it tells. */
async function oneView(): Promise<true | undefined> {
  const views = await Promise.all(cluster.servers.map(viewOf));
  if (views.some((view) => view.join() !== views[0]?.join())) return undefined;
  if (statuses(views[0] ?? []).join() !== ALL_ALIVE.join()) return undefined;
  return (await gauge('w1', 'distric_gossip_members{status="alive"}')) === ALL.length ? true : undefined;
}

async function gauge(node: string, series: string): Promise<number> {
  const text = await (await fetch(`${cluster.observability(node)}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  return Number(line?.slice(series.length + 1));
}

/** Of all nodes: who was found dead so far, and by whom. */
async function deaths(): Promise<string[]> {
  const logs = await Promise.all(ALL.map((name) => cluster.log(name)));
  return logs.flatMap((log) => log.split('\n').filter((line) => line.includes('"member failed"')));
}

async function gossipState(server: string): Promise<string | undefined> {
  return (await get<ClusterStatus>(server, '/cluster/status?consistency=stale')).gossip?.state;
}

describe('gossip between hosts', () => {
  it(
    'declares nobody dead while datagrams are blocked for everybody, and reports it',
    async () => {
      await until('one view of all', SEEN_MS_MAX, oneView);
      for (const name of ALL) cluster.lab.blockDatagrams(name);
      for (const server of cluster.servers) {
        await until(
          `${server} reports it`,
          SEEN_MS_MAX,
          async () => (await gossipState(server)) === 'blocked' || undefined,
        );
      }
      const blocked = 'distric_gossip_datagrams_blocked';
      await until('the worker reports it', SEEN_MS_MAX, async () => (await gauge('w1', blocked)) === 1 || undefined);
      for (const server of cluster.servers) expect(statuses(await viewOf(server))).toEqual(ALL_ALIVE);
      cluster.lab.healAll();
      for (const server of cluster.servers) {
        await until(
          `${server} sees its end`,
          SEEN_MS_MAX,
          async () => (await gossipState(server)) === 'on' || undefined,
        );
      }
      expect(await deaths()).toEqual([]);
    },
    TIMEOUT_MS,
  );

  it(
    'has one view again within ten seconds of the end of a partition of thirty',
    async () => {
      const before = await get<MemberList>(cluster.servers[0] ?? '', '/cluster/members?consistency=stale');
      cluster.lab.part(['c1', 'w1'], ['c2', 'c3']);
      const startedMs = performance.now();
      const [ours = '', theirs = ''] = cluster.servers;
      const gone = async (server: string, ids: readonly string[]): Promise<true | undefined> => {
        const view = statuses(await viewOf(server));
        return ids.every((id) => view.includes(`${id} failed`)) ? true : undefined;
      };
      await until('one half finds the other dead', SEEN_MS_MAX, () => gone(ours, ['c2', 'c3']));
      await until('and is found dead by it', SEEN_MS_MAX, () => gone(theirs, ['c1', 'w1']));
      await delay(PARTITION_MS - (performance.now() - startedMs));
      cluster.lab.healAll();
      await until('one view of all', ONE_VIEW_MS_MAX, oneView).catch(async (error: unknown) => {
        const views = await Promise.all(cluster.servers.map(viewOf));
        throw new Error(views.map((view) => view.join(', ')).join('\n'), { cause: error });
      });
      // What gossip thinks of a coordinator is nothing to Raft.
      const after = await get<MemberList>(cluster.servers[0] ?? '', '/cluster/members?consistency=stale');
      expect(after.members.map(({ id, role }) => [id, role])).toEqual(before.members.map(({ id, role }) => [id, role]));
    },
    TIMEOUT_MS,
  );
});
