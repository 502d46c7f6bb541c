/** `distric backup …` and `distric data …`: what they print, their exit codes, and what is left on the disk. */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { testBackup, writeExample } from '../node/data/test-data.ts';
import { CommandRoom } from './command-room.ts';
import { EXIT } from './exit-code.ts';

let room: CommandRoom;
beforeEach(async () => {
  room = await CommandRoom.open();
});
afterEach(() => room.close());

const inRoom = (name: string): string => path.join(room.cwd, name);

/** Printed with -o json. */
async function json(...argv: string[]): Promise<Record<string, unknown>> {
  const { out, err, exitCode } = await room.distric([...argv, '-o', 'json']);
  expect([exitCode, exitCode === EXIT.OK ? '' : err]).toEqual([EXIT.OK, '']);
  return JSON.parse(out) as Record<string, unknown>;
}

describe('distric backup', () => {
  it('creates a file for its owner only, verifies it, and restores it', async () => {
    room.peer.backup = await testBackup(room.cwd);
    const created = await room.distric(['backup', 'create', 'shop.backup']);
    expect([created.exitCode, created.out]).toEqual([
      EXIT.OK,
      expect.stringMatching(/^shop\.backup: cluster shop as of /),
    ]);
    expect(statSync(inRoom('shop.backup')).mode & 0o777).toBe(0o600);
    expect(readFileSync(inRoom('shop.backup')).equals(room.peer.backup)).toBe(true);

    expect((await room.distric(['backup', 'verify', 'shop.backup'])).out).toMatch(/is whole.*[^]*messages +5/);
    const restored = await json('backup', 'restore', 'shop.backup', '--data-dir', 'new/data', '--node-id', 'c1');
    expect(restored).toMatchObject({ node_id: 'c1', cluster_name: 'shop', data_dir: inRoom('new/data') });
    const inspected = await json('data', 'inspect', 'new/data');
    expect(inspected).toMatchObject({ cluster_id: restored['cluster_id'], membership: { voters: ['c1'] } });

    const again = await room.distric(['backup', 'restore', 'shop.backup', '--data-dir', 'new/data', '--node-id', 'c1']);
    expect([again.exitCode, again.err]).toEqual([EXIT.FAILURE, expect.stringContaining('is not empty')]);
  });

  it('leaves nothing behind of a backup that was cut off, refused, or exists already', async () => {
    room.peer.backup = (await testBackup(room.cwd)).subarray(0, -10);
    const cut = await room.distric(['backup', 'create', 'shop.backup']);
    expect([cut.exitCode, cut.err]).toEqual([EXIT.REFUSED, expect.stringContaining('cut off')]);
    room.peer.disturbances.push({ status: 403, code: 'FORBIDDEN', detail: 'this needs the role admin' });
    const refused = await room.distric(['backup', 'create', 'shop.backup']);
    expect([refused.exitCode, refused.err]).toEqual([EXIT.FAILURE, expect.stringContaining('FORBIDDEN')]);
    room.peer.disturbances.push({ status: 503, code: 'NO_LEADER', detail: 'no leader is known' });
    expect((await room.distric(['backup', 'create', 'shop.backup'])).exitCode).toBe(EXIT.UNAVAILABLE);
    expect(readdirSync(room.cwd).filter((name) => name.startsWith('shop'))).toEqual([]);
    await room.write('shop.backup', 'precious');
    const taken = await room.distric(['backup', 'create', 'shop.backup']);
    expect([taken.exitCode, taken.err]).toEqual([EXIT.FAILURE, expect.stringContaining('is there already')]);
    expect(readFileSync(inRoom('shop.backup'), 'utf8')).toBe('precious');
  });

  it('says what is wrong with a file, by name', async () => {
    const bytes = await testBackup(room.cwd);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(inRoom('bad.backup'), bytes);
    const damaged = await room.distric(['backup', 'verify', 'bad.backup']);
    expect([damaged.exitCode, damaged.err]).toEqual([
      EXIT.REFUSED,
      expect.stringMatching(/bad\.backup: it is damaged at byte/),
    ]);
    const restored = await room.distric(['backup', 'restore', 'bad.backup', '--data-dir', 'new', '--node-id', 'c1']);
    expect(restored.exitCode).toBe(EXIT.REFUSED);
    expect(existsSync(inRoom('new'))).toBe(false);
    expect((await room.distric(['backup', 'verify', 'nowhere.backup'])).exitCode).toBe(EXIT.NOT_FOUND);
  });
});

describe('distric data', () => {
  it('verifies, inspects and exports what a node left', async () => {
    await writeExample(inRoom('data'));
    const verified = await room.distric(['data', 'verify', 'data']);
    expect([verified.exitCode, verified.lines[0]]).toEqual([EXIT.OK, 'data is whole']);
    expect((await room.distric(['data', 'inspect', 'data'])).out).toMatch(/Voters +c1, c2, c3/);
    const exported = await room.distric(['data', 'export', 'data']);
    const types = exported.lines.map((line) => (JSON.parse(line) as { type: string }).type);
    expect(new Set(types)).toEqual(new Set(['instance', 'message', 'output', 'rule', 'workflow', 'workflow_revision']));
    const nowhere = await room.distric(['data', 'inspect', 'nowhere']);
    expect([nowhere.exitCode, nowhere.err]).toEqual([EXIT.FAILURE, expect.stringContaining('there is no log in')]);
  });

  it('ends with a failure when there are faults', async () => {
    await writeExample(inRoom('data'), { missing: [3] });
    const { exitCode, out, err } = await room.distric(['data', 'verify', 'data']);
    expect(exitCode).toBe(EXIT.FAILURE);
    expect(out).toMatch(/entries 3 to 3 are missing/);
    expect(err).toMatch(/data is damaged/);
  });

  it('says what may be lost before it recovers, and does nothing without --yes', async () => {
    await writeExample(inRoom('data'));
    const before = await json('data', 'inspect', 'data');
    const asked = await room.distric(['data', 'recover', 'data', '--node-id', 'c2']);
    expect([asked.exitCode, asked.err]).toEqual([
      EXIT.USAGE,
      expect.stringMatching(
        /What may be lost:[^]*other coordinators acknowledged[^]*ever committed[^]*c1, c3[^]*add --yes/,
      ),
    ]);
    const unchanged = await json('data', 'inspect', 'data');
    expect(unchanged).toEqual(before);
    const done = await room.distric(['data', 'recover', 'data', '--node-id', 'c2', '--yes', '-o', 'json']);
    expect(done.exitCode).toBe(EXIT.OK);
    const { cluster_id: clusterId } = JSON.parse(done.out) as { cluster_id: string };
    expect(await json('data', 'inspect', 'data')).toMatchObject({
      cluster_id: clusterId,
      membership: { voters: ['c2'] },
    });
    const stranger = await room.distric(['data', 'recover', 'data', '--node-id', 'c1']);
    expect([stranger.exitCode, stranger.err]).toEqual([EXIT.NOT_FOUND, expect.stringContaining('"c1" is no member')]);
  });
});
