import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { CommandRoom } from './command-room.ts';
import { EXIT } from './exit-code.ts';

const KEY = `dk_ci_${'k'.repeat(43)}`;

let room: CommandRoom;

beforeEach(async () => {
  room = await CommandRoom.open();
});

afterEach(async () => {
  await room.close();
});

function sentKeys(): unknown[] {
  return room.peer.requests.map(({ headers }) => headers['authorization']);
}

describe('distric keys', () => {
  it('shows a new key alone on standard output', async () => {
    const argv = ['keys', 'create', '--name', 'ci', '--role', 'operator', '--expires-in', '90d', '--rate-limit', '5'];
    const { out, err, exitCode } = await room.distric(argv);
    expect({ out, exitCode }).toEqual({ out: `dk_k1_${'s'.repeat(43)}\n`, exitCode: EXIT.OK });
    expect(err).toContain('shown this once');
    const body: unknown = JSON.parse(room.peer.requests[0]?.body ?? '');
    expect(body).toEqual({ name: 'ci', role: 'operator', expires_in: '90d', rate_limit: 5 });
    expect(await room.distric(['keys', 'create', '--name', 'ci', '--role', 'root'])).toMatchObject({
      exitCode: EXIT.USAGE,
    });
  });

  it('lists, shows, rotates and revokes', async () => {
    const { lines } = await room.distric(['keys', 'list']);
    expect(lines[1]).toMatch(/^k1 +ci +operator +expired/u);
    expect(lines[2]).toMatch(/^k2 +ci +operator +revoked/u);
    expect((await room.distric(['keys', 'get', 'k1'])).out).toContain('role: operator');
    expect((await room.distric(['keys', 'rotate', 'k1', '--overlap', '0'])).out).toMatch(/^dk_k1_s{43}\n$/u);
    expect(room.peer.requests.at(-1)).toMatchObject({ url: '/api/v1/keys/k1/rotate', body: '{"overlap":0}' });
    expect((await room.distric(['keys', 'revoke', 'k1', 'k2'])).lines).toEqual(['key/k1 revoked', 'key/k2 revoked']);
  });
});

describe('distric audit list', () => {
  it('says who changed what, and how to go on', async () => {
    const { lines } = await room.distric(['audit', 'list', '--actor', 'ci', '--action', 'rule.put', '--limit', '1']);
    expect(lines[1]).toMatch(/ci \(k1\) +operator +rule\.put +rule\/r +ok$/u);
    expect(lines.at(-1)).toBe('More: --cursor 7');
    expect(room.peer.requests[0]?.url).toBe('/api/v1/audit?limit=1&actor=ci&action=rule.put');
  });
});

describe('the key of a command', () => {
  it('comes from the file, else from the environment', async () => {
    await room.write('key', `${KEY}\n`);
    const env = { DISTRIC_SERVER: room.peer.url, DISTRIC_API_KEY: `dk_env_${'e'.repeat(43)}` };
    await room.distric(['rules', 'list', '--api-key-file', 'key'], { env });
    await room.distric(['rules', 'list'], { env });
    await room.distric(['rules', 'list']);
    expect(sentKeys()).toEqual([`Bearer ${KEY}`, `Bearer ${env.DISTRIC_API_KEY}`, undefined]);
  });

  it('is checked before it is sent, and quoted nowhere', async () => {
    await room.write('key', 'not-a-key-but-secret');
    const { err, exitCode } = await room.distric(['rules', 'list', '--api-key-file', 'key']);
    expect(exitCode).toBe(EXIT.USAGE);
    expect(err).not.toContain('but-secret');
    expect(await room.distric(['rules', 'list', '--api-key-file', 'none'])).toMatchObject({ exitCode: EXIT.NOT_FOUND });
    expect(room.peer.requests).toEqual([]);
  });

  it('goes in plain text to this machine only, unless told otherwise', async () => {
    const env = { DISTRIC_API_KEY: KEY };
    // Reaches this machine, and is none of its loopback addresses; nothing listens at port 1.
    const server = 'http://0.0.0.0:1';
    const refused = await room.distric(['status', '--server', server], { env });
    expect([refused.exitCode, refused.err]).toEqual([
      2,
      expect.stringContaining(`${server} would get the key in plain`),
    ]);
    expect(refused.err).not.toContain(KEY);
    const tried = (more: string[], to: string): Promise<{ exitCode: number }> =>
      room.distric(['status', '--timeout', '1', '--server', to, ...more], { env });
    expect(await tried(['--insecure'], server)).toMatchObject({ exitCode: 5 });
    expect(await tried([], 'https://0.0.0.0:1')).toMatchObject({ exitCode: 5 });
    expect(await tried([], 'http://[::1]:1')).toMatchObject({ exitCode: 5 });
    expect(await room.distric(['status', '--server', server, '--timeout', '1'], { env: {} })).toMatchObject({
      exitCode: 5,
    });
    const binary = ['send', '--binary', '--peer', '0.0.0.0:1', '{}'];
    const peer = await room.distric(binary, { env });
    expect([peer.exitCode, peer.err]).toEqual([4, expect.stringContaining('key in plain text')]);
  });

  it('of the local cluster goes to its own coordinators and nowhere else', async () => {
    await mkdir(path.join(room.cwd, '.distric'));
    await room.write('.distric/admin.key', KEY);
    const local = (http: string) => {
      const node = { id: 'c1', role: 'coordinator', pid: null, peer: http, http, metrics: http };
      const file = { version: 1, settings: { pluginDirs: [] }, nodes: [node] };
      return room.write('.distric/cluster.json', JSON.stringify(file));
    };
    await local(room.peer.url.replace('http://', ''));
    await room.distric(['rules', 'list'], { env: {} });
    await room.distric(['rules', 'list']);
    await local('127.0.0.1:1');
    await room.distric(['rules', 'list']);
    expect(sentKeys()).toEqual([`Bearer ${KEY}`, `Bearer ${KEY}`, undefined]);
  });
});
