import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { RetryableError, TerminalError } from 'distric/plugin';
import { taskContext } from '../dry-run.ts';
import { plugin as notify } from './plugins/notify.plugin.ts';
import { type Receiver, startReceiver } from './receiver.ts';

describe('notify', () => {
  let receiver: Receiver | undefined;
  let notices: unknown[];
  const start = async (failEvery: number) => {
    notices = [];
    receiver = await startReceiver({ failEvery, onNotice: (_key, notice) => notices.push(notice) });
    return receiver;
  };
  afterEach(async () => {
    delete process.env['GITHUB_EXAMPLE_RECEIVER'];
    await receiver?.close();
    receiver = undefined;
  });

  const send = (url: string | undefined, idempotencyKey = 'key-1') =>
    notify.execute(
      taskContext({
        idempotencyKey,
        message: { delivery: { id: 'd-1' } },
        params: { queue: 'review' },
        config: { channel: 'c', ...(url === undefined ? {} : { url }) },
        outputs: { digest: { title: 'T', url: 'U', markdown: 'M' }, labels: { labels: ['bug'], page: true } },
      }),
    );

  it('posts title, labels and markdown of the tasks before it', async () => {
    const { url, delivered } = await start(0);
    process.env['GITHUB_EXAMPLE_RECEIVER'] = url;
    expect(await send(undefined)).toEqual({ delivered: true, status: 204 });
    expect([...delivered]).toEqual([['key-1', 1]]);
    expect(notices).toEqual([
      {
        channel: 'review',
        delivery: 'd-1',
        workflow: 'test',
        title: 'T',
        url: 'U',
        page: true,
        labels: ['bug'],
        markdown: 'M',
      },
    ]);
  });

  it('may be tried again after 503, and the repeat of a success is one notice', async () => {
    const { url, delivered, failed } = await start(1);
    await expect(send(url)).rejects.toThrow(RetryableError);
    await send(url);
    await send(url);
    expect(failed.get('key-1')).toBe(1);
    expect(delivered.get('key-1')).toBe(2);
    expect(notices).toHaveLength(1);
  });

  it('fails for good on 400', async () => {
    const { url } = await start(0);
    await expect(send(url, ' ')).rejects.toThrow(new TerminalError(`notify ${url}: it answered 400`));
  });

  it('may be tried again when nobody listens, and when a redirect leads elsewhere', async () => {
    const gone = await startReceiver();
    await gone.close();
    await expect(send(gone.url)).rejects.toThrow(RetryableError);

    const target = await start(0);
    const server = createServer((_request, response) => response.writeHead(307, { location: target.url }).end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const port = (server.address() as AddressInfo).port;
    await expect(send(`http://127.0.0.1:${port}/`)).rejects.toThrow(RetryableError);
    expect(target.delivered.size).toBe(0);
    await new Promise((resolve) => server.close(resolve));
  });

  it('says so when there is no receiver', async () => {
    expect(await send(undefined)).toMatchObject({ delivered: false });
  });
});

describe('startReceiver()', () => {
  it.each([
    ['another method than POST', 405, { method: 'PUT', headers: { 'idempotency-key': 'k' }, body: '{}' }],
    ['no key', 400, { method: 'POST', body: '{}' }],
    ['no JSON', 400, { method: 'POST', headers: { 'idempotency-key': 'k' }, body: '{' }],
    ['2 MiB', 413, { method: 'POST', headers: { 'idempotency-key': 'k' }, body: '1'.repeat(2 << 20) }],
  ])('refuses %s with %i and counts nothing', async (_name, status, request) => {
    const receiver = await startReceiver();
    const response = await fetch(receiver.url, request);
    expect(response.status).toBe(status);
    expect(receiver.delivered.size).toBe(0);
    await receiver.close();
  });
});
