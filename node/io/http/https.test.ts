import { once } from 'node:events';
import { Agent, request as httpsRequest } from 'node:https';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { STRANGER } from '../../../api/access.ts';
import type { Identity } from '../../../api/identity.ts';
import { Authority, DAY_MS, validFor, type KeyedCertificate } from '../../../pki/authority.ts';
import { DistricError } from '../../../base/errors.ts';
import { KeyRing } from '../../key-ring.ts';
import { digest } from './access.ts';
import { ApiServer, type ApiServerOptions } from './api-server.ts';
import type { HttpsMaterial } from './https.ts';
import { RecordingGateway } from './recording-gateway.ts';
import { guardWith, openAccess } from './test-access.ts';

const servers: ApiServer[] = [];
let ours: KeyedCertificate;
let theirs: KeyedCertificate;

beforeAll(async () => {
  ours = await Authority.create('test', validFor(DAY_MS, Date.now()));
  theirs = await Authority.create('test', validFor(DAY_MS, Date.now()));
});

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function issue(
  role: 'coordinator' | 'worker' | 'operator' | 'client',
  name: string,
  signedBy: KeyedCertificate = ours,
): Promise<KeyedCertificate> {
  const authority = await Authority.open(signedBy);
  return authority.issue({
    identity: { clusterName: 'test', role, name },
    dnsNames: ['localhost'],
    ipAddresses: ['127.0.0.1'],
    validity: validFor(DAY_MS, Date.now()),
  });
}

async function material(signedBy: KeyedCertificate = ours): Promise<HttpsMaterial> {
  return { ...(await issue('coordinator', 'c1', signedBy)), authorities: ours.certificate };
}

async function start(
  clientCertificates: 'asked' | 'required' = 'asked',
  options: Partial<ApiServerOptions> = {},
): Promise<{ server: ApiServer; port: number }> {
  const server = new ApiServer({
    gateway: new RecordingGateway(),
    access: openAccess(),
    host: '127.0.0.1',
    port: 0,
    log: { error: () => undefined },
    https: { material: await material(), clientCertificates },
    ...options,
  });
  servers.push(server);
  const { port } = await server.listen();
  return { server, port };
}

interface Call {
  path?: string;
  body?: string;
  tls?: ConnectionOptions;
  agent?: Agent;
}

function call(
  port: number,
  { path = '/rules', body, tls = {}, agent }: Call = {},
): Promise<{ status: number; text: string; close: boolean; retryAfter: string | undefined }> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        host: '127.0.0.1',
        port,
        path: `/api/v1${path}`,
        method: body === undefined ? 'GET' : 'POST',
        headers: body === undefined ? {} : { 'content-type': 'application/json' },
        agent: agent ?? false,
        ca: ours.certificate,
        ...tls,
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => {
          const { connection, 'retry-after': retryAfter } = response.headers;
          resolve({ status: response.statusCode ?? 0, text, close: connection === 'close', retryAfter });
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

async function secure(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, ca: ours.certificate, ...options });
  await once(socket, 'secureConnect');
  return socket;
}

describe('REST over TLS', () => {
  it('answers who trusts its authority, and speaks nothing older than 1.3', async () => {
    const { port } = await start();
    expect((await call(port)).status).toBe(200);
    await expect(call(port, { tls: { ca: theirs.certificate } })).rejects.toThrow(/unable|self-signed/);
    await expect(call(port, { tls: { maxVersion: 'TLSv1.2' } })).rejects.toThrow(/protocol version|handshake/);
    const socket = await secure(port);
    expect(socket.getProtocol()).toBe('TLSv1.3');
    socket.destroy();
  });

  it('refuses plain HTTP without an answer that could be taken for one', async () => {
    const { port } = await start();
    await expect(fetch(`http://127.0.0.1:${port}/api/v1/rules`)).rejects.toThrow(/fetch failed/);
    expect((await call(port)).status).toBe(200);
  });

  it('lets nobody in without a good certificate, where certificates are required', async () => {
    const { port } = await start('required');
    const { certificate: cert, key } = await issue('client', 'ci');
    expect((await call(port, { tls: { cert, key } })).status).toBe(200);
    const forged = await issue('client', 'ci', theirs);
    await expect(call(port)).rejects.toThrow(/certificate required|socket hang up|ECONNRESET/);
    await expect(call(port, { tls: { cert: forged.certificate, key: forged.key } })).rejects.toThrow(
      /unknown ca|socket hang up|ECONNRESET|unable/,
    );
  });

  it("knows operators and clients by their certificates, and nobody by a node's or a forged one", async () => {
    const access = guardWith(new KeyRing(digest));
    const { port } = await start('asked', { access });
    const statusOf = async (made: KeyedCertificate | undefined, path: string): Promise<number> => {
      const tls = made === undefined ? {} : { cert: made.certificate, key: made.key };
      return (await call(port, { path, tls })).status;
    };
    const operator = await issue('operator', 'ann');
    expect(await statusOf(operator, '/keys')).toBe(200);
    const client = await issue('client', 'shop');
    expect(await statusOf(client, '/messages/x')).toBe(200);
    expect(await statusOf(client, '/keys')).toBe(403);
    for (const nobody of [undefined, await issue('worker', 'w1'), await issue('operator', 'ann', theirs)]) {
      expect(await statusOf(nobody, '/keys')).toBe(401);
    }
  });

  it('takes new certificates, and lets the connections that are there end with an answer', async () => {
    const { server, port } = await start();
    const agent = new Agent({ keepAlive: true });
    expect(await call(port, { agent })).toMatchObject({ status: 200, close: false });
    server.replaceCertificates(await material(theirs));
    expect(await call(port, { agent })).toMatchObject({ status: 200, close: true });
    await expect(call(port, { agent })).rejects.toThrow(/unable|self-signed/);
    expect((await call(port, { agent, tls: { ca: theirs.certificate } })).status).toBe(200);
    agent.destroy();
  });

  it('resumes no session: a client certificate counts for its own connection', async () => {
    const { port } = await start();
    const { certificate: cert, key } = await issue('operator', 'ann');
    const first = await secure(port, { cert, key });
    const sessions: Buffer[] = [];
    first.on('session', (session) => sessions.push(session));
    first.write('GET /api/v1/rules HTTP/1.1\r\nhost: x\r\n\r\n');
    await once(first, 'data');
    first.destroy();
    for (const session of sessions) {
      const second = await secure(port, { session });
      expect(second.isSessionReused()).toBe(false);
      second.destroy();
    }
    expect(sessions.length).toBeGreaterThan(0);
  });
});

