import { connect } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { AssertionError } from '../../../base/assert.ts';
import { ApiServer, type ApiServerOptions } from './api-server.ts';
import { RecordingGateway } from './recording-gateway.ts';
import { openAccess } from './test-access.ts';

const servers: ApiServer[] = [];

async function start(
  gateway: RecordingGateway,
  options: Partial<ApiServerOptions> = {},
): Promise<{ server: ApiServer; port: number; url: string }> {
  const log = { error: () => undefined };
  const server = new ApiServer({ gateway, access: openAccess(), host: '127.0.0.1', port: 0, log, ...options });
  servers.push(server);
  const { port } = await server.listen();
  return { server, port, url: `http://127.0.0.1:${port}/api/v1/messages` };
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

/** Everything the server says on one connection until it closes it. */
function exchange(port: number, request: string, halfClose = false): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true }, () => {
      if (halfClose) socket.end(request);
      else socket.write(request);
    });
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
    socket.on('end', () => {
      socket.destroy();
      resolve(answer);
    });
    socket.on('error', reject);
  });
}

function head(lines: readonly string[]): string {
  return ['POST /api/v1/messages HTTP/1.1', 'host: test', 'content-type: application/json', ...lines, '', ''].join(
    '\r\n',
  );
}

function submitted(gateway: RecordingGateway): Promise<void> {
  return new Promise((resolve) => {
    gateway.onSubmission = resolve;
  });
}

