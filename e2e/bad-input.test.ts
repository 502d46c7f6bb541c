/** Whatever is wrong with what comes in: the answer names the place and the reason, nothing is kept, the node lives. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Problem } from '../api/rest.ts';
import { call, get, put, type CallOptions } from './rest-call.ts';
import { TestCluster } from './test-cluster.ts';

const MIB = 1024 * 1024;
const DEPTH = 10_000;
const JSON_TYPE = 'application/json';
const LINES_TYPE = 'application/x-ndjson';

const WORKFLOW = { id: 'known', tasks: [{ id: 'only', type: 'log' }] };
const CONDITION = { field: 'event_type', op: 'equals', value: 'never-sent' };
const RULE = { id: 'known', conditions: CONDITION, actions: [{ workflow: 'known' }] };

let cluster: TestCluster;
let server: string;
let pid: number | null;

beforeAll(async () => {
  cluster = await TestCluster.start({ coordinators: 1, workers: 0, profile: 'fast' });
  server = cluster.servers[0]!;
  pid = cluster.processes.node('coordinator-1').pid;
  await put(server, '/workflow-definitions/known', WORKFLOW);
  await put(server, '/rules/known', RULE);
}, 60_000);

afterAll(async () => {
  await cluster.end();
}, 60_000);

/** All that the cluster holds. */
async function contents(): Promise<unknown> {
  const { counts, catalog_version: catalogVersion } = await cluster.status('coordinator-1');
  const lists = ['/messages', '/workflows', '/rules', '/workflow-definitions'].map((path) => get(server, path));
  return { counts, catalogVersion, lists: await Promise.all(lists) };
}

interface Expected {
  status: number;
  code: string;
  /** A part of one of the faulty places. */
  field: string;
  /** What its reason must say. */
  reason: RegExp;
}

async function expectRefused(
  method: string,
  path: string,
  options: CallOptions,
  { status, code, field, reason }: Expected,
): Promise<void> {
  const before = await contents();
  const answer = await call<Problem>(server, method, path, options);
  const { title, type, detail, errors } = answer.body;
  expect({ status: answer.status, code: answer.body.code, inBody: answer.body.status }).toEqual({
    status,
    code,
    inBody: status,
  });
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect({ type, title: typeof title, detail: detail.length > 0 }).toEqual({
    type: `https://distric.io/errors/${code}`,
    title: 'string',
    detail: true,
  });
  const named = errors.filter((error) => error.field.includes(field));
  expect({ errors, named: named.length > 0 }).toMatchObject({ named: true });
  expect(named.map((error) => error.reason).join('\n')).toMatch(reason);
  await expectUntouched(before);
}

async function expectUntouched(before: unknown): Promise<void> {
  expect(await contents()).toEqual(before);
  expect(cluster.processes.isRunning('coordinator-1')).toBe(true);
  expect(cluster.processes.node('coordinator-1').pid).toBe(pid);
}

const bad = (code: string, field: string, reason: RegExp, status = 400): Expected => ({ status, code, field, reason });