describe('/join', () => {
  const admission = (request: string, role: Identity['role']) => ({
    certificate: `for ${request}`,
    authorities: 'PEM',
    identity: { clusterName: 'test', role, name: 'n' },
    by: STRANGER,
  });
  const join = {
    renew: ({ role }: Identity, request: string) => Promise.resolve(admission(request, role)),
    authorities: () => 'PEM',
    admit: (token: string, request: string) =>
      token === 'good'
        ? Promise.resolve(admission(request, 'worker'))
        : Promise.reject(new DistricError('UNAUTHENTICATED', 'the join token was not made here')),
  };

  it('is open to who has no key, and asks for a token', async () => {
    const { port } = await start('asked', { access: guardWith(new KeyRing(digest)), join });
    expect((await call(port, { path: '/join/authorities' })).text).toBe('{"authorities":"PEM"}');
    const good = await call(port, { path: '/join', body: '{"token":"good","request":"x"}' });
    expect([good.status, good.text]).toEqual([200, '{"certificate":"for x","authorities":"PEM"}']);
    const bad = await call(port, { path: '/join', body: '{"token":"bad","request":"x"}' });
    expect([bad.status, bad.text]).toEqual([401, expect.stringContaining('"code":"UNAUTHENTICATED"')]);
    expect((await call(port)).status).toBe(401);
  });

  it('gives the holder of a certificate another one, and puts both on record', async () => {
    const gateway = new RecordingGateway();
    const { port } = await start('asked', { access: guardWith(new KeyRing(digest)), join, gateway });
    const { certificate: cert, key } = await issue('worker', 'w1');
    const renewed = await call(port, { path: '/join', body: '{"request":"x"}', tls: { cert, key } });
    expect([renewed.status, renewed.text]).toEqual([200, '{"certificate":"for x","authorities":"PEM"}']);
    await call(port, { path: '/join', body: '{"token":"good","request":"x"}' });
    const row = { kind: 'note', target: 'worker/n', outcome: 'ok' };
    expect(gateway.commands).toEqual([
      { ...row, action: 'node.renew' },
      { ...row, action: 'node.join' },
    ]);
    const foreign = await issue('worker', 'w1', theirs);
    const stranger = { cert: foreign.certificate, key: foreign.key };
    for (const tls of [{}, stranger]) {
      expect((await call(port, { path: '/join', body: '{"request":"x"}', tls })).status).toBe(401);
    }
  });

  it('tells who renews too often when to come again', async () => {
    const tooOften = new DistricError('RATE_LIMITED', 'again in 540 s', [], 540);
    const { port } = await start('asked', { join: { ...join, renew: () => Promise.reject(tooOften) } });
    const { certificate: cert, key } = await issue('worker', 'w1');
    const refused = await call(port, { path: '/join', body: '{"request":"x"}', tls: { cert, key } });
    expect([refused.status, refused.retryAfter]).toEqual([429, '540']);
  });

  it('counts tries that fail, as those with a wrong key', async () => {
    const access = guardWith(new KeyRing(digest), { failuresPerSecond: 0.001, failuresBurst: 2 });
    const { port } = await start('asked', { access, join });
    const statuses = [];
    for (const token of ['bad', 'bad', 'bad', 'good']) {
      statuses.push((await call(port, { path: '/join', body: JSON.stringify({ token, request: 'x' }) })).status);
    }
    expect(statuses).toEqual([401, 401, 429, 200]);
    expect((await call(port)).status).toBe(429);
  });

  it.each(['[]', '{}', '{"token":1,"request":"x"}', '{"token":"good"}', 'null'])(
    'refuses the body %s',
    async (body) => {
      const { port } = await start('asked', { join });
      const answer = await call(port, { path: '/join', body });
      expect([answer.status, answer.text]).toEqual([400, expect.stringContaining('INVALID_REQUEST')]);
    },
  );

  it('reads no more than it needs', async () => {
    const { port } = await start('asked', { join });
    const body = JSON.stringify({ token: 'good', request: 'x'.repeat(40_000) });
    expect((await call(port, { path: '/join', body })).status).toBe(413);
  });

  it('is not there where nobody can join', async () => {
    const { port } = await start();
    expect((await call(port, { path: '/join/authorities' })).status).toBe(404);
  });
});
