import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { MemberList } from '../api/rest.ts';
import { CommandRoom } from './command-room.ts';
import type { CommandResult } from './command-room.ts';
import { EXIT } from './exit-code.ts';
import type { RestPeer } from './rest-peer.ts';

type Member = MemberList['members'][number];

const VOTER: Member = {
  id: 'c1',
  role: 'voter',
  address: '10.0.0.1:7400',
  data_uuid: 'disk-1',
  match_index: 9,
  lag: 0,
};
const UNHEARD: Member = { id: 'c4', role: 'learner', address: '10.0.0.4:7400' };
const BEHIND: Member = { ...UNHEARD, data_uuid: 'disk-4', match_index: 3, lag: 5_000 };
const CAUGHT_UP: Member = { ...BEHIND, match_index: 5_003, lag: 0 };
const ADDRESS = ['--address', '10.0.0.4:7400'];

let peer: RestPeer;
let room: CommandRoom;

beforeEach(async () => {
  room = await CommandRoom.open();
  ({ peer } = room);
  peer.leaderAddress = new URL(peer.url).host;
  answers([VOTER]);
});

afterEach(() => room.close());

function answers(...lists: (readonly Member[])[]): void {
  peer.memberLists = lists.map((members) => ({ members: [...members], changing: false }));
}

function distric(...argv: string[]): Promise<CommandResult> {
  return room.distric(argv);
}

/** The orders among the requests, as `path body`. */
function orders(): string[] {
  const posted = peer.requests.filter(({ method }) => method === 'POST');
  return posted.map(({ url, body }) => `${url.replace('/api/v1/cluster', '')} ${body}`);
}

describe('distric members', () => {
  it('lists all of them, who is not heard of yet among them, and a change that is under way', async () => {
    peer.memberLists = [{ members: [VOTER, UNHEARD, { ...BEHIND, id: 'c5', returning: true }], changing: true }];
    const { lines, exitCode } = await distric('members', 'list');
    expect(exitCode).toBe(EXIT.OK);
    expect(lines.map((line) => line.split(/ {2,}/u))).toEqual([
      ['ID', 'Role', 'Address', 'Lag', 'Disk'],
      ['c1', 'voter', '10.0.0.1:7400', '0', 'disk-1'],
      ['c4', 'learner', '10.0.0.4:7400', '-', 'not heard of yet'],
      ['c5', 'learner, comes back', '10.0.0.4:7400', '5000', 'disk-4'],
      ['A change of the voters is under way.'],
    ]);
  });

  it('adds, promotes and removes, and hands on the leadership', async () => {
    await distric('members', 'add', 'c4', ...ADDRESS, '--http-address', '10.0.0.4:8080');
    await distric('members', 'promote', 'c4', 'c5');
    await distric('members', 'remove', 'c4', 'c5');
    const { out } = await distric('leader', 'transfer', '--to', 'c2');
    expect(out).toContain('the leadership goes to c2');
    expect(orders()).toEqual([
      '/members {"id":"c4","address":"10.0.0.4:7400","http_address":"10.0.0.4:8080"}',
      '/members/promote {"ids":["c4","c5"]}',
      '/members/remove {"ids":["c4","c5"]}',
      '/leader {"target":"c2"}',
    ]);
  });

  it('needs an address that is one', async () => {
    expect((await distric('members', 'add', 'c4')).exitCode).toBe(EXIT.USAGE);
    expect((await distric('members', 'add', 'c4', '--address', 'nowhere')).exitCode).toBe(EXIT.USAGE);
    expect(peer.requests).toEqual([]);
  });

  it('tells why an order is refused', async () => {
    peer.disturbances.push({ status: 400, code: 'INVALID_REQUEST', detail: 'c4 is no member' });
    const { exitCode, err } = await distric('members', 'remove', 'c4');
    expect(exitCode).toBe(EXIT.REFUSED);
    expect(err).toContain('c4 is no member');
  });

  it('waits until a learner is heard of and has caught up, and then promotes it', async () => {
    answers([VOTER], [VOTER, UNHEARD], [VOTER, BEHIND], [VOTER, CAUGHT_UP]);
    const { exitCode, err } = await distric('members', 'add', 'c4', ...ADDRESS, '--promote');
    expect(exitCode).toBe(EXIT.OK);
    expect(err).toContain('c4 has not been heard of yet');
    expect(err).toContain('c4 lacks 5000 entries');
    expect(orders().at(-1)).toBe('/members/promote {"ids":["c4"]}');
  });

  it('says how far it was when the time to wait is over', async () => {
    answers([VOTER, BEHIND]);
    const { exitCode, err } = await distric('members', 'add', 'c4', ...ADDRESS, '--wait', '--wait-timeout', '1');
    expect(exitCode).toBe(EXIT.FAILURE);
    expect(err).toContain('c4 lacks 5000 entries, after 1 s');
  });

  it('replaces a disk, or the whole member by one that is added first', async () => {
    await distric('members', 'replace', 'c1');
    answers([VOTER], [VOTER, CAUGHT_UP]);
    expect((await distric('members', 'replace', 'c1', '--with', 'c4', ...ADDRESS)).exitCode).toBe(EXIT.OK);
    expect(orders()).toEqual([
      '/members/c1/replace {}',
      '/members {"id":"c4","address":"10.0.0.4:7400"}',
      '/members/c1/replace {"with":"c4"}',
    ]);
  });

  it('asks where somebody is reached who is no member yet', async () => {
    const { exitCode, err } = await distric('members', 'replace', 'c1', '--with', 'c4');
    expect(exitCode).toBe(EXIT.USAGE);
    expect(err).toContain('c4 is no member yet: say where it is reached, with --address');
    expect(orders()).toEqual([]);
  });
});
