import { Readable } from 'node:stream';
import { afterEach, describe, expect, it } from '@jest/globals';
import {
  ACCESS_ROLES,
  type AccessRole,
  auditActionOf,
  GUARDED_ROUTES,
  keyText,
  mayDo,
  permissionOf,
} from '../../../api/access.ts';
import { sourceOf } from '../../../base/address.ts';
import { KeyRing } from '../../key-ring.ts';
import { RefusalNotes } from '../../refusal-notes.ts';
import { digest } from './access.ts';
import { ApiServer, type ApiServerOptions } from './api-server.ts';
import type { BackupGate } from './backup.ts';
import { RecordingGateway } from './recording-gateway.ts';
import { CountedAccess, guardWith, type GuardOptions, keyRecord } from './test-access.ts';

const servers: ApiServer[] = [];

const secretOf = (id: string): string => digest.hash(id).slice(0, 43);
const key = (id: string): string => keyText(id, secretOf(id));
const idOfRole = (role: AccessRole): string => role.replace('-', '');

/** Keys of each role (twice: good, and with the role's id ending in "expired" or "revoked"), and the bootstrap key. */
function ring(): KeyRing {
  const keys = new KeyRing(digest);
  keys.setBootstrapKey(key('bootstrap'));
  const records = ACCESS_ROLES.flatMap((role) => {
    const id = idOfRole(role);
    return [
      keyRecord(id, role, secretOf(id)),
      keyRecord(`${id}expired`, role, secretOf(`${id}expired`), { expiresAt: 1 }),
      keyRecord(`${id}revoked`, role, secretOf(`${id}revoked`), { revokedAt: 1 }),
    ];
  });
  keys.setKeys([
    ...records,
    keyRecord('slow', 'operator', secretOf('slow'), { rateLimit: 2 }),
    keyRecord('free', 'operator', secretOf('free'), { rateLimit: 0 }),
  ]);
  return keys;
}

async function start(options: GuardOptions = {}, more: Partial<ApiServerOptions> = {}) {
  const gateway = new RecordingGateway();
  gateway.commandOutcome = { result: { id: 'x' } };
  const metrics = new CountedAccess();
  const access = guardWith(ring(), { metrics, failuresPerSecond: 1e6, failuresBurst: 1e6, ...options });
  const server = new ApiServer({
    gateway,
    access,
    host: '127.0.0.1',
    port: 0,
    log: { error: () => undefined },
    backup: BACKUP,
    ...more,
  });
  servers.push(server);
  const { port } = await server.listen();
  return { server, gateway, metrics, base: `http://127.0.0.1:${port}` };
}

const BACKUP: BackupGate = {
  take: () => Promise.resolve({ name: 'x', stream: Readable.from([Buffer.from('{}')]), drop: () => undefined }),
};

interface Call {
  method?: string;
  authorization?: string;
  body?: string;
  headers?: Record<string, string>;
}

