/** A whole cluster of two nodes in this process, on real disks and sockets: what joins the loops to the drivers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { loadConfig, type NodeConfig } from '../../api/config.ts';
import { startNode, type RunningNode } from './node-process.ts';
import { freePort, until } from './test-waiting.ts';

const TIMEOUT_MS = 40_000;
const WAIT_MS = 15_000;
const HOST = '127.0.0.1';
const WORKFLOW = {
  id: 'greet',
  tasks: [
    { id: 'name', type: 'transform', config: { expression: 'message.name' } },
    { id: 'note', type: 'log', depends_on: ['name'] },
  ],
};
const RULE = { id: 'greet', conditions: { field: 'name', op: 'exists' }, actions: [{ workflow: 'greet' }] };

let dir: string;
let nodes: RunningNode[];
let fatal: unknown[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'distric-node-'));
  nodes = [];
  fatal = [];
});

afterEach(async () => {
  await stopAll();
  rmSync(dir, { recursive: true, force: true });
  expect(fatal).toEqual([]);
});

async function stopAll(): Promise<number[]> {
  const codes: number[] = [];
  for (const node of nodes.splice(0).reverse()) codes.push(await node.stop('the test ends'));
  return codes;
}

function configOf(role: NodeConfig['role'], peerPort: number, changes: object = {}): NodeConfig {
  const listener = { host: HOST, port: 0 };
  const file = {
    nodeId: role === 'worker' ? 'w1' : 'c1',
    role,
    dataDir: join(dir, role),
    coordinators: [{ id: 'c1', address: `${HOST}:${String(peerPort)}` }],
    peer: role === 'worker' ? listener : { host: HOST, port: peerPort },
    http: listener,
    metrics: listener,
    raft: { profile: 'fast' },
    log: { level: 'silent' },
    drainTimeoutMs: 5_000,
    ...changes,
  };
  return loadConfig({ file, env: {}, flags: {} });
}

async function start(config: NodeConfig): Promise<RunningNode> {
  const node = await startNode(config, 'test:1', (error) => fatal.push(error));
  nodes.push(node);
  return node;
}

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

async function call(node: RunningNode, method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`http://${node.addresses['http'] ?? ''}/api/v1${path}`, {
    method,
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
    body: body === undefined ? null : JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

async function ready(node: RunningNode): Promise<{ code: number; status: string }> {
  const response = await fetch(`http://${node.addresses['metrics'] ?? ''}/health/ready`);
  return { code: response.status, status: ((await response.json()) as { status: string }).status };
}

async function startCoordinator(port: number, changes: object = {}): Promise<RunningNode> {
  const coordinator = await start(configOf('coordinator', port, changes));
  await until('the coordinator is ready', WAIT_MS, async () => (await ready(coordinator)).code === 200);
  return coordinator;
}

describe('startNode', () => {
  it(
    'takes a message through its whole life, and has it again after a restart of both nodes',
    async () => {
      const port = await freePort(HOST);
      const coordinator = await startCoordinator(port);
      expect(coordinator.addresses['peer']).toBe(`${HOST}:${String(port)}`);
      expect(await ready(coordinator)).toEqual({ code: 200, status: 'DEGRADED' });
      const worker = await start(configOf('worker', port));
      await until('the worker is ready', WAIT_MS, async () => (await ready(worker)).status === 'UP');
      expect(await ready(coordinator)).toEqual({ code: 200, status: 'UP' });

      expect((await call(coordinator, 'POST', '/workflow-definitions', WORKFLOW)).status).toBe(201);
      expect((await call(coordinator, 'POST', '/rules', RULE)).status).toBe(201);
      const sent = await call(coordinator, 'POST', '/messages', { name: 'Ada' });
      expect(sent).toMatchObject({ status: 202, body: { workflows_triggered: ['greet'], duplicate: false } });
      const [instanceId] = sent.body['instances'] as [string];
      const instance = async (node: RunningNode): Promise<Answer> => call(node, 'GET', `/workflows/${instanceId}`);
      await until(
        'the instance ends',
        WAIT_MS,
        async () => (await instance(coordinator)).body['status'] === 'COMPLETED',
      );
      const before = await instance(coordinator);
      expect(before.body['tasks']).toMatchObject([
        { id: 'name', status: 'COMPLETED', worker: 'w1', attempts: 1, output: 'Ada' },
        { id: 'note', status: 'COMPLETED', worker: 'w1', attempts: 1, output: { logged: true } },
      ]);
      const workers = (await call(coordinator, 'GET', '/cluster/status')).body['workers'];
      expect(workers).toMatchObject([{ id: 'w1', address: 'test:1', status: 'alive', running: 0 }]);

      expect(await worker.stop('it leaves')).toBe(0);
      await until('the worker has left', WAIT_MS, async () => {
        const { body } = await call(coordinator, 'GET', '/cluster/status');
        return (body['workers'] as unknown[]).length === 0;
      });
      expect(await coordinator.stop('it leaves')).toBe(0);
      nodes = [];
      const again = await startCoordinator(port);
      expect(await instance(again)).toEqual(before);
      expect((await call(again, 'GET', '/cluster/status')).body).toMatchObject({
        leader: 'c1',
        workers: [],
        counts: { messages: 1, instances_active: 0 },
      });
      expect((await call(again, 'POST', '/messages', { name: 'Bo' })).body['workflows_triggered']).toEqual(['greet']);
    },
    TIMEOUT_MS,
  );

  it(
    'answers what is in flight when it is stopped, refuses what comes later, and frees its ports and its directory',
    async () => {
      const port = await freePort(HOST);
      const coordinator = await startCoordinator(port);
      const batch = Array.from({ length: 2_000 }, (_, i) => ({ i }));
      const answer = call(coordinator, 'POST', '/messages', batch);
      await delay(1);
      const [code] = await stopAll();
      expect(code).toBe(0);
      const accepted = await answer.then(
        ({ status, body }) => (status === 202 ? body['accepted'] : 0),
        () => 0,
      );
      await expect(call(coordinator, 'GET', '/cluster/status')).rejects.toThrow();

      const again = await startCoordinator(port);
      const { counts } = (await call(again, 'GET', '/cluster/status')).body as { counts: { messages: number } };
      expect(counts.messages).toBeGreaterThanOrEqual(Number(accepted));
      expect([0, batch.length]).toContain(counts.messages);
    },
    TIMEOUT_MS,
  );

  it('rejects when its port is taken, and leaves nothing open', async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, HOST, resolve));
    const address = holder.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    try {
      await expect(start(configOf('coordinator', port))).rejects.toThrow(/EADDRINUSE/);
    } finally {
      await new Promise((resolve) => holder.close(resolve));
    }
    // The directory and the other ports are free again: the same node can start at once.
    const coordinator = await startCoordinator(port);
    expect((await call(coordinator, 'POST', '/messages', { a: 1 })).status).toBe(202);
  });
});
