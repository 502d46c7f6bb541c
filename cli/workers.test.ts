import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { WorkerResource } from '../api/workers.ts';
import { CommandRoom } from './command-room.ts';
import { EXIT } from './exit-code.ts';

const AT = '2026-01-13T10:25:00.000Z';

const WORKER: WorkerResource = {
  id: 'worker-5',
  address: '127.0.0.1:5',
  status: 'alive',
  load: 0.25,
  running: 1,
  capacity: 4,
  types: [{ name: 'http', version: '2' }, { name: 'log' }],
  labels: ['disk=ssd'],
  zone: 'eu-1a',
  version: '0.1.0',
  reserved: [
    { workflow: 'urgent', slots: 2 },
    { type: 'http', slots: 1 },
  ],
  registered_at: AT,
  cpu: 0.5,
  memory: 0.3,
  attempts: [{ instance: 'i1', workflow: 'w', task: 't', type: 'http', token: 7, started_at: AT }],
};

let room: CommandRoom;

beforeEach(async () => {
  room = await CommandRoom.open();
  room.peer.leaderAddress = room.peer.url.replace('http://', '');
  room.peer.workers.set('worker-5', { ...WORKER });
});

afterEach(async () => {
  await room.close();
});

describe('distric workers', () => {
  it('lists how busy each is, as the leader has it', async () => {
    const { lines, exitCode } = await room.distric(['workers', 'list']);
    expect(exitCode).toBe(EXIT.OK);
    expect(lines[1]).toMatch(/^worker-5 +alive +1\/4 +25% +50% +30% +eu-1a +0\.1\.0 +127\.0\.0\.1:5$/u);
    expect(JSON.parse((await room.distric(['workers', 'list', '-o', 'json'])).out)).toEqual({ workers: [WORKER] });
  });

  it('asks whoever answers while there is no leader to be reached', async () => {
    room.peer.leaderAddress = undefined;
    expect((await room.distric(['workers', 'list'])).lines[1]).toContain('worker-5');
  });

  it('shows what one can do, keeps and runs', async () => {
    const { out } = await room.distric(['workers', 'show', 'worker-5']);
    expect(out).toContain('Types: http 2, log');
    expect(out).toContain('Reserved: 2 for workflow urgent, 1 for type http');
    expect(out).toMatch(/^t +http +w +i1 +7 /mu);
    expect((await room.distric(['workers', 'show', 'nobody'])).exitCode).toBe(EXIT.NOT_FOUND);
  });

  it('shows an order, and whether its time is over', async () => {
    const drain = { ordered_at: AT, grace_ms: 60_000, handed_back: true };
    room.peer.workers.set('worker-5', { ...WORKER, status: 'draining', drain });
    expect((await room.distric(['workers', 'show', 'worker-5'])).out).toContain('60 s to finish, which are over');
  });

  it('drains with a grace limit, and gives tasks again', async () => {
    const { out } = await room.distric(['workers', 'drain', 'worker-5', '--grace', '10m']);
    expect(out).toBe('Draining worker-5 (marked unavailable, finishing existing tasks)\n');
    expect(room.peer.requests.at(-1)).toMatchObject({ url: '/api/v1/workers/worker-5/drain', body: '{"grace":"10m"}' });
    await room.distric(['workers', 'drain', 'worker-5', '--grace', '0s']);
    expect(room.peer.requests.at(-1)).toMatchObject({ body: '{"grace":0}' });
    expect((await room.distric(['workers', 'undrain', 'worker-5'])).out).toBe('worker-5 gets tasks again\n');
    expect(room.peer.requests.at(-1)).toMatchObject({ url: '/api/v1/workers/worker-5/undrain' });
  });

  it('waits until a worker runs nothing any more, or has left', async () => {
    const { out, err } = await room.distric(['workers', 'drain', 'worker-5', '--wait']);
    expect({ out, err }).toEqual({
      out: 'Worker drained successfully\n',
      err: 'Draining worker-5 (marked unavailable, finishing existing tasks)...\n',
    });
  });
});
