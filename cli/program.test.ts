import { appendFile, mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { CapturedIoOptions } from './captured-io.ts';
import { CommandRoom } from './command-room.ts';
import type { CommandResult } from './command-room.ts';
import { EXIT } from './exit-code.ts';
import type { RestPeer } from './rest-peer.ts';

let cwd: string;
let peer: RestPeer;
let room: CommandRoom;

beforeEach(async () => {
  room = await CommandRoom.open();
  ({ cwd, peer } = room);
});

afterEach(() => room.close());

function distric(argv: string[], options: CapturedIoOptions = {}): Promise<CommandResult> {
  return room.distric(argv, options);
}

function write(name: string, text: string): Promise<void> {
  return room.write(name, text);
}

/** Those with an `http` address are coordinators. */
function clusterFile(nodes: { id: string; http?: string; pid?: number }[]): string {
  const whole = nodes.map(({ id, http = null, pid = null }) => {
    const role = http === null ? 'worker' : 'coordinator';
    return { id, role, pid, peer: '127.0.0.1:1', http, metrics: '127.0.0.1:2', startedAt: null };
  });
  return JSON.stringify({ version: 1, settings: { pluginDirs: [] }, nodes: whole });
}

describe('distric', () => {
  it('explains each command, with an example', async () => {
    const commands = [
      ['up'],
      ['down'],
      ['status'],
      ['cluster', 'status'],
      ['apply'],
      ['validate'],
      ['send'],
      ['logs'],
      ['version'],
      ...['init', 'issue', 'rotate', 'show'].map((name) => ['pki', name]),
      ['pki', 'join-token', 'create'],
      ['net', 'ping'],
      ['net', 'interfaces'],
      ...['list', 'get', 'delete', 'reload'].map((name) => ['rules', name]),
      ...['list', 'get', 'delete'].map((name) => ['definitions', name]),
      ...['list', 'get', 'cancel'].map((name) => ['instances', name]),
      ...['list', 'get', 'cancel'].map((name) => ['workflows', name]),
      ...['list', 'get'].map((name) => ['messages', name]),
    ];
    for (const command of commands) {
      const { exitCode, out } = await distric([...command, '--help']);
      expect({ command, exitCode }).toEqual({ command, exitCode: EXIT.OK });
      expect(out).toContain(`$ distric ${command.join(' ')}`);
      expect(out).toContain('--server');
    }
  });

  it('ends with the usage code for a wrong command line', async () => {
    const wrong = [[], ['nonsense'], ['rules'], ['send'], ['apply'], ['status', '-o', 'xml'], ['status', '--server', 'ftp:/x y'],
      ['up', '--coordinators', '2'], ['instances', 'list', '--limit', '0'],
      ['members', 'add', 'c2', '--address', 'nonsense'], ['members', 'replace', 'c2', '--http-address', 'c2:0']]; // prettier-ignore
    for (const argv of wrong) {
      const { exitCode, err } = await distric(argv);
      expect({ argv, exitCode }).toEqual({ argv, exitCode: EXIT.USAGE });
      expect(err).not.toBe('');
    }
  });

  it('prints its version', async () => {
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    expect((await distric(['--version'])).out).toBe(`${version}\n`);
    expect(JSON.parse((await distric(['version', '-o', 'json'])).out)).toMatchObject({ distric: version });
  });

  it('finds the servers by option, environment, and the cluster file of a parent folder', async () => {
    const env = {};
    expect(await distric(['rules', 'list'], { env })).toMatchObject({ exitCode: EXIT.UNAVAILABLE });
    expect(await distric(['rules', 'list', '-s', `${peer.url},127.0.0.1:1`], { env })).toMatchObject({
      exitCode: EXIT.OK,
    });
    await mkdir(path.join(cwd, '.distric'));
    await mkdir(path.join(cwd, 'deep/er'), { recursive: true });
    await write('.distric/cluster.json', clusterFile([{ id: 'coordinator-1', http: new URL(peer.url).host }]));
    expect(await distric(['rules', 'list'], { env, cwd: path.join(cwd, 'deep/er') })).toMatchObject({
      exitCode: EXIT.OK,
    });
  });

  it.each([
    ['{"version":1,"nodes":[', 'Unexpected end'],
    ['{}', 'not a cluster file'],
    ['{"version":1,"settings":{},"nodes":[]}', 'not a cluster file'],
    [clusterFile([{ id: '../up', http: '127.0.0.1:1' }]), 'not a cluster file'],
    [clusterFile([{ id: 'coordinator-1', http: '127.0.0.1:1', pid: 1 }]), 'not a cluster file'],
  ])('says of a damaged cluster file where it is and what to do: %s', async (text, reason) => {
    await mkdir(path.join(cwd, '.distric'));
    await write('.distric/cluster.json', text);
    for (const command of [['rules', 'list'], ['up'], ['down']]) {
      const { exitCode, err } = await distric(command, { env: {} });
      expect(exitCode).toBe(EXIT.FAILURE);
      for (const part of [path.join(cwd, '.distric/cluster.json'), reason, 'distric up']) expect(err).toContain(part);
    }
  });
});

describe('distric logs', () => {
  const line = JSON.stringify({ ts: 0, level: 'warn', component: 'raft', msg: 'lost\u001b[2J leader', term: 3 });

  beforeEach(async () => {
    await mkdir(path.join(cwd, '.distric/logs'), { recursive: true });
    await write(
      '.distric/cluster.json',
      clusterFile([{ id: 'coordinator-1', http: '127.0.0.1:1' }, { id: 'worker-1' }]),
    );
  });

  it('prints the last lines of each node for people, and as written for programs', async () => {
    await write('.distric/logs/coordinator-1.log', `first\n${line}\n`);
    const { lines } = await distric(['logs', '-n', '1']);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^coordinator-1 {2}\d\d:\d\d:\d\d\.000 {2}warn {3}raft: lost \[2J leader {2}term=3$/u);
    expect((await distric(['logs', 'coordinator-1', '-o', 'json'])).out).toBe(`first\n${line}\n`);
    expect((await distric(['logs', 'worker-1'])).out).toBe('');
    expect((await distric(['logs', 'worker-9'])).exitCode).toBe(EXIT.NOT_FOUND);
  });

  it('reads as many lines as asked for from a long log', async () => {
    const rows = Array.from({ length: 5_000 }, (_, n) => `row ${String(n)} ${'x'.repeat(100)}`);
    await write('.distric/logs/worker-1.log', `${rows.join('\n')}\n`);
    const { lines } = await distric(['logs', 'worker-1', '-n', '3000', '-o', 'json']);
    expect(lines).toEqual(rows.slice(-3_000));
  });

  it('follows whole lines as they are written, until it is interrupted', async () => {
    const file = '.distric/logs/worker-1.log';
    await write(file, 'one\n');
    const interrupt = new AbortController();
    const seen: string[] = [];
    const steps = ['two\nthr', 'ee\n'];
    const advance = (text: string): void => {
      seen.push(text);
      const next = steps.shift();
      if (next === undefined) interrupt.abort();
      else void appendFile(path.join(cwd, file), next);
    };
    const { exitCode } = await distric(['logs', 'worker-1', '-f', '-o', 'json'], {
      signal: interrupt.signal,
      onWrite: advance,
    });
    expect(exitCode).toBe(EXIT.OK);
    expect(seen).toEqual(['one\n', 'two\n', 'three\n']);
  });

  it('says so when there is no local cluster', async () => {
    const elsewhere = await distric(['logs', '--data', 'other']);
    expect(elsewhere.exitCode).toBe(EXIT.NOT_FOUND);
    expect(elsewhere.err).toContain('distric up');
    expect((await distric(['down', '--data', 'other'])).exitCode).toBe(EXIT.NOT_FOUND);
  });
});
