import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { DistricError } from '../../../base/errors.ts';
import { ApiServer } from './api-server.ts';
import { RecordingGateway } from './recording-gateway.ts';
import { openAccess } from './test-access.ts';

let gateway: RecordingGateway;
let server: ApiServer;
let base: string;

beforeEach(async () => {
  gateway = new RecordingGateway();
  server = new ApiServer({
    gateway,
    access: openAccess(),
    host: '127.0.0.1',
    port: 0,
    log: { error: () => undefined },
  });
  const { host, port } = await server.listen();
  base = `http://${host}:${port}/api/v1`;
});

afterEach(async () => {
  await server.close();
});

const RULE = {
  id: 'large',
  version: '1.0',
  priority: 10,
  enabled: true,
  conditions: { combinator: 'AND', conditions: [{ field: 'amount', op: 'greater_than', value: 100 }] },
  actions: [{ workflow: 'review' }],
};
const RULE_YAML = `
id: large
version: "1.0"
priority: 10
enabled: true
conditions: { combinator: AND, conditions: [{ field: amount, op: greater_than, value: 100 }] }
actions: [{ workflow: review }]
`;
const WORKFLOW = { id: 'review', version: '1', tasks: [{ id: 'a', type: 'log' }] };

function send(method: string, path: string, body?: string, type = 'application/json'): Promise<Response> {
  const init = body === undefined ? { method } : { method, body, headers: { 'content-type': type } };
  return fetch(base + path, init);
}

async function codeOf(response: Response): Promise<[number, string]> {
  const { code } = (await response.json()) as { code: string };
  return [response.status, code];
}

describe('GET', () => {
  it.each([
    ['/messages/m1', { kind: 'message', id: 'm1' }],
    ['/messages?limit=5&cursor=abc', { kind: 'messages', page: { limit: 5, cursor: 'abc' } }],
    ['/workflows', { kind: 'instances', page: { limit: 100 } }],
    ['/workers', { kind: 'workers' }],
    ['/workers/w1', { kind: 'worker', id: 'w1' }],
    [
      '/instances?status=timed_out&workflow=w&message=m&limit=1000',
      { kind: 'instances', page: { limit: 1000 }, status: 'TIMED_OUT', workflow: 'w', message: 'm' },
    ],
    ['/workflows/i%3A1', { kind: 'instance', id: 'i:1' }],
    ['/instances/i1', { kind: 'instance', id: 'i1' }],
    ['/workflow-definitions', { kind: 'workflows' }],
    ['/workflow-definitions/w', { kind: 'workflow', id: 'w' }],
    ['/rules', { kind: 'rules' }],
    ['/rules/r', { kind: 'rule', id: 'r' }],
    ['/cluster/status', { kind: 'clusterStatus' }],
  ])('%s asks the gateway and answers its result', async (path, query) => {
    const response = await send('GET', path);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ found: true });
    expect(response.headers.get('distric-applied-index')).toBe('42');
    expect(gateway.queries).toEqual([{ query, consistency: 'linearizable' }]);
  });

  it('reads stale when asked', async () => {
    const response = await send('GET', '/rules?consistency=stale');
    expect(response.headers.get('distric-consistency')).toBe('stale');
    expect(gateway.queries[0]?.consistency).toBe('stale');
  });

  it.each([
    '/messages?limit=0',
    '/messages?limit=1001',
    '/messages?limit=1e2',
    '/messages?limit=',
    '/messages?limit=1&limit=2',
    '/messages?cursor=%00',
    `/messages?cursor=${'a'.repeat(513)}`,
    '/workflows?status=DONE',
    '/workflows?message=',
    '/workflows?workflow=a%00b',
    `/workflows?message=${'a'.repeat(257)}`,
    '/rules?consistency=strong',
    '/rules?limit=1',
    '/cluster/status?x=1',
    '/rules/a%00b',
    '/rules/%ZZ',
    `/rules/${'a'.repeat(257)}`,
  ])('%s is refused with 400 before the gateway', async (path) => {
    expect(await codeOf(await send('GET', path))).toEqual([400, 'INVALID_REQUEST']);
    expect(gateway.queries).toHaveLength(0);
  });

  it('answers a missing resource with 404 and HEAD without a body', async () => {
    const head = await send('HEAD', '/rules/r');
    expect(head.status).toBe(200);
    expect(await head.text()).toBe('');
    gateway.queryOutcome = { error: new DistricError('NOT_FOUND', 'no rule "r"') };
    expect(await codeOf(await send('GET', '/rules/r'))).toEqual([404, 'NOT_FOUND']);
  });
});

