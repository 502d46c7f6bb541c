import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PluginTable } from './plugin-table.ts';
import type { Logger } from '../../plugins/sdk.ts';
import { http } from '../../plugins/builtin/http.ts';

const silent = () => undefined;
const log: Logger = { debug: silent, info: silent, warn: silent, error: silent };

interface Seen {
  method: string | undefined;
  headers: IncomingMessage['headers'];
  body: string;
}

const seen: Seen[] = [];
let server: Server;
let port: number;
/** May dial the test's server as localhost; `strict` may dial nothing private. */
const lenient = new PluginTable();
const strict = new PluginTable();

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = '';
  for await (const chunk of request as AsyncIterable<Buffer>) body += chunk.toString();
  seen.push({ method: request.method, headers: request.headers, body });
  const path = request.url ?? '';
  const status = /^\/status\/(\d+)$/.exec(path)?.[1];
  if (status !== undefined) response.writeHead(Number(status), { location: '/elsewhere' }).end('text');
  else if (path === '/json') response.writeHead(201, { 'content-type': 'application/json' }).end('{"a":[1]}');
  else if (path === '/bad-json') response.writeHead(200, { 'content-type': 'application/json' }).end('{"a"');
  else if (path === '/large') response.end('x'.repeat(128 * 1024 + 1));
  else if (path === '/reset') request.socket.destroy();
  else if (path === '/last')
    response.writeHead(200, { connection: 'keep-alive' }).end('', () => request.socket.destroy());
  else if (path !== '/never') response.end('text');
}

beforeAll(async () => {
  server = createServer((request, response) => void answer(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
  for (const name of ['http', 'webhook']) await lenient.add(http(name, `elsewhere, localhost:${port}`), [], log);
  await strict.add(http('http', `127.0.0.1:${port + 1}`), [], log);
});

afterAll(async () => {
  await lenient.close(log);
  await strict.close(log);
  server.closeAllConnections();
  server.close();
});

async function run(
  table: PluginTable,
  config: Record<string, unknown>,
  type = 'http',
  signal = new AbortController().signal,
) {
  const context = Buffer.from(
    JSON.stringify({ workflow: 'w', message_id: 'm', config, message: { event_type: 'paid' } }),
  );
  const request = { instanceId: 'i', taskId: 't/1', token: 42, attempt: 2, type, context };
  const { status, output, error } = await table.execute(request, signal, log);
  return {
    status,
    error,
    output: (output === undefined ? {} : JSON.parse(Buffer.from(output).toString())) as Record<string, unknown>,
  };
}

const url = (path: string) => `http://localhost:${port}${path}`;

describe('http', () => {
  it('posts the message with the keys that make a side effect exactly-once', async () => {
    const result = await run(
      lenient,
      { url: url('/json'), headers: { 'X-Key': 'k', 'Idempotency-Key': 'forged' } },
      'webhook',
    );
    expect(result).toMatchObject({ status: 'ok', output: { status: 201, body: { a: [1] } } });
    expect(result.output['headers']).toMatchObject({ 'content-type': 'application/json' });
    expect(seen.at(-1)).toMatchObject({ method: 'POST', body: '{"event_type":"paid"}' });
    expect(seen.at(-1)?.headers).toMatchObject({
      'content-type': 'application/json',
      'idempotency-key': 'i/t%2F1',
      'distric-fencing-token': '42',
      'x-key': 'k',
    });
  });

  it('sends the configured body, or none with GET, and gives back text as text', async () => {
    expect((await run(lenient, { url: url('/'), method: 'PUT', body: 'plain' })).output).toMatchObject({
      body: 'text',
    });
    expect(seen.at(-1)).toMatchObject({
      method: 'PUT',
      body: 'plain',
      headers: { 'content-type': 'text/plain; charset=utf-8' },
    });
    await run(lenient, { url: url('/'), body: { a: 1 } });
    expect(seen.at(-1)?.body).toBe('{"a":1}');
    expect((await run(lenient, { url: url('/bad-json'), method: 'GET' })).output).toMatchObject({ body: '{"a"' });
    expect(seen.at(-1)).toMatchObject({ method: 'GET', body: '' });
  });

  it.each([
    [404, 'terminal'],
    [302, 'terminal'],
    [408, 'retryable'],
    [429, 'retryable'],
    [500, 'retryable'],
    [503, 'retryable'],
  ])('a %s is %s, and a redirect is not followed', async (code, status) => {
    const before = seen.length;
    const result = await run(lenient, { url: url(`/status/${code}`) });
    expect(result).toMatchObject({ status, error: expect.stringContaining(`answered ${code}`) as unknown });
    expect(seen).toHaveLength(before + 1);
  });

  it('retries network errors and time-outs, and stops when aborted', async () => {
    expect(await run(lenient, { url: url('/reset') })).toMatchObject({ status: 'retryable' });
    expect(await run(lenient, { url: url('/never'), timeout: '50ms' })).toMatchObject({
      status: 'retryable',
      error: `POST localhost:${port}: no complete response in 50 ms`,
    });
    expect(await run(lenient, { url: url('/never') }, 'http', AbortSignal.timeout(50))).toMatchObject({
      status: 'retryable',
    });
  });

  it('goes on after a kept connection was closed by the other side', async () => {
    for (let i = 0; i < 5; i++)
      expect(await run(lenient, { url: url('/last') })).toMatchObject({ status: 'ok', error: undefined });
  });

  it('fails terminally on a response over the limit, a faulty header, URL or time-out', async () => {
    const results = [
      await run(lenient, { url: url('/large') }),
      await run(lenient, { url: url('/'), headers: { a: 'b\nc' } }),
      await run(lenient, { url: 'ftp://localhost/' }),
      await run(lenient, { url: 'no url' }),
      await run(lenient, { url: url('/'), timeout: 'soon' }),
    ];
    expect(results.map(({ status }) => status)).toEqual(Array(5).fill('terminal'));
    expect(results[0]?.error).toContain('131072 bytes');
  });

  it.each([
    'http://127.0.0.1',
    'http://localhost',
    'http://[::1]',
    'http://[::ffff:127.0.0.1]',
    'http://2130706433',
    'http://0',
  ])('refuses to dial %s unless it is allowed, and sends nothing', async (origin) => {
    const before = seen.length;
    const result = await run(strict, { url: `${origin}:${port}/` });
    expect(result).toMatchObject({ status: 'terminal', error: expect.stringContaining('refused to dial') as unknown });
    expect(seen).toHaveLength(before);
  });

  it('permits an address by host and port', async () => {
    const table = new PluginTable();
    await table.add(http('http', `127.0.0.1:${port}`), [], log);
    expect(await run(table, { url: `http://127.0.0.1:${port}/` })).toMatchObject({ status: 'ok' });
    await table.close(log);
  });
});