const JSON_POST = { method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json' } };

describe('broken HTTP', () => {
  it('answers 400 to a request line that is none', async () => {
    const { port } = await start(new RecordingGateway());
    const answer = await exchange(port, 'HELLO\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"code":"INVALID_REQUEST"');
  });

  it('answers 400 to Content-Length beside Transfer-Encoding, and submits nothing', async () => {
    const gateway = new RecordingGateway();
    const { port } = await start(gateway);
    const answer = await exchange(port, `${head(['content-length: 7', 'transfer-encoding: chunked'])}{"a":1}`);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(gateway.submissions).toHaveLength(0);
  });

  it('takes what follows a Content-Length that is too short for the next request, and refuses it', async () => {
    const gateway = new RecordingGateway();
    const { port } = await start(gateway);
    const answer = await exchange(port, `${head(['content-length: 7'])}{"a":1}{"b":2}`);
    expect(answer).toContain('HTTP/1.1 400 ');
    expect(gateway.submissions.length).toBeLessThanOrEqual(1);
  });

  it('submits nothing of a body that ends before its Content-Length', async () => {
    const gateway = new RecordingGateway();
    const { port, url } = await start(gateway);
    await exchange(port, `${head(['content-length: 9999'])}{"a":1}`, true);
    expect(gateway.submissions).toHaveLength(0);
    expect((await fetch(url, JSON_POST)).status).toBe(202);
  });

  it('answers 431 to headers over the limit', async () => {
    const { port } = await start(new RecordingGateway());
    const answer = await exchange(port, head([`x-a: ${'v'.repeat(20_000)}`, 'content-length: 0']));
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
    expect(answer).toContain('HEADERS_TOO_LARGE');
  });

  it('refuses control characters in headers and never echoes an unfit request id', async () => {
    const { port, url } = await start(new RecordingGateway());
    expect(await exchange(port, head(['x-request-id: a\0b', 'content-length: 0']))).toMatch(/^HTTP\/1\.1 400 /);
    const given = await fetch(url, { headers: { 'x-request-id': 'trace-1' } });
    expect(given.headers.get('x-request-id')).toBe('trace-1');
    const unfit = await fetch(url, { headers: { 'x-request-id': '<script>' } });
    expect(unfit.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(unfit.headers.get('x-content-type-options')).toBe('nosniff');
  });
});

describe('limits', () => {
  it('cuts off a body that does not arrive in time with 408', async () => {
    const gateway = new RecordingGateway();
    const { port } = await start(gateway, { timeouts: { requestMs: 200 } });
    const answer = await exchange(port, `${head(['content-length: 100'])}{"a":`);
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(answer).toContain('REQUEST_TIMEOUT');
    expect(gateway.submissions).toHaveLength(0);
  });

  it('closes at once on a Content-Length far over the limit', async () => {
    const { port } = await start(new RecordingGateway(), { limits: { requestBytesMax: 1_000 } });
    const answer = await exchange(port, head(['content-length: 99999999']));
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer.toLowerCase()).toContain('connection: close');
  });

  it('stops reading a chunked body without end', async () => {
    const { port } = await start(new RecordingGateway(), { limits: { requestBytesMax: 1_000 } });
    const chunk = `3e8\r\n${' '.repeat(1_000)}\r\n`;
    const answer = await exchange(port, head(['transfer-encoding: chunked']) + chunk.repeat(5));
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  it('refuses with 503 what would exceed the bytes or requests in progress, and recovers', async () => {
    const gateway = new RecordingGateway();
    const { url } = await start(gateway, { limits: { heldBytesMax: 10, heldRequestsMax: 2 } });
    gateway.answersSubmissions = false;
    const arrived = submitted(gateway);
    const first = fetch(url, JSON_POST);
    await arrived;
    const second = await fetch(url, JSON_POST);
    expect(second.status).toBe(503);
    expect(second.headers.get('retry-after')).toBe('1');
    expect(await second.json()).toMatchObject({ code: 'QUEUE_FULL' });
    gateway.submissions[0]?.done([gateway.outcomeOf({ payload: new Uint8Array(), value: {} }, 0)]);
    expect((await first).status).toBe(202);
    gateway.answersSubmissions = true;
    expect((await fetch(url, JSON_POST)).status).toBe(202);
  });

  it('answers 504 when the cluster does not, and ignores its late answer', async () => {
    const gateway = new RecordingGateway();
    gateway.answersSubmissions = false;
    const { url } = await start(gateway, { timeouts: { answerMs: 50 } });
    for (const body of ['{"a":1}', '[{"a":1}]']) {
      const response = await fetch(url, { ...JSON_POST, body });
      expect(response.status).toBe(504);
      expect(await response.json()).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
      gateway.submissions.at(-1)?.done([gateway.outcomeOf({ payload: new Uint8Array(), value: {} }, 0)]);
    }
  });
});

describe('faults inside', () => {
  it('answers 500 without a trace of the cause and logs it', async () => {
    const logged: object[] = [];
    const gateway = new RecordingGateway();
    gateway.onSubmission = () => {
      throw new TypeError('secret detail');
    };
    const { url } = await start(gateway, { log: { error: (fields) => logged.push(fields) } });
    const response = await fetch(url, { ...JSON_POST, headers: { ...JSON_POST.headers, 'x-request-id': 'r1' } });
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(text).toContain('"code":"INTERNAL"');
    expect(text).not.toMatch(/secret|TypeError|\.ts/);
    expect(logged).toMatchObject([{ requestId: 'r1', err: { message: 'secret detail' } }]);
  });

  it('hands a broken assertion on instead of swallowing it', async () => {
    const bugs: AssertionError[] = [];
    const gateway = new RecordingGateway();
    gateway.onSubmission = () => {
      throw new AssertionError('broken');
    };
    const { url } = await start(gateway, { onBug: (error) => bugs.push(error) });
    expect((await fetch(url, JSON_POST)).status).toBe(500);
    expect(bugs).toHaveLength(1);
  });
});

describe('close()', () => {
  it('answers requests in flight, refuses new ones, and resolves for every caller', async () => {
    const gateway = new RecordingGateway();
    gateway.answersSubmissions = false;
    const { server, port, url } = await start(gateway);
    const arrived = submitted(gateway);
    const inFlight = fetch(url, JSON_POST);
    await arrived;
    const closed = Promise.all([server.close(), server.close()]);
    await expect(exchange(port, head(['content-length: 0']))).rejects.toThrow(/ECONNREFUSED|ECONNRESET/);
    gateway.submissions[0]?.done([gateway.outcomeOf({ payload: new Uint8Array(), value: {} }, 0)]);
    const response = await inFlight;
    expect(response.status).toBe(202);
    expect(response.headers.get('connection')).toBe('close');
    await closed;
    expect(server.heldRequests).toBe(0);
  });

  it('submits nothing that comes on an open connection afterwards', async () => {
    const gateway = new RecordingGateway();
    gateway.answersSubmissions = false;
    const { server, port } = await start(gateway);
    const arrived = submitted(gateway);
    const first = `${head(['content-length: 7'])}{"a":1}`;
    const answer = new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = connect({ host: '127.0.0.1', port }, () => socket.write(first));
      socket.on('data', (chunk) => (text += chunk.toString()));
      socket.on('error', reject);
      socket.on('close', () => {
        resolve(text);
      });
      void arrived.then(() => {
        void server.close();
        socket.write(first, () => setImmediate(answerFirst));
      });
    });
    function answerFirst(): void {
      gateway.submissions[0]?.done([gateway.outcomeOf({ payload: new Uint8Array(), value: {} }, 0)]);
    }
    expect(await answer).toMatch(/^HTTP\/1\.1 202 /);
    expect(gateway.submissions).toHaveLength(1);
  });

  it('cuts what is still in flight at the drain limit', async () => {
    const gateway = new RecordingGateway();
    gateway.answersSubmissions = false;
    const { server, url } = await start(gateway, { timeouts: { drainMs: 50, answerMs: 2_000 } });
    const arrived = submitted(gateway);
    const inFlight = fetch(url, JSON_POST);
    await arrived;
    const [, result] = await Promise.allSettled([server.close(), inFlight]);
    expect(result.status).toBe('rejected');
    gateway.submissions[0]?.done([gateway.outcomeOf({ payload: new Uint8Array(), value: {} }, 0)]);
  });
});