describe('documents', () => {
  it('POST creates with 201 and a Location, from JSON and from YAML alike', async () => {
    for (const [body, type] of [
      [JSON.stringify(RULE), 'application/json'],
      [RULE_YAML, 'application/yaml'],
    ] as const) {
      const response = await send('POST', '/rules', body, type);
      expect(response.status).toBe(201);
      expect(response.headers.get('location')).toBe('/api/v1/rules/large');
      expect(await response.json()).toEqual({ stored: true });
    }
    expect(gateway.commands[0]).toMatchObject({ kind: 'putRule', mode: 'create', rule: { id: 'large', priority: 10 } });
    expect(gateway.commands[1]).toEqual(gateway.commands[0]);
  });

  it('takes the wrapped forms with exactly one document of the kind', async () => {
    expect((await send('POST', '/rules', JSON.stringify({ rules: [RULE] }))).status).toBe(201);
    expect((await send('POST', '/workflow-definitions', JSON.stringify({ workflow: WORKFLOW }))).status).toBe(201);
    expect(gateway.commands).toMatchObject([{ kind: 'putRule' }, { kind: 'putWorkflow', workflow: { id: 'review' } }]);
    const two = JSON.stringify({ rules: [RULE, { ...RULE, id: 'other' }] });
    expect(await codeOf(await send('POST', '/rules', two))).toEqual([400, 'INVALID_DOCUMENT']);
    const other = JSON.stringify({ workflow: WORKFLOW });
    expect(await codeOf(await send('POST', '/rules', other))).toEqual([400, 'INVALID_DOCUMENT']);
    expect(gateway.commands).toHaveLength(2);
  });

  it('PUT takes the id from the path and refuses another one in the document', async () => {
    const bare: Record<string, unknown> = { ...WORKFLOW };
    delete bare['id'];
    expect((await send('PUT', '/workflow-definitions/review', JSON.stringify(bare))).status).toBe(200);
    expect(gateway.commands[0]).toMatchObject({ kind: 'putWorkflow', mode: 'upsert', workflow: { id: 'review' } });
    expect(await codeOf(await send('PUT', '/rules/small', JSON.stringify(RULE)))).toEqual([400, 'INVALID_DOCUMENT']);
  });

  it('DELETE answers 204, cancel 200', async () => {
    const deleted = await send('DELETE', '/rules/r');
    expect(deleted.status).toBe(204);
    expect((await send('DELETE', '/workflow-definitions/w')).status).toBe(204);
    expect((await send('POST', '/workflows/i1/cancel')).status).toBe(200);
    expect((await send('POST', '/instances/i2/cancel', '{}')).status).toBe(200);
    expect(gateway.commands).toEqual([
      { kind: 'deleteRule', id: 'r' },
      { kind: 'deleteWorkflow', id: 'w' },
      { kind: 'cancelInstance', id: 'i1' },
      { kind: 'cancelInstance', id: 'i2' },
    ]);
  });

  it('answers the refusal of a command as a problem', async () => {
    gateway.commandOutcome = { error: new DistricError('ALREADY_EXISTS', 'rule "large" is there') };
    expect(await codeOf(await send('POST', '/rules', JSON.stringify(RULE)))).toEqual([409, 'ALREADY_EXISTS']);
  });

  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghij'
    .split('')
    .map(
      (name, i) =>
        `${name}: &${name} [${Array(9)
          .fill(`*${'abcdefghi'[i] ?? ''}`)
          .join(',')}]`,
    )
    .join('\n')}`;
  it.each([
    ['an alias bomb', bomb],
    ['nesting without end', '['.repeat(100_000)],
    ['broken YAML', 'id: [unclosed'],
    ['a duplicate key', 'id: a\nid: b'],
    ['two documents', `${RULE_YAML}\n---\n${RULE_YAML}`],
    ['nothing', '# only a comment'],
    ['a scalar', 'text'],
    ['a custom tag', 'id: !!js/function "x"'],
  ])('refuses %s in YAML with 400', async (_name, body) => {
    expect(await codeOf(await send('POST', '/rules', body, 'application/yaml'))).toEqual([400, 'INVALID_DOCUMENT']);
    expect(gateway.commands).toHaveLength(0);
  });

  it('refuses broken JSON, a wrong document, no document and one over 512 KiB', async () => {
    expect(await codeOf(await send('POST', '/rules', '{'))).toEqual([400, 'INVALID_JSON']);
    const response = await send('POST', '/rules', JSON.stringify({ ...RULE, priority: 'high' }));
    expect(response.status).toBe(400);
    const problem = (await response.json()) as { code: string; errors: { field: string }[] };
    expect(problem.code).toBe('INVALID_DOCUMENT');
    expect(problem.errors.map(({ field }) => field)).toContain('priority');
    expect(await codeOf(await send('POST', '/rules'))).toEqual([400, 'INVALID_DOCUMENT']);
    const large = `# ${'x'.repeat(600 * 1024)}\n${RULE_YAML}`;
    expect(await codeOf(await send('POST', '/rules', large, 'text/yaml'))).toEqual([413, 'PAYLOAD_TOO_LARGE']);
    expect(gateway.commands).toHaveLength(0);
  });
});