describe('POST /messages', () => {
  it.each<[string, string, string, Expected]>([
    ['broken JSON', '{"a": 1,, "b": 2}', JSON_TYPE, bad('INVALID_JSON', '', /line 1|position|column|character/i)],
    ['JSON that ends early', '{"a": {"b": [1, 2', JSON_TYPE, bad('INVALID_JSON', '', /end/i)],
    ['nothing', ' ', JSON_TYPE, bad('INVALID_JSON', '', /./)],
    ['a text', '"hello"', JSON_TYPE, bad('INVALID_MESSAGE', '$', /object, not a string/)],
    ['a number', '5', JSON_TYPE, bad('INVALID_MESSAGE', '$', /object, not a number/)],
    ['an item of 2 MiB', JSON.stringify({ text: 'x'.repeat(2 * MIB) }), JSON_TYPE, bad('PAYLOAD_TOO_LARGE', 'body', /at most 1048576/, 413)], // prettier-ignore
    ['a request of 17 MiB', `[${'{"a":1},'.repeat(2_200_000)}{}]`, JSON_TYPE, bad('PAYLOAD_TOO_LARGE', 'body', /over 16777216 bytes/, 413)], // prettier-ignore
    ['objects to depth 10,000', '{"a":'.repeat(DEPTH) + '1' + '}'.repeat(DEPTH), JSON_TYPE, bad('INVALID_JSON', 'a.a', /deep|depth|nest|level/)], // prettier-ignore
    ['lists to depth 10,000', `{"a":${'['.repeat(DEPTH)}${']'.repeat(DEPTH)}}`, JSON_TYPE, bad('INVALID_JSON', 'a', /deep|depth|nest|level/)], // prettier-ignore
    ['an integer beyond 2^53', '{"order": {"amounts": [1, 9007199254740993]}}', JSON_TYPE, bad('INVALID_JSON', 'order.amounts[1]', /9007199254740993|2\^53/)], // prettier-ignore
    ['a number beyond doubles', '{"big": 1e999}', JSON_TYPE, bad('INVALID_JSON', 'big', /1e999|range|double/)],
    ['a key twice', '{"user": {"id": 1, "id": 2}}', JSON_TYPE, bad('INVALID_JSON', 'user', /twice|duplicate/)],
    [
      'a prototype key',
      '{"user": {"__proto__": {"admin": true}}}',
      JSON_TYPE,
      bad('INVALID_JSON', '__proto__', /not allowed/),
    ],
    ['form data', 'a=1', 'application/x-www-form-urlencoded', bad('UNSUPPORTED_MEDIA_TYPE', 'Content-Type', /must be one of application\/json/, 415)], // prettier-ignore
    ['another charset', '{}', 'application/json; charset=latin1', bad('UNSUPPORTED_MEDIA_TYPE', 'Content-Type', /utf-8/, 415)], // prettier-ignore
  ])('refuses %s', async (_, body, contentType, expected) => {
    await expectRefused('POST', '/messages', { body, contentType }, expected);
    expect((await call(server, 'GET', '/cluster/status')).status).toBe(200);
  });

  it('refuses bytes that are not UTF-8', async () => {
    const body = new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]);
    await expectRefused('POST', '/messages', { body }, bad('INVALID_JSON', 'body', /UTF-8/));
  });

  it('refuses an idempotency key for a batch', async () => {
    const options = { body: '[{"a":1},{"a":2}]', headers: { 'idempotency-key': 'k' } };
    await expectRefused('POST', '/messages', options, bad('INVALID_REQUEST', 'Idempotency-Key', /array or NDJSON/));
  });

  it('refuses a query parameter it does not know', async () => {
    await expectRefused('POST', '/messages?asynch=1', { body: '{}' }, bad('INVALID_REQUEST', 'asynch', /not known/));
  });

  it('tells of each bad item of a batch, and keeps only the others', async () => {
    const lines = ['{"kept":1}', '{"a":1,"a":2}', '{broken', JSON.stringify({ x: 'y'.repeat(MIB) }), '7', '{"kept":2}'];
    const before = (await cluster.status('coordinator-1')).counts.messages;
    const answer = await call<{ items: { status: string; code?: string }[]; accepted: number; refused: number }>(
      server,
      'POST',
      '/messages',
      { body: lines.join('\n'), contentType: LINES_TYPE },
    );
    expect(answer.status).toBe(202);
    expect(answer.body.items.map(({ status, code }) => code ?? status)).toEqual([
      'accepted',
      'INVALID_JSON',
      'INVALID_JSON',
      'PAYLOAD_TOO_LARGE',
      'INVALID_MESSAGE',
      'accepted',
    ]);
    expect(answer.body).toMatchObject({ accepted: 2, refused: 4 });
    expect((await cluster.status('coordinator-1')).counts.messages).toBe(before + 2);
  });

  it('answers a batch with nothing good in it by the first error', async () => {
    const before = await contents();
    const answer = await call<{ items: object[]; refused: number }>(server, 'POST', '/messages', {
      body: '[[1], null]',
    });
    expect(answer).toMatchObject({ status: 400, body: { accepted: 0, refused: 2 } });
    const item = { status: 'refused', code: 'INVALID_MESSAGE' };
    expect(answer.body.items).toMatchObject([
      { ...item, index: 0, errors: [{ field: '$', reason: 'a message is a JSON object, not a list' }] },
      { ...item, index: 1, errors: [{ field: '$', reason: 'a message is a JSON object, not null' }] },
    ]);
    await expectUntouched(before);
  });

  it('refuses another body under a key that was used, and gives the first outcome to the same body', async () => {
    const options = { body: '{"amount":1}', headers: { 'idempotency-key': 'order-1' } };
    const first = await call<{ message_id: string }>(server, 'POST', '/messages', options);
    expect(first.status).toBe(202);
    const conflict = await call<Problem>(server, 'POST', '/messages', { ...options, body: '{"amount":2}' });
    expect({ status: conflict.status, code: conflict.body.code }).toEqual({
      status: 409,
      code: 'IDEMPOTENCY_CONFLICT',
    });
    expect(conflict.body.detail).toContain(first.body.message_id);
    const again = await call(server, 'POST', '/messages', options);
    expect(again).toMatchObject({ status: 202, body: { message_id: first.body.message_id, duplicate: true } });
  });
});