async function call(url: string, { method = 'GET', authorization, body, headers }: Call = {}) {
  const response = await fetch(url, {
    method,
    headers: {
      ...(authorization === undefined ? {} : { authorization }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body ?? null,
  });
  const text = await response.text();
  const problem = (text === '' ? {} : JSON.parse(text)) as { code?: string; detail?: string };
  return { status: response.status, headers: response.headers, code: problem.code, detail: problem.detail ?? '', text };
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

/** What anybody who may is answered by the recording gateway. */
const DONE: Readonly<Record<string, number>> = {
  'POST /messages': 202,
  'POST /rules': 201,
  'POST /workflow-definitions': 201,
  'POST /keys': 201,
  'POST /cluster/bootstrap': 204,
  'POST /cluster/members': 201,
  'DELETE /rules/:id': 204,
  'DELETE /workflow-definitions/:id': 204,
  'DELETE /keys/:id': 204,
  // Without gossip there are none, which only those hear who might see them.
  'GET /cluster/events': 404,
};

const BODIES: Readonly<Record<string, unknown>> = {
  messages: { event_type: 'a' },
  rules: {
    id: 'x',
    version: 1,
    priority: 1,
    conditions: { field: 'a', op: 'exists', value: true },
    actions: [{ workflow: 'w' }],
  },
  'workflow-definitions': { id: 'x', version: 1, tasks: [{ id: 'a', type: 't' }] },
  keys: { name: 'ci', role: 'submitter' },
  'cluster/bootstrap': {
    cluster_id: '0b6a3c1e-7a4f-4a8e-9a55-6f1d2c3b4a59',
    data_uuid: '1b6a3c1e-7a4f-4a8e-9a55-6f1d2c3b4a59',
    address: '10.0.0.1:7400',
  },
  'cluster/members': { id: 'c2', address: '10.0.0.2:7400' },
  'cluster/members/promote': { ids: ['c2', 'c3'] },
  'cluster/members/remove': { ids: ['c4', 'c5'] },
};

function bodyFor(method: string, path: string): string | undefined {
  if (method !== 'POST' && method !== 'PUT') return undefined;
  if (path.endsWith('/rotate') || path.endsWith('/cancel')) return undefined;
  return JSON.stringify(BODIES[path.slice(1)] ?? BODIES[path.split('/')[1] ?? '']);
}

describe('the auth matrix', () => {
  it('has every route of the server in its table, and no route that is not there', async () => {
    const { server } = await start();
    const served = server.routes.map(({ method, url }) => `${method} ${url.replace('/api/v1', '')}`);
    for (const route of served) expect([route, permissionOf(...split(route))]).not.toContain(undefined);
    expect(served.filter((route) => !route.startsWith('HEAD ')).sort()).toEqual([...GUARDED_ROUTES].sort());
  });

  it.each(GUARDED_ROUTES)('answers everybody as documented: %s', async (route) => {
    const { base, gateway } = await start();
    const [method, path] = split(route);
    const url = `${base}${path.replace(':id', 'x')}`;
    const body = bodyFor(method, path.replace('/api/v1', ''));
    const send = (authorization?: string) =>
      call(url, {
        method,
        ...(body === undefined ? {} : { body }),
        ...(authorization === undefined ? {} : { authorization }),
      });
    const reached = (): number => gateway.commands.length + gateway.queries.length + gateway.submissions.length;

    const unauthenticated: [string | undefined, RegExp][] = [
      [undefined, /wants a key/],
      ['', /must be: Bearer/],
      ['Basic dXNlcjpwYXNz', /must be: Bearer/],
      [`Bearer ${keyText('nobody', secretOf('x'))}`, /not known/],
      ...ACCESS_ROLES.flatMap((role): [string, RegExp][] => [
        [`Bearer ${keyText(idOfRole(role), secretOf('wrong'))}`, /not known/],
        [`Bearer ${key(`${idOfRole(role)}expired`)}`, /expired/],
        [`Bearer ${key(`${idOfRole(role)}revoked`)}`, /revoked/],
      ]),
    ];
    for (const [authorization, detail] of unauthenticated) {
      const answer = await send(authorization);
      expect({ authorization, status: answer.status, code: answer.code }).toEqual({
        authorization,
        status: 401,
        code: 'UNAUTHENTICATED',
      });
      expect(answer.detail).toMatch(detail);
      expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer realm="distric"/);
    }
    expect(reached()).toBe(0);

    const permission = permissionOf(method, path);
    for (const role of ACCESS_ROLES) {
      const before = reached();
      const answer = await send(`Bearer ${key(idOfRole(role))}`);
      const allowed = permission !== undefined && mayDo(role, permission);
      const expected = allowed ? (DONE[route] ?? 200) : 403;
      expect({ role, status: answer.status }).toEqual({ role, status: expected });
      expect(reached()).toBe(before + (allowed && expected !== 404 ? 1 : 0));
      if (!allowed) expect(answer).toMatchObject({ code: 'FORBIDDEN', detail: expect.stringContaining(role) });
    }
    expect((await send(`Bearer ${key('bootstrap')}`)).status).toBe(DONE[route] ?? 200);
  });

  it('has an audit action for each route that changes anything but by a message, and for backups', () => {
    const without = GUARDED_ROUTES.filter((route) => auditActionOf(...split(route)) === undefined);
    const reading = GUARDED_ROUTES.filter((route) => route.startsWith('GET ') && route !== 'GET /cluster/backup');
    expect(without.sort()).toEqual([...reading, 'POST /messages'].sort());
  });

  it('is what docs/access.md says', () => {
    const table = Object.fromEntries(
      ACCESS_ROLES.map((role) => [role, GUARDED_ROUTES.filter((route) => isAllowed(role, route))]),
    );
    expect(table['submitter']).toEqual([
      'POST /messages',
      'GET /messages/:id',
      'GET /workflows/:id',
      'GET /instances/:id',
    ]);
    expect(table['read-only']?.every((route) => route.startsWith('GET '))).toBe(true);
    for (const route of GUARDED_ROUTES) {
      const ofAdmins = /\/(keys|audit|cluster\/backup)|^(POST|DELETE) \/cluster/.test(route);
      expect([route, table['operator']?.includes(route)]).toEqual([route, !ofAdmins]);
      expect([route, table['read-only']?.includes(route)]).toEqual([route, route.startsWith('GET ') && !ofAdmins]);
      expect(table['admin']).toContain(route);
    }
  });
});

function split(route: string): [method: string, path: string] {
  const [method = '', path = ''] = route.split(' ');
  return [method, `/api/v1${path}`];
}

function isAllowed(role: AccessRole, route: string): boolean {
  const permission = permissionOf(...split(route));
  return permission !== undefined && mayDo(role, permission);
}

describe('AccessGuard', () => {
  it('does not say what paths there are to somebody without a key, and says it to everybody else', async () => {
    const { base } = await start();
    const authorization = `Bearer ${key('submitter')}`;
    expect((await call(`${base}/api/v1/nowhere`)).status).toBe(401);
    expect((await call(`${base}/api/v1/rules`, { method: 'PATCH' })).status).toBe(401);
    expect((await call(`${base}/api/v1/nowhere`, { authorization })).status).toBe(404);
    expect((await call(`${base}/api/v1/rules`, { method: 'PATCH', authorization })).status).toBe(405);
    expect((await call(`${base}/api/v1/rules`, { method: 'HEAD', authorization })).status).toBe(403);
  });

  it('answers before it reads the body, and ends a connection whose body is long', async () => {
    const { base, gateway } = await start();
    const answer = await call(`${base}/api/v1/messages`, { method: 'POST', body: `"${'x'.repeat(100_000)}"` });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('connection')).toBe('close');
    const short = await call(`${base}/api/v1/messages`, { method: 'POST', body: '{"a":1}' });
    expect(short.headers.get('connection')).not.toBe('close');
    expect(gateway.submissions).toEqual([]);
  });

  it('asks nobody while it is disabled, and calls them anonymous', async () => {
    const { base, gateway } = await start({ mode: 'disabled' });
    expect((await call(`${base}/api/v1/rules/x`, { method: 'DELETE', authorization: 'Bearer nonsense' })).status).toBe(
      204,
    );
    expect(gateway.actors).toEqual([{ kind: 'anonymous', id: '', name: '', role: 'admin' }]);
  });

  it('names who commands, and gives each key its own idempotency keys', async () => {
    const { base, gateway } = await start();
    const authorization = `Bearer ${key('operator')}`;
    await call(`${base}/api/v1/rules/x`, { method: 'DELETE', authorization });
    await call(`${base}/api/v1/rules/x`, { method: 'DELETE', authorization: `bearer  ${key('bootstrap')} ` });
    expect(gateway.actors).toMatchObject([
      { kind: 'key', id: 'operator', name: 'the operator', role: 'operator' },
      { kind: 'bootstrap', id: 'bootstrap', role: 'admin' },
    ]);
    const headers = { 'distric-source': 'shop', 'idempotency-key': '1' };
    await call(`${base}/api/v1/messages`, { method: 'POST', body: '{"a":1}', authorization, headers });
    expect(gateway.submissions[0]?.scope).toBe('key:operator');
  });

  it('limits the requests of a key, and says how far it may go', async () => {
    const { base, metrics } = await start();
    const send = (id: string) => call(`${base}/api/v1/rules`, { authorization: `Bearer ${key(id)}` });
    const first = await send('slow');
    expect([first.status, first.headers.get('ratelimit-limit'), first.headers.get('ratelimit-remaining')]).toEqual([
      200,
      '2',
      '1',
    ]);
    await send('slow');
    const over = await send('slow');
    expect(over).toMatchObject({ status: 429, code: 'RATE_LIMITED' });
    expect(over.headers.get('retry-after')).toBe('1');
    expect(over.headers.get('ratelimit-reset')).toBe('1');
    expect(metrics.limited).toBe(1);
    const other = await send('operator');
    expect([other.status, other.headers.get('ratelimit-limit')]).toEqual([200, null]);
  });

  it('takes the limit of the configuration for keys without one of their own', async () => {
    const { base } = await start({ requestsPerSecondPerKey: 1 });
    const statuses = async (id: string) => {
      const answers = [];
      for (let i = 0; i < 3; i++)
        answers.push((await call(`${base}/api/v1/rules`, { authorization: `Bearer ${key(id)}` })).status);
      return answers;
    };
    expect(await statuses('admin')).toContain(429);
    expect(await statuses('free')).toEqual([200, 200, 200]);
    expect(await statuses('bootstrap')).toEqual([200, 200, 200]);
  });

  it('counts failed tries of an address, and keeps out nobody with a good key for it', async () => {
    const { base, metrics } = await start({ failuresPerSecond: 0.001, failuresBurst: 3 });
    const wrong = { authorization: `Bearer ${keyText('admin', secretOf('wrong'))}` };
    for (let i = 0; i < 3; i++) expect((await call(`${base}/api/v1/rules`, wrong)).status).toBe(401);
    const refused = await call(`${base}/api/v1/rules`, wrong);
    expect(refused).toMatchObject({ status: 429, code: 'RATE_LIMITED' });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(100);
    expect((await call(`${base}/api/v1/rules`, { authorization: `Bearer ${key('operator')}` })).status).toBe(200);
    expect(metrics.failures).toEqual(['unknown', 'unknown', 'unknown', 'unknown']);
  });

  it('takes the network of an IPv6 address for one source', () => {
    expect(sourceOf('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2');
    expect(sourceOf('2001:db8:1:2::6')).toBe('2001:db8:1:2');
    expect(sourceOf('2001:db8::1')).toBe('2001:db8:0:0');
    expect(sourceOf('::1')).toBe('0:0:0:0');
    for (const ipv4 of ['10.0.0.1', '::ffff:10.0.0.1']) expect(sourceOf(ipv4)).toBe(ipv4);
  });
});

describe('a change that is refused before it reaches the log', () => {
  it('goes on record with who asked for it, unless nobody was let in', async () => {
    const gateway = new RecordingGateway();
    const { base } = await start({}, { refusals: new RefusalNotes(gateway) });
    const put = (id: string | undefined, body: string, path = '/rules/r'): Promise<unknown> =>
      call(`${base}/api/v1${path}`, {
        method: 'PUT',
        body,
        ...(id === undefined ? {} : { authorization: `Bearer ${key(id)}` }),
      });
    await put('submitter', '{}');
    await put('operator', '{"id":"r"}');
    await put('operator', '{');
    await put('readonly', '{}', '/workflow-definitions/w');
    await put(undefined, '{}');
    await put('operatorrevoked', '{}');
    await call(`${base}/api/v1/keys`, { authorization: `Bearer ${key('operator')}` });
    expect(gateway.commands).toEqual([
      { kind: 'note', action: 'rule.put', target: 'rule/r', outcome: 'FORBIDDEN' },
      { kind: 'note', action: 'rule.put', target: 'rule/r', outcome: 'INVALID_DOCUMENT' },
      { kind: 'note', action: 'rule.put', target: 'rule/r', outcome: 'INVALID_JSON' },
      { kind: 'note', action: 'workflow.put', target: 'workflow/w', outcome: 'FORBIDDEN' },
    ]);
    expect(gateway.actors.map(({ id }) => id)).toEqual(['submitter', 'operator', 'operator', 'readonly']);
  });
});

describe('/keys', () => {
  const authorization = `Bearer ${key('admin')}`;

  it('tells a new key once, and hands only its hash on', async () => {
    const { base, gateway } = await start();
    const body = JSON.stringify({ name: 'ci', role: 'submitter', expires_in: '1h', rate_limit: 5 });
    const made = await call(`${base}/api/v1/keys`, { method: 'POST', body, authorization });
    expect(made.status).toBe(201);
    const { key: text } = JSON.parse(made.text) as { key: string };
    const [, id = '', secret = ''] = /^dk_([a-z0-9]{16})_([\w-]{43})$/.exec(text) ?? [];
    expect(made.headers.get('location')).toBe(`/api/v1/keys/${id}`);
    expect(gateway.commands).toMatchObject([
      { kind: 'createKey', id, name: 'ci', hash: digest.hash(secret), rateLimit: 5 },
    ]);
    expect(JSON.stringify(gateway.commands)).not.toContain(secret);
    const rotated = await call(`${base}/api/v1/keys/${id}/rotate`, {
      method: 'POST',
      body: '{"overlap":"5m"}',
      authorization,
    });
    const { key: next } = JSON.parse(rotated.text) as { key: string };
    expect(next.startsWith(`dk_${id}_`)).toBe(true);
    expect(next).not.toBe(text);
    expect(gateway.commands[1]).toMatchObject({ kind: 'rotateKey', id, overlapMs: 300_000 });
  });

  it.each([
    ['{"name":"ci"}', 'role'],
    ['{"name":"ci","role":"root"}', 'role'],
    ['{"name":"","role":"admin"}', 'name'],
    ['{"name":"ci","role":"admin","expires_in":"0s"}', 'expires_in'],
    ['{"name":"ci","role":"admin","rate_limit":-1}', 'rate_limit'],
    ['{"name":"ci","role":"admin","secret":"mine"}', 'secret'],
  ])('refuses %s', async (body, field) => {
    const { base, gateway } = await start();
    const answer = await call(`${base}/api/v1/keys`, { method: 'POST', body, authorization });
    expect(answer).toMatchObject({ status: 400, text: expect.stringContaining(`"field":"${field}"`) });
    expect(gateway.commands).toEqual([]);
  });

  it('overlaps a rotation by a day unless told otherwise, and by 30 days at most', async () => {
    const { base, gateway } = await start();
    const rotate = (body: string) => call(`${base}/api/v1/keys/x/rotate`, { method: 'POST', body, authorization });
    expect((await rotate('{}')).status).toBe(200);
    expect((await rotate('{"overlap":0}')).status).toBe(200);
    expect((await rotate('{"overlap":"31d"}')).status).toBe(400);
    expect(gateway.commands).toMatchObject([{ overlapMs: 86_400_000 }, { overlapMs: 0 }]);
  });

  it('pages the audit log with its filters', async () => {
    const { base, gateway } = await start();
    await call(`${base}/api/v1/audit?limit=5&actor=ci&action=rule.put`, { authorization });
    expect(gateway.queries[0]?.query).toEqual({ kind: 'audit', page: { limit: 5 }, actor: 'ci', action: 'rule.put' });
  });
});
