/** Nodes that are told of no coordinators, on real sockets: each finds the cluster in its own way. */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../api/config.ts';
import type { NodeList } from '../../api/nodes.ts';
import type { ClusterStatus } from '../../api/rest.ts';
import { startNode, type RunningNode } from './node-process.ts';
import { freePort, until } from './test-waiting.ts';

const TIMEOUT_MS = 120_000;
const WAIT_MS = 60_000;
const HOST = '127.0.0.1';
const LISTENER = { host: HOST, port: 0 };

let dir: string;
let keyFile: string;
let peer: string;
let group: string;
let coordinator: RunningNode;
const fatal: unknown[] = [];
const nodes: RunningNode[] = [];

async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, HOST, resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}

async function start(nodeId: string, settings: object): Promise<RunningNode> {
  const file = {
    nodeId,
    dataDir: join(dir, nodeId),
    peer: LISTENER,
    http: LISTENER,
    metrics: LISTENER,
    raft: { profile: 'fast' },
    log: { level: 'silent' },
    gossip: { keyFile, multicast: group },
    ...settings,
  };
  const node = await startNode(loadConfig({ file, env: {}, flags: {} }), `${nodeId}:1`, (error) => fatal.push(error));
  nodes.push(node);
  return node;
}

async function get<T>(path: string): Promise<T> {
  const response = await fetch(`http://${coordinator.addresses['http'] ?? ''}/api/v1${path}`);
  expect(response.status).toBe(200);
  return (await response.json()) as T;
}

async function registered(id: string): Promise<boolean> {
  const { workers } = await get<ClusterStatus>('/cluster/status?consistency=stale');
  return workers.some((worker) => worker.id === id);
}

async function nodeInGossip(id: string): Promise<NodeList['nodes'][number] | undefined> {
  return (await get<NodeList>('/cluster/nodes')).nodes.find((node) => node.id === id);
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'distric-discovery-'));
  keyFile = join(dir, 'keys.json');
  writeFileSync(keyFile, JSON.stringify([{ id: 1, key: randomBytes(32).toString('base64') }]));
  group = `239.255.77.9:${String(await freeUdpPort())}`;
  peer = `${HOST}:${String(await freePort(HOST))}`;
  const port = Number(peer.split(':')[1]);
  const coordinators = [{ id: 'c1', address: peer }];
  coordinator = await start('c1', { role: 'coordinator', peer: { host: HOST, port }, coordinators });
}, TIMEOUT_MS);

afterAll(async () => {
  for (const node of nodes.splice(0).reverse()) await node.stop('the test ends');
  rmSync(dir, { recursive: true, force: true });
  expect(fatal).toEqual([]);
}, TIMEOUT_MS);

describe('a worker without a list of coordinators', () => {
  it.each([
    ['one seed of several', () => ({ seeds: [`${HOST}:1`, peer] })],
    ['a name in DNS', () => ({ method: 'dns', name: `localhost:${peer.split(':')[1] ?? ''}` })],
    ['multicast', () => ({ method: 'multicast' })],
  ])(
    'finds them by %s, and is known by gossip',
    async (name, discovery) => {
      const id = `w-${name.split(' ')[0] ?? ''}`;
      const zone = 'eu-1a';
      await start(id, { role: 'worker', discovery: discovery(), zone, labels: ['gpu=yes'] });
      await until(`${id} is registered`, WAIT_MS, () => registered(id));
      await until(`${id} is a member`, WAIT_MS, async () => (await nodeInGossip(id))?.status === 'alive');
      expect(await nodeInGossip(id)).toMatchObject({ role: 'worker', zone, labels: ['gpu=yes'], capacity: 16 });
    },
    TIMEOUT_MS,
  );

  it(
    'leaves in good order when it stops',
    async () => {
      const id = 'w-leaving';
      const worker = await start(id, { role: 'worker', discovery: { seeds: [peer] } });
      await until(`${id} is a member`, WAIT_MS, async () => (await nodeInGossip(id))?.status === 'alive');
      expect(await worker.stop('it leaves')).toBe(0);
      nodes.splice(nodes.indexOf(worker), 1);
      await until('it has left', WAIT_MS, async () => (await nodeInGossip(id))?.status === 'left');
    },
    TIMEOUT_MS,
  );
});

describe('a coordinator without a list of coordinators', () => {
  it(
    'finds the members and joins when it is added',
    async () => {
      const joining = await start('c2', { role: 'coordinator', discovery: { method: 'multicast' } });
      const body = JSON.stringify({ id: 'c2', address: joining.addresses['peer'] });
      const url = `http://${coordinator.addresses['http'] ?? ''}/api/v1/cluster/members`;
      const headers = { 'content-type': 'application/json' };
      expect((await fetch(url, { method: 'POST', headers, body })).status).toBe(201);
      await until('c2 has the log', WAIT_MS, async () => {
        const answer = await fetch(`http://${joining.addresses['http'] ?? ''}/api/v1/cluster/status?consistency=stale`);
        return ((await answer.json()) as Partial<ClusterStatus>).leader === 'c1';
      });
    },
    TIMEOUT_MS,
  );
});
