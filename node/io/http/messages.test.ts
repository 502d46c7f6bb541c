import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Value } from 'typebox/value';
import { ProblemSchema, type BatchResult, type Problem } from '../../../api/rest.ts';
import { DistricError } from '../../../base/errors.ts';
import { ApiServer } from './api-server.ts';
import { RecordingGateway } from './recording-gateway.ts';
import { openAccess } from './test-access.ts';

const MIB = 1024 * 1024;
const silent = { error: () => undefined };
let gateway: RecordingGateway;
let server: ApiServer;
let url: string;

beforeEach(async () => {
  gateway = new RecordingGateway();
  server = new ApiServer({
    gateway,
    access: openAccess(),
    host: '127.0.0.1',
    port: 0,
    log: silent,
    limits: { itemsMax: 1_000 },
  });
  const { host, port } = await server.listen();
  url = `http://${host}:${port}/api/v1/messages`;
});

afterEach(async () => {
  await server.close();
});

function post(body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } });
}

const NDJSON = { 'content-type': 'application/x-ndjson' };

async function problem(response: Response): Promise<Problem> {
  expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  const value: unknown = await response.json();
  expect(Value.Check(ProblemSchema, value)).toBe(true);
  return value as Problem;
}

/** The request was refused as `code` and nothing of it reached the gateway. */
async function expectRefused(response: Response, status: number, code: string): Promise<Problem> {
  expect(response.status).toBe(status);
  const document = await problem(response);
  expect(document.code).toBe(code);
  expect(document.status).toBe(status);
  expect(gateway.submissions).toHaveLength(0);
  return document;
}

function payloads(): string[] {
  return gateway.submissions.flatMap(({ items }) => items.map(({ payload }) => Buffer.from(payload).toString()));
}

describe('POST /messages with one object', () => {
  it('hands the text as it came and its value to the gateway and answers 202', async () => {
    const text = ' {"event_type": "é", "n": 1.50}\n';
    const response = await post(text, { 'idempotency-key': 'k1', 'distric-source': 'shop', 'x-trace': 't' });
    expect(response.status).toBe(202);
    expect(await response.json()).toEqual({
      message_id: 'm0',
      status: 'accepted',
      workflows_triggered: ['w'],
      instances: ['i0'],
      duplicate: false,
    });
    expect(payloads()).toEqual([text]);
    expect(gateway.submissions[0]?.scope).toBe('source:shop');
    expect(gateway.submissions[0]?.items[0]).toMatchObject({
      value: { event_type: 'é', n: 1.5 },
      idempotencyKey: 'k1',
      source: 'shop',
      headers: { 'x-trace': 't' },
    });
  });

  it.each([
    ['broken JSON', '{"a":'],
    ['text after the object', '{"a":1}{"b":2}'],
    ['a duplicate key', '{"a":1,"a":2}'],
    ['an integer beyond 2^53', '{"order":{"id":9007199254740993}}'],
    ['depth 10,000', `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`],
    ['an empty body', ''],
    ['white space', ' \n'],
    ['a byte order mark', '\ufeff{"a":1}'],
  ])('refuses %s with 400 INVALID_JSON', async (_name, body) => {
    await expectRefused(await post(body), 400, 'INVALID_JSON');
  });

  it('names the place of a duplicate key and of a large integer', async () => {
    const first = await expectRefused(await post('{"user":{"name":1,"name":2}}'), 400, 'INVALID_JSON');
    expect(JSON.stringify(first.errors)).toContain('name');
    const second = await expectRefused(await post('{"order":{"id":9007199254740993}}'), 400, 'INVALID_JSON');
    expect(JSON.stringify(second.errors)).toContain('id');
  });

  it.each(['1', '"text"', 'null', 'true'])('refuses the scalar %s', async (body) => {
    await expectRefused(await post(body), 400, 'INVALID_MESSAGE');
  });

  it('refuses invalid UTF-8', async () => {
    const bytes = Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]);
    const document = await expectRefused(await post(new Uint8Array(bytes)), 400, 'INVALID_JSON');
    expect(document.detail).toMatch(/UTF-8/);
  });

  it('refuses a message of 2 MiB with 413, and takes one of exactly 1 MiB', async () => {
    await expectRefused(await post(JSON.stringify({ a: 'x'.repeat(2 * MIB) })), 413, 'PAYLOAD_TOO_LARGE');
    const response = await post(JSON.stringify({ a: 'x'.repeat(MIB - 8) }));
    expect(response.status).toBe(202);
    expect(payloads()[0]).toHaveLength(MIB);
  });

  it('refuses a request of 16 MiB and one byte with 413 that the client gets to read', async () => {
    await expectRefused(await post(' '.repeat(16 * MIB + 1)), 413, 'PAYLOAD_TOO_LARGE');
  });

  it.each([
    ['text/plain', 'text/plain'],
    ['a form', 'application/x-www-form-urlencoded'],
    ['another charset', 'application/json; charset=iso-8859-1'],
    ['CloudEvents, for now', 'application/cloudevents+json'],
    ['a malformed type', 'json'],
  ])('answers 415 to %s', async (_name, type) => {
    await expectRefused(await post('{"a":1}', { 'content-type': type }), 415, 'UNSUPPORTED_MEDIA_TYPE');
  });

  it('answers 415 to a body without a type and to a compressed one', async () => {
    const untyped = await fetch(url, { method: 'POST', body: new Uint8Array(Buffer.from('{"a":1}')) });
    await expectRefused(untyped, 415, 'UNSUPPORTED_MEDIA_TYPE');
    await expectRefused(await post('{"a":1}', { 'content-encoding': 'gzip' }), 415, 'UNSUPPORTED_MEDIA_TYPE');
  });

  it('takes a charset of utf-8 in any spelling', async () => {
    expect((await post('{"a":1}', { 'content-type': 'Application/JSON; Charset="UTF-8"' })).status).toBe(202);
  });

  it('answers the error of the gateway as a problem, retryable ones with Retry-After', async () => {
    gateway.outcomeOf = () => ({ error: new DistricError('NO_LEADER', 'no leader now') });
    const response = await post('{"a":1}');
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await problem(response)).toMatchObject({ code: 'NO_LEADER', detail: 'no leader now' });
    gateway.outcomeOf = () => ({ error: new DistricError('IDEMPOTENCY_CONFLICT', 'other body') });
    const conflict = await post('{"a":1}');
    expect(conflict.status).toBe(409);
    expect(conflict.headers.get('retry-after')).toBeNull();
  });
});