describe('rules and workflows', () => {
  const rule = (changes: object): string => JSON.stringify({ ...RULE, id: 'new', ...changes });
  const workflow = (tasks: unknown, changes: object = {}): string => JSON.stringify({ id: 'new', tasks, ...changes });
  const task = (id: string, ...dependsOn: string[]): object => ({ id, type: 'log', depends_on: dependsOn });
  const invalid = (field: string, reason: RegExp): Expected => bad('INVALID_DOCUMENT', field, reason);

  it.each<[string, string, string, Expected]>([
    ['a rule for an unknown workflow', '/rules', rule({ actions: [{ workflow: 'known' }, { workflow: 'nowhere' }] }), bad('UNKNOWN_WORKFLOW', 'actions[1].workflow', /no workflow "nowhere"/, 422)], // prettier-ignore
    ['a rule with an unknown operator', '/rules', rule({ conditions: { field: 'a', op: 'equal', value: 1 } }), invalid('conditions.op', /equal/)], // prettier-ignore
    ['a rule without conditions', '/rules', rule({ conditions: undefined }), invalid('conditions', /./)],
    ['a rule without actions', '/rules', rule({ actions: [] }), invalid('actions', /./)],
    ['a rule whose priority is text', '/rules', rule({ priority: 'high' }), invalid('priority', /./)],
    ['a rule with a bad time-out', '/rules', rule({ actions: [{ workflow: 'known', timeout: 'soon' }] }), invalid('actions[0].timeout', /./)], // prettier-ignore
    ['a rule with a bad pattern', '/rules', rule({ conditions: { field: 'a', op: 'regex', value: '(' } }), invalid('conditions.value', /./)], // prettier-ignore
    ['a rule that is there already', '/rules', JSON.stringify({ ...RULE, priority: 5 }), bad('ALREADY_EXISTS', 'id', /known/, 409)], // prettier-ignore
    ['a workflow with a cycle', '/workflow-definitions', workflow([task('a', 'c'), task('b', 'a'), task('c', 'b')]), invalid('tasks[', /cycle/)], // prettier-ignore
    ['a task that waits for itself', '/workflow-definitions', workflow([task('a', 'a')]), invalid('tasks[0].depends_on[0]', /itself/)], // prettier-ignore
    ['a dependency that is not there', '/workflow-definitions', workflow([task('a'), task('b', 'aa')]), invalid('tasks[1].depends_on[0]', /aa/)], // prettier-ignore
    ['two tasks of one id', '/workflow-definitions', workflow([task('a'), task('b'), task('a')]), invalid('tasks[2].id', /duplicate id "a": tasks\[0\]/)], // prettier-ignore
    ['tasks of a wrong type', '/workflow-definitions', workflow('a, b'), invalid('tasks', /./)],
    ['a task without a type', '/workflow-definitions', workflow([{ id: 'a' }]), invalid('tasks[0].type', /./)],
    ['an unknown property', '/workflow-definitions', workflow([task('a')], { colour: 'red' }), invalid('colour', /./)],
    ['retries below zero', '/workflow-definitions', workflow([{ id: 'a', type: 'log', retry: -1 }]), invalid('tasks[0].retry', /./)], // prettier-ignore
    ['1,001 tasks', '/workflow-definitions', workflow(Array.from({ length: 1_001 }, (_, i) => task(`t${i}`))), invalid('tasks', /1000|1,000/)], // prettier-ignore
    ['a workflow that is there already', '/workflow-definitions', JSON.stringify({ ...WORKFLOW, version: 2 }), bad('ALREADY_EXISTS', 'id', /known/, 409)], // prettier-ignore
    ['a document of depth 10,000', '/rules', '{"conditions":'.repeat(DEPTH) + '1' + '}'.repeat(DEPTH), bad('INVALID_JSON', 'conditions', /deep|depth|nest|level/)], // prettier-ignore
  ])('refuses %s', async (_, path, body, expected) => {
    await expectRefused('POST', path, { body }, expected);
  });

  it('refuses YAML that is broken, and YAML whose aliases multiply', async () => {
    const contentType = 'application/yaml';
    await expectRefused('POST', '/rules', { body: 'id: [a', contentType }, invalid('body', /YAML/));
    const bomb = ['a: &a [x, x]', ...'bcdefghi'.split('').map((name, i) => `${name}: &${name} [*${'abcdefgh'[i]!}, *${'abcdefgh'[i]!}]`)]; // prettier-ignore
    const body = `${bomb.join('\n')}\ntasks: [*i, *i, *i, *i]`;
    await expectRefused('POST', '/workflow-definitions', { body, contentType }, invalid('', /./));
  });

  it('refuses an id that differs from that of the path', async () => {
    await expectRefused('PUT', '/rules/other', { body: rule({}) }, invalid('id', /other/));
  });

  it('refuses to delete a workflow that a rule starts, and what is not there', async () => {
    const before = await contents();
    const used = await call<Problem>(server, 'DELETE', '/workflow-definitions/known');
    expect({ status: used.status, code: used.body.code }).toEqual({ status: 409, code: 'IN_USE' });
    expect(used.body.detail).toContain('rule "known"');
    const missing = await call<Problem>(server, 'DELETE', '/rules/nothing');
    expect({ status: missing.status, code: missing.body.code }).toEqual({ status: 404, code: 'NOT_FOUND' });
    await expectUntouched(before);
  });
});