describe('force', () => {
  it.each([
    ['PUT', '/rules/large?force=true', JSON.stringify(RULE), { kind: 'putRule', force: true }],
    ['DELETE', '/rules/large?force=true', undefined, { kind: 'deleteRule', id: 'large', force: true }],
    ['DELETE', '/workflow-definitions/review?force=true', undefined, { kind: 'deleteWorkflow', force: true }],
  ])('of %s %s goes with the command', async (method, path, body, command) => {
    await send(method, path, body);
    expect(gateway.commands.at(-1)).toMatchObject(command);
  });

  it('is refused when it is neither true nor false', async () => {
    expect(await codeOf(await send('DELETE', '/rules/large?force=1'))).toEqual([400, 'INVALID_REQUEST']);
  });
});

describe('orders to drain a worker', () => {
  it.each([
    [undefined, 300_000],
    ['{}', 300_000],
    ['{"grace":"90s"}', 90_000],
    ['{"grace":0}', 0],
  ])('take a grace limit: %s', async (body, graceMs) => {
    const answer = { id: 'w1', draining: true };
    gateway.commandOutcome = { result: answer };
    const response = await send('POST', '/workers/w1/drain', body);
    expect([response.status, await response.json()]).toEqual([200, answer]);
    await send('POST', '/workers/w1/undrain');
    expect(gateway.commands).toEqual([
      { kind: 'orderDrain', workerId: 'w1', graceMs },
      { kind: 'endDrain', workerId: 'w1' },
    ]);
  });

  it.each(['{"grace":"2d"}', '{"grace":-1}', '{"limit":1}', '[]'])('refuse %s', async (body) => {
    expect(await codeOf(await send('POST', '/workers/w1/drain', body))).toEqual([400, 'INVALID_DOCUMENT']);
    expect(gateway.commands).toEqual([]);
  });
});

describe('paths and methods', () => {
  it('answers an unknown path with 404, whatever the method', async () => {
    expect(await codeOf(await send('GET', '/nope'))).toEqual([404, 'NOT_FOUND']);
    expect(await codeOf(await send('POST', '/nope', '{}'))).toEqual([404, 'NOT_FOUND']);
    expect(await codeOf(await send('GET', '/rules/'))).toEqual([404, 'NOT_FOUND']);
  });

  it('answers a wrong method with 405 and what is allowed', async () => {
    const response = await send('PATCH', '/rules/r', '{}');
    expect(response.headers.get('allow')).toBe('GET, HEAD, PUT, DELETE');
    expect(await codeOf(response)).toEqual([405, 'METHOD_NOT_ALLOWED']);
    expect(await codeOf(await send('DELETE', '/messages'))).toEqual([405, 'METHOD_NOT_ALLOWED']);
    expect((await send('OPTIONS', '/messages')).status).toBe(405);
  });
});
