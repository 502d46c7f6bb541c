import { afterEach, describe, expect, it } from '@jest/globals';
import { DistricError } from '../../../base/errors.ts';
import { ApiServer } from './api-server.ts';
import type { Backup, BackupGate } from './backup.ts';
import type { ApiTimeouts } from './limits.ts';
import { RecordingGateway } from './recording-gateway.ts';
import { openAccess } from './test-access.ts';

let server: ApiServer | undefined;
afterEach(async () => {
  await server?.close();
});

async function start(
  backup?: BackupGate,
  timeouts: Partial<ApiTimeouts> = {},
): Promise<{ url: string; gateway: RecordingGateway }> {
  const gateway = new RecordingGateway();
  const log = { error: () => undefined };
  const given = backup === undefined ? {} : { backup };
  server = new ApiServer({ gateway, access: openAccess(), host: '127.0.0.1', port: 0, log, timeouts, ...given });
  const { port } = await server.listen();
  return { url: `http://127.0.0.1:${String(port)}/api/v1/cluster/backup`, gateway };
}

/** Gives `pieces` one by one, each once the one before is taken. */
class TestGate implements BackupGate {
  dropped = Promise.withResolvers<undefined>();
  taken = 0;
  readonly #pieces: AsyncIterable<Uint8Array>;

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces;
  }

  take(): Promise<Backup> {
    this.taken++;
    return Promise.resolve({ name: 'x.backup', stream: this.#pieces, drop: () => this.dropped.resolve(undefined) });
  }
}

async function* bytes(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield await Promise.resolve(Buffer.from(text));
}

/** Never ends, and never holds up the loop. */
async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield await new Promise<Buffer>((resolve) => setImmediate(resolve, Buffer.alloc(64 * 1024)));
}

describe('GET /cluster/backup', () => {
  it('puts on record who asks, and streams the copy', async () => {
    const gate = new TestGate(bytes('one, ', 'two'));
    const { url, gateway } = await start(gate);
    const response = await fetch(url);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-disposition')).toBe('attachment; filename="x.backup"');
    expect(await response.text()).toBe('one, two');
    await gate.dropped.promise;
    expect(gateway.commands).toEqual([{ kind: 'noteBackup' }]);
  });

  it('copies nothing when that cannot be put on record', async () => {
    const gate = new TestGate(bytes('one'));
    const { url, gateway } = await start(gate);
    gateway.commandOutcome = { error: new DistricError('NO_LEADER', 'no leader is known') };
    const response = await fetch(url);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ code: 'NO_LEADER' });
    expect(gate.taken).toBe(0);
    gateway.commandOutcome = { result: null };
    expect((await fetch(url)).status).toBe(200);
  });

  it('gives one at a time, and drops the copy when the receiver goes', async () => {
    const gate = new TestGate(endless());
    const { url } = await start(gate);
    const control = new AbortController();
    const first = await fetch(url, { signal: control.signal });
    expect(first.status).toBe(200);
    const second = await fetch(url);
    expect(second.status).toBe(503);
    expect(await second.json()).toMatchObject({ code: 'QUEUE_FULL' });
    control.abort();
    await gate.dropped.promise;
    const third = new AbortController();
    expect((await fetch(url, { signal: third.signal })).status).toBe(200);
    third.abort();
  });

  it('cuts the connection when the copy fails half-way, so that nobody takes a part for the whole', async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(Buffer.from('half'));
      throw new Error('the disk');
    }
    const { url } = await start(new TestGate(failing()));
    const response = await fetch(url);
    await expect(response.text()).rejects.toThrow();
  });

  it('cuts off a receiver that takes too little, though it is never silent for long', async () => {
    async function* dripping(): AsyncGenerator<Uint8Array> {
      for (;;) yield await new Promise<Buffer>((resolve) => setTimeout(resolve, 5, Buffer.alloc(1)));
    }
    const gate = new TestGate(dripping());
    const { url } = await start(gate, { backupPaceMs: 100 });
    await expect((await fetch(url)).text()).rejects.toThrow();
    await gate.dropped.promise;
  });

  it('is cut short when the server closes', async () => {
    const gate = new TestGate(endless());
    const { url } = await start(gate, { drainMs: 2_147_483_647 });
    const response = await fetch(url);
    const cut = expect(response.text()).rejects.toThrow();
    await server?.close();
    await cut;
    await gate.dropped.promise;
  });

  it('has no headers without the copy, takes no parameters, and is not there without a gate', async () => {
    const gate = new TestGate(bytes('one'));
    const { url } = await start(gate);
    expect((await fetch(url, { method: 'HEAD' })).status).toBe(405);
    expect((await fetch(`${url}?consistency=stale`)).status).toBe(400);
    expect(gate.taken).toBe(0);
    await server?.close();
    expect((await fetch((await start()).url)).status).toBe(404);
  });
});