describe('requests that are none', () => {
  it.each<[string, string, RegExp]>([
    ['bytes of another protocol', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['two lengths', 'POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}', /^HTTP\/1\.1 400 /], // prettier-ignore
    [
      'headers without end',
      `GET / HTTP/1.1\r\nHost: x\r\n${'X-Pad: '.padEnd(20_000, 'x')}\r\n\r\n`,
      /^HTTP\/1\.1 431 /,
    ],
    ['an unknown path', 'GET /api/v2/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', /^HTTP\/1\.1 404 /],
    [
      'an unknown method',
      'BREW /api/v1/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      /^HTTP\/1\.1 4\d\d /,
    ],
    ['a method that is not possible', 'PATCH /api/v1/rules HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', /^HTTP\/1\.1 405 /], // prettier-ignore
  ])('answers %s', async (_, bytes, expected) => {
    const before = await contents();
    // With a key: without one nobody is told which paths there are.
    const key = `Authorization: Bearer ${new URL(server).username}\r\n`;
    const answer = await exchange(bytes.replace('Connection: close\r\n', `${key}Connection: close\r\n`));
    expect(answer).toMatch(expected);
    expect(answer).toContain('application/problem+json');
    await expectUntouched(before);
  });

  it('keeps nothing of a body that is cut off', async () => {
    const before = await contents();
    const { hostname, port } = new URL(server);
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    socket.write(
      'POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"a":',
    );
    socket.end();
    socket.resume();
    await once(socket, 'close');
    await expectUntouched(before);
  });
});

/** Everything the server says to these bytes until it closes the connection. */
async function exchange(bytes: string): Promise<string> {
  const { hostname, port } = new URL(server);
  const socket = connect(Number(port), hostname);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  await once(socket, 'connect');
  socket.write(Buffer.from(bytes, 'latin1'));
  await once(socket, 'close');
  return Buffer.concat(chunks).toString('latin1');
}