describe('POST /messages with an array', () => {
  it('submits all items at once, bytes as they came, and answers in order', async () => {
    const response = await post('[ {"a": 1.0},\n{"b":"é"} ]');
    expect(response.status).toBe(202);
    const result = (await response.json()) as BatchResult;
    expect(result).toMatchObject({ accepted: 2, refused: 0, unknown: 0 });
    expect(result.items).toMatchObject([
      { index: 0, message_id: 'm0' },
      { index: 1, message_id: 'm1' },
    ]);
    expect(gateway.submissions).toHaveLength(1);
    expect(payloads()).toEqual(['{"a": 1.0}', '{"b":"é"}']);
  });

  it('refuses faulty items alone, by index and field', async () => {
    const big = JSON.stringify({ big: 'x'.repeat(2 * MIB) });
    const response = await post(`[{"a":1},7,{"k":1,"k":2},${big},{"b":2}]`);
    expect(response.status).toBe(202);
    const result = (await response.json()) as BatchResult;
    expect(result).toMatchObject({ accepted: 2, refused: 3 });
    expect(result.items).toMatchObject([
      { index: 0, status: 'accepted', message_id: 'm0' },
      { index: 1, status: 'refused', code: 'INVALID_MESSAGE' },
      { index: 2, status: 'refused', code: 'INVALID_JSON' },
      { index: 3, status: 'refused', code: 'PAYLOAD_TOO_LARGE' },
      { index: 4, status: 'accepted', message_id: 'm1' },
    ]);
    expect(JSON.stringify(result.items[2])).toContain('"field":"k"');
    expect(payloads()).toEqual(['{"a":1}', '{"b":2}']);
  });

  it('refuses the whole request when the array is not JSON', async () => {
    const document = await expectRefused(await post('[{"a":1},{"b":tru}]'), 400, 'INVALID_JSON');
    expect(document.errors[0]?.field).toContain('[1]');
    await expectRefused(await post('[{"a":1}'), 400, 'INVALID_JSON');
    await expectRefused(await post('[{"a":1},]'), 400, 'INVALID_JSON');
  });

  it('refuses an empty array, and one without a single object with the status of its first error', async () => {
    await expectRefused(await post('[]'), 400, 'INVALID_REQUEST');
    const response = await post('[1,"a",[]]');
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ accepted: 0, refused: 3 });
    expect(gateway.submissions).toHaveLength(0);
  });

  it('refuses more items than the limit', async () => {
    await expectRefused(await post(`[${'{},'.repeat(1_000)}{}]`), 413, 'PAYLOAD_TOO_LARGE');
  });

  it('refuses an Idempotency-Key, which could name one message only', async () => {
    const response = await post('[{"a":1}]', { 'idempotency-key': 'k' });
    const document = await expectRefused(response, 400, 'INVALID_REQUEST');
    expect(document.errors[0]?.field).toBe('Idempotency-Key');
  });

  it('asks for a retry when all items are refused for now', async () => {
    gateway.outcomeOf = () => ({ error: new DistricError('QUEUE_FULL', 'full') });
    const response = await post('[{"a":1},{"a":2}]');
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.json()).toMatchObject({ refused: 2 });
  });
});

describe('POST /messages with NDJSON', () => {
  it('takes CRLF, blank lines and a last line without newline', async () => {
    const response = await post('{"a":1}\r\n\r\n\n{"b":2}', NDJSON);
    expect(response.status).toBe(202);
    expect(await response.json()).toMatchObject({ accepted: 2, refused: 0 });
    expect(payloads()).toEqual(['{"a":1}', '{"b":2}']);
  });

  it('refuses a broken line and a line of invalid UTF-8 alone', async () => {
    const bytes = Buffer.concat([Buffer.from('{"a":\n{"b":"é"}\n{"c":"'), Buffer.from([0xff]), Buffer.from('"}\n')]);
    const response = await post(new Uint8Array(bytes), NDJSON);
    expect(await response.json()).toMatchObject({
      accepted: 1,
      items: [{ code: 'INVALID_JSON' }, { status: 'accepted' }, { code: 'INVALID_JSON' }],
    });
    expect(gateway.submissions[0]?.items[0]?.value).toEqual({ b: 'é' });
  });

  it('refuses a body of blank lines', async () => {
    await expectRefused(await post('\n\r\n \n', NDJSON), 400, 'INVALID_REQUEST');
  });
});
