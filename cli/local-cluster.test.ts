import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { captureIo } from './captured-io.ts';
import { EXIT } from './exit-code.ts';
import { LocalCluster } from './local-cluster.ts';
import { nodeEnvironment } from './node-process.ts';
import { run } from './program.ts';

const TIMEOUT_MS = 60_000;

let cwd: string;
let dataDir: string;

beforeEach(async () => {
  cwd = await mkdtemp(path.join(tmpdir(), 'distric-cluster-'));
  dataDir = path.join(cwd, '.distric');
});

afterEach(async () => {
  const cluster = await LocalCluster.load(dataDir).catch(() => undefined);
  for (const { id } of cluster?.nodes ?? []) await cluster?.kill(id);
  await rm(cwd, { recursive: true });
});

async function distric(...argv: string[]) {
  const io = captureIo({ cwd, env: { PATH: process.env['PATH'] ?? '' } });
  const exitCode = await run(argv, io);
  return { exitCode, out: io.out(), err: io.err() };
}

const SMALL = ['--coordinators', '1', '--workers', '1', '--profile', 'fast'];

describe('distric up and down', () => {
  it(
    'starts a cluster, says when it runs already, brings back what died, and stops it',
    async () => {
      const up = await distric('up', ...SMALL);
      expect({ exitCode: up.exitCode, err: up.err }).toMatchObject({ exitCode: EXIT.OK });
      expect(up.out).toContain('The cluster is up: 1 coordinator, 1 worker; data in .distric\n');
      expect(await distric('status')).toMatchObject({ exitCode: EXIT.OK });

      const again = await distric('up');
      expect(again.exitCode).toBe(EXIT.OK);
      expect(again.out).toBe('The cluster was running already: 1 coordinator, 1 worker; data in .distric\n');
      expect(await distric('up', '--workers', '3')).toMatchObject({ exitCode: EXIT.USAGE });

      const cluster = await LocalCluster.load(dataDir);
      const before = cluster.nodes.map(({ pid }) => pid);
      expect(await cluster.leader()).toBe('coordinator-1');
      for (const { peer } of cluster.nodes) {
        expect(await distric('net', 'ping', peer, '--udp', '-c', '1')).toMatchObject({ exitCode: EXIT.OK });
      }
      expect(await cluster.kill('worker-1')).toBe(true);
      expect(await cluster.kill('worker-1')).toBe(false);
      expect(cluster.isRunning('worker-1')).toBe(false);
      const repaired = JSON.parse((await distric('up', '-o', 'json')).out) as {
        started: string[];
        nodes: { pid: number }[];
      };
      expect(repaired.started).toEqual(['worker-1']);
      expect(repaired.nodes[0]?.pid).toBe(before[0]);
      expect(repaired.nodes[1]?.pid).not.toBe(before[1]);

      const down = await distric('down');
      expect(down).toMatchObject({
        exitCode: EXIT.OK,
        out: 'Stopped coordinator-1, worker-1; data stays in .distric\n',
      });
      const stopped = await LocalCluster.load(dataDir);
      expect(stopped.nodes.map(({ id, pid }) => [stopped.isRunning(id), pid])).toEqual([[false, null], [false, null]]); // prettier-ignore
      expect(await distric('status', '--timeout', '1')).toMatchObject({ exitCode: EXIT.UNAVAILABLE });
    },
    TIMEOUT_MS,
  );

  it(
    'keeps data and ports over down and up, and removes only its own files with --wipe',
    async () => {
      expect(await distric('up', ...SMALL)).toMatchObject({ exitCode: EXIT.OK });
      const { servers } = await LocalCluster.load(dataDir);
      const sent = await distric('send', '{"event_type":"kept"}', '-o', 'json');
      const { message_id: id } = JSON.parse(sent.out) as { message_id: string };
      await distric('down');
      expect(await distric('up')).toMatchObject({ exitCode: EXIT.OK });
      expect((await LocalCluster.load(dataDir)).servers).toEqual(servers);
      expect((await distric('messages', 'get', id)).out).toContain('event_type: kept');

      await writeFile(path.join(dataDir, 'mine.txt'), 'not of the cluster');
      expect((await distric('down', '--wipe')).out).toContain('removed .distric');
      expect(await readdir(dataDir)).toEqual(['mine.txt']);
    },
    TIMEOUT_MS,
  );
});

describe('LocalCluster', () => {
  it(
    'quotes the log of a node that can not start, and leaves no process and no half cluster behind',
    async () => {
      const started = LocalCluster.start({ dataDir, coordinators: 1, workers: 0, nodeSettings: { noSuchSetting: 1 } });
      await expect(started).rejects.toThrow(/coordinator-1 ended while starting; the end of .*noSuchSetting/su);
      expect(await readdir(dataDir)).toEqual(['logs']);
    },
    TIMEOUT_MS,
  );

  it('never signals a process that took the pid of a dead node', async () => {
    const stranger = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    try {
      const cluster = await forgedCluster(stranger.pid ?? 0);
      expect(cluster.isRunning('worker-1')).toBe(false);
      expect(await cluster.kill('worker-1')).toBe(false);
      await cluster.stop();
      expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
      expect(JSON.parse(await readFile(path.join(dataDir, 'cluster.json'), 'utf8'))).toMatchObject({
        nodes: [{ pid: null }],
      });
    } finally {
      stranger.kill('SIGKILL');
    }
  });

  it('does not hand the settings of the shell to every node', () => {
    const env = { PATH: '/bin', DISTRIC_NODE_ID: 'x', DISTRIC_SERVER: 'y', DISTRIC_HTTP_ALLOW: 'z' };
    expect(nodeEnvironment(env)).toEqual({ PATH: '/bin', DISTRIC_HTTP_ALLOW: 'z' });
  });
});

async function forgedCluster(pid: number): Promise<LocalCluster> {
  const settings = { clusterName: 'c', profile: 'fast', pluginDirs: [], drainTimeoutMs: 0, node: {}, worker: {} };
  const node = { id: 'worker-1', role: 'worker', pid, peer: '127.0.0.1:1', http: null, metrics: '127.0.0.1:2' };
  await mkdir(dataDir);
  await writeFile(path.join(dataDir, 'cluster.json'), JSON.stringify({ version: 1, settings, nodes: [node] }));
  return LocalCluster.load(dataDir);
}
