/** The node program as an operator meets it: flags, faults in the configuration, busy ports and directories, SIGTERM. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { parse, stringify } from 'yaml';
import type { ClusterStatus, Problem } from '../api/rest.ts';
import { freePorts } from '../cli/free-ports.ts';
import { type Answer, call } from './rest-call.ts';
import { until } from './until.ts';

const PROGRAM = fileURLToPath(new URL('../node/main.ts', import.meta.url));
const TIMEOUT_MS = 90_000;
const DRAIN_MS = 3_000;
const MIB = 1024 * 1024;

let dir: string;
let children: ChildProcess[];

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'distric-program-'));
  children = [];
});

afterEach(async () => {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  await rm(dir, { recursive: true, force: true });
});

interface Program {
  child: ChildProcess;
  out: () => string;
  err: () => string;
  exit: Promise<number | string>;
}

function start(args: readonly string[], env: Record<string, string> = {}): Program {
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('DISTRIC_')));
  const child = spawn(process.execPath, [PROGRAM, ...args], { cwd: dir, env: { ...own, ...env }, stdio: 'pipe' });
  children.push(child);
  const texts = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => (texts.out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (texts.err += chunk.toString()));
  const exit = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
  return { child, out: () => texts.out, err: () => texts.err, exit };
}

async function ready(program: Program): Promise<Record<string, string>> {
  return until('the ready line', 30_000, () => {
    const line = program
      .out()
      .split('\n')
      .find((text) => text.includes('"msg":"ready"'));
    if (line !== undefined) return Promise.resolve(JSON.parse(line) as Record<string, string>);
    if (program.child.exitCode === null) return Promise.resolve(undefined);
    return Promise.reject(new Error(`it ended: ${program.err()}${program.out()}`));
  });
}

async function coordinatorConfig(changes: object = {}): Promise<{ file: string; config: Record<string, unknown> }> {
  const [peer = 0, http = 0, metrics = 0] = await freePorts(3);
  const host = '127.0.0.1';
  const config = {
    nodeId: 'c1',
    role: 'coordinator',
    dataDir: path.join(dir, 'data'),
    coordinators: [{ id: 'c1', address: `${host}:${peer}` }],
    peer: { host, port: peer },
    http: { host, port: http },
    metrics: { host, port: metrics },
    raft: { profile: 'fast' },
    drainTimeoutMs: DRAIN_MS,
    ...changes,
  };
  const file = path.join(dir, `config-${peer}.yaml`);
  await writeFile(file, stringify(config));
  return { file, config };
}

describe('node/main.ts', () => {
  it('shows how it is used', async () => {
    const program = start(['--help']);
    expect(await program.exit).toBe(0);
    expect(program.out()).toMatch(/^Usage: node main\.ts --config FILE/);
    expect(program.out()).toContain('--print-config');
    expect(program.err()).toBe('');
  });

  it('prints the configuration it would use: flags before environment before file before defaults', async () => {
    const { file } = await coordinatorConfig({ log: { level: 'warn' }, clusterName: 'from-file' });
    const env = { DISTRIC_CLUSTER_NAME: 'from-environment', DISTRIC_LOG_LEVEL: 'error' };
    const program = start(['--config', file, '--print-config', '--log-level', 'debug'], env);
    expect({ code: await program.exit, err: program.err() }).toEqual({ code: 0, err: '' });
    expect(parse(program.out())).toMatchObject({
      nodeId: 'c1',
      clusterName: 'from-environment',
      log: { level: 'debug', format: 'json' },
      drainTimeoutMs: DRAIN_MS,
      limits: { itemBytesMax: 1_048_576 },
    });
  });

  it('takes the path of the file from the environment', async () => {
    const { file } = await coordinatorConfig();
    const program = start(['--print-config'], { DISTRIC_CONFIG: file });
    expect(await program.exit).toBe(0);
    expect(parse(program.out())).toMatchObject({ nodeId: 'c1' });
  });

  it('ends with 2 and the usage for a flag it does not know', async () => {
    const program = start(['--no-such-flag']);
    expect(await program.exit).toBe(2);
    expect(program.err()).toMatch(/--no-such-flag[\s\S]*Usage: /);
    expect(program.out()).toBe('');
  });

  it.each<[string, object, RegExp]>([
    ['a wrong type', { http: { port: 'eighty' } }, /http\.port: .*integer from 0 to 65535/],
    ['an unknown setting', { colour: 'red' }, /colour: /],
    ['a role that is none', { role: 'king' }, /role: .*coordinator, worker/],
    ['two coordinators', { coordinators: [{ id: 'c1', address: '127.0.0.1:1' }, { id: 'c2', address: '127.0.0.1:2' }] }, /coordinators: .*1, 3, 5 or 7/], // prettier-ignore
    ['a list without this node', { nodeId: 'c9' }, /coordinators|nodeId/],
    [
      'an address open to all',
      { http: { host: '0.0.0.0', port: 1 } },
      /http\.host: .*(loopback|insecureAllowPublicListen)/,
    ],
  ])('ends with 1 and names the field for %s', async (_, changes, expected) => {
    const { file } = await coordinatorConfig(changes);
    const program = start(['--config', file]);
    expect(await program.exit).toBe(1);
    expect(program.err()).toMatch(expected);
    expect(program.err()).not.toMatch(/^ {4}at /m);
  });

  it('ends with 1 for a file that is not there, or is no YAML', async () => {
    const missing = start(['--config', 'nowhere.yaml']);
    expect(await missing.exit).toBe(1);
    expect(missing.err()).toContain('nowhere.yaml');
    const file = path.join(dir, 'broken.yaml');
    await writeFile(file, 'nodeId: [a');
    const broken = start(['--config', file]);
    expect(await broken.exit).toBe(1);
    expect(broken.err()).toMatch(/line 1|flow collection/i);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'serves until %s, and ends with 0 within the drain time',
    async (signal) => {
      const { file } = await coordinatorConfig();
      const program = start(['--config', file]);
      const line = await ready(program);
      expect(line).toMatchObject({ level: 'info', component: 'node', role: 'coordinator', node: 'c1' });
      const server = `http://${line['http'] ?? ''}`;
      await until('a message is accepted', 30_000, async () =>
        (await call(server, 'POST', '/messages', { body: '{"a":1}' })).status === 202 ? true : undefined,
      );
      const signalledMs = performance.now();
      program.child.kill(signal);
      expect(await program.exit).toBe(0);
      expect(performance.now() - signalledMs).toBeLessThan(DRAIN_MS + 15_000);
      expect(program.out()).toContain('"msg":"stopped"');
      for (const text of program.out().trimEnd().split('\n')) expect(JSON.parse(text)).toHaveProperty('ts');
    },
    TIMEOUT_MS,
  );

  it.each(['peer', 'http', 'metrics'])(
    'ends with 1 and names the address when the %s port is taken',
    async (purpose) => {
      const { file, config } = await coordinatorConfig();
      const { port } = config[purpose] as { port: number };
      const holder = createServer().listen(port, '127.0.0.1');
      try {
        await once(holder, 'listening');
        const program = start(['--config', file]);
        expect(await program.exit).toBe(1);
        expect(program.err()).toContain('EADDRINUSE');
        expect(program.err()).toContain(`127.0.0.1:${port}`);
      } finally {
        holder.close();
      }
    },
    TIMEOUT_MS,
  );

  it(
    'refuses a data directory that another process uses, and leaves that one alone',
    async () => {
      const first = await coordinatorConfig();
      const owner = start(['--config', first.file]);
      const line = await ready(owner);
      const second = await coordinatorConfig({ dataDir: first.config['dataDir'] });
      const intruder = start(['--config', second.file]);
      expect(await intruder.exit).toBe(1);
      expect(intruder.err()).toMatch(/stop the other process that uses the data directory/);
      expect(intruder.err()).toContain(`process ${owner.child.pid ?? 0}`);
      const server = `http://${line['http'] ?? ''}`;
      await until('the first still serves', 30_000, async () =>
        (await call(server, 'POST', '/messages', { body: '{"a":1}' })).status === 202 ? true : undefined,
      );
    },
    TIMEOUT_MS,
  );

  it(
    'refuses messages when the state is full, keeps what it acknowledged, and takes more with a larger limit',
    async () => {
      const { file, config } = await coordinatorConfig({
        limits: { stateMapBytesMax: 64 * MIB, logMapBytesMax: 64 * MIB },
      });
      const full = start(['--config', file]);
      const server = `http://${(await ready(full))['http'] ?? ''}`;
      const body = JSON.stringify({ text: 'x'.repeat(MIB / 2) });
      let acknowledged = 0;
      let refusal: Answer<Problem> | undefined;
      // Between the limit and a full disk there is room for what is under way, so nobody is left without an answer.
      while (refusal === undefined && acknowledged < 128) {
        const answer = await call<Problem>(server, 'POST', '/messages', { body });
        if (answer.status === 202) acknowledged++;
        else refusal = answer;
      }
      expect(refusal).toMatchObject({ status: 503, body: { code: 'STORAGE_FULL' } });
      expect(refusal?.body.detail).toMatch(/^the state of \S+ is 8\d % full, its soft limit is 80 %/);
      expect(refusal?.headers.get('retry-after')).toMatch(/^\d+$/);
      expect(acknowledged).toBeGreaterThan(64);
      const metrics = `http://${(await ready(full))['metrics'] ?? ''}`;
      const health = (await (await fetch(`${metrics}/health/ready`)).json()) as {
        checks: Record<string, { status: string }>;
      };
      expect(health.checks['storage']?.status).toBe('DEGRADED');
      full.child.kill('SIGTERM');
      expect(await full.exit).toBe(0);

      await writeFile(
        file,
        stringify({ ...config, limits: { stateMapBytesMax: 256 * MIB, logMapBytesMax: 64 * MIB } }),
      );
      const larger = start(['--config', file]);
      await ready(larger);
      await until('it takes messages again', 30_000, async () =>
        (await call(server, 'POST', '/messages', { body })).status === 202 ? true : undefined,
      );
      const { body: status } = await call<ClusterStatus>(server, 'GET', '/cluster/status');
      expect(status.counts.messages).toBe(acknowledged + 1);
      expect(status.storage_level).toBe('open');
    },
    TIMEOUT_MS,
  );
});
