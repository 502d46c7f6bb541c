import { beforeEach, describe, expect, it } from '@jest/globals';
import { type AccessRole, FAILURES_BURST, FAILURES_PER_SECOND } from '../api/access.ts';
import type { Identity } from '../api/identity.ts';
import type { DistricError } from '../base/errors.ts';
import { AccessLimits } from './access-limits.ts';
import { CALL_ITEMS_MAX, ClientDesk, type ClientDeskParts } from './client-desk.ts';
import type { Body, Message } from './core/tlv/messages.ts';
import { RecordingGateway } from './io/http/recording-gateway.ts';
import { nodeHost } from './io/host.ts';
import type { Identified } from './key-ring.ts';
import { RefusalNotes } from './refusal-notes.ts';

type Answer = { message: Message } | { error: DistricError };

let gateway: RecordingGateway;
let nowMs: number;

beforeEach(() => {
  gateway = new RecordingGateway();
  nowMs = 0;
});

function desk(parts: Partial<ClientDeskParts> = {}): ClientDesk {
  return new ClientDesk({
    host: nodeHost,
    gateway,
    clock: () => ({ monotonicMs: nowMs, wallMs: nowMs }),
    itemBytesMax: 1_000,
    identify: undefined,
    limits: new AccessLimits({ requestsPerSecondPerKey: 0 }),
    refusals: new RefusalNotes(gateway),
    authFailed: () => undefined,
    ...parts,
  });
}

function hello(authorization?: string): Body<'HELLO'> {
  const base = { nodeId: 'c', role: 'client', clusterName: '', lane: 'bulk', features: [] };
  return authorization === undefined ? base : { ...base, authorization };
}

/** Opens a session, makes one call, and gives its one answer. */
function ask(client: ClientDesk, message: Message, authorization?: string, identity?: Identity): Answer {
  const opened = client.open(hello(authorization), identity, '127.0.0.1:1');
  if ('error' in opened) return opened;
  const answers: Answer[] = [];
  client.call(opened.session, { message, done: (answer) => answers.push(answer) });
  expect(answers).toHaveLength(1);
  return answers[0]!;
}

function messages(...payloads: (string | Uint8Array)[]): Message {
  const items = payloads.map((payload) => ({ payload: Buffer.from(payload) }));
  return { kind: 'CLIENT_MESSAGE', body: { items } };
}

function query(value: unknown, consistency = 'stale'): Message {
  return { kind: 'CLIENT_QUERY', body: { query: JSON.stringify(value), consistency } };
}

function admin(value: unknown): Message {
  return { kind: 'CLIENT_ADMIN', body: { command: JSON.stringify(value) } };
}

function codeOf(answer: Answer): string {
  return 'error' in answer ? answer.error.code : answer.message.kind;
}

function refusals(answer: Answer): [number, string][] {
  if ('error' in answer || answer.message.kind !== 'CLIENT_RESPONSE') throw new Error(codeOf(answer));
  return answer.message.body.refused.map(({ index, error }) => [index, error.code]);
}

describe('failed tries', () => {
  it('of one address are told so often, and keep out nobody with a good key', () => {
    const actor = { kind: 'key', id: 'k', name: 'k', role: 'submitter' } as const;
    const identify = (key: string | undefined): Identified =>
      key === 'good' ? { actor, rateLimit: 0 } : { failure: 'unknown' };
    const guarded = desk({ identify });
    const tried = (key: string, address: string): string => {
      const opened = guarded.open(hello(key), undefined, address);
      return 'error' in opened ? opened.error.code : 'open';
    };
    for (let port = 1; port <= FAILURES_BURST; port++) {
      expect(tried('bad', `[2001:db8::${String(port)}]:${String(port)}`)).toBe('UNAUTHENTICATED');
    }
    expect(tried('bad', '[2001:db8::1]:99')).toBe('RATE_LIMITED');
    expect(tried('good', '[2001:db8::1]:99')).toBe('open');
    expect(tried('bad', '10.0.0.1:99')).toBe('UNAUTHENTICATED');
    nowMs += 1_000 / FAILURES_PER_SECOND;
    expect(tried('bad', '[2001:db8::1]:99')).toBe('UNAUTHENTICATED');
  });
});

describe('messages', () => {
  it('go to the gateway as they came; what is out of the ordinary is told by index', () => {
    const messageId = '00000000-0001-7000-8000-000000000001';
    const item = { payload: Buffer.from('{"a":1}'), idempotencyKey: 'k1', messageId, headers: '{"x-a":"b"}' };
    const body = { source: 'shop', items: [item, { payload: Buffer.from('[]') }, { payload: Buffer.from('{"b":2}') }] };
    const answer = ask(desk(), { kind: 'CLIENT_MESSAGE', body });
    expect(refusals(answer)).toEqual([[1, 'INVALID_MESSAGE']]);
    expect(gateway.submissions).toMatchObject([
      {
        scope: 'source:shop',
        items: [
          { value: { a: 1 }, idempotencyKey: 'k1', messageId, source: 'shop', headers: { 'x-a': 'b' } },
          { value: { b: 2 } },
        ],
      },
    ]);
  });

  it.each([
    ['no JSON', '{"a":', 'INVALID_JSON'],
    ['a key twice', '{"a":1,"a":2}', 'INVALID_JSON'],
    ['no UTF-8', Buffer.from([0x7b, 0x22, 0xf0, 0x9f, 0x92, 0x22, 0x3a, 0x31, 0x7d]), 'INVALID_JSON'],
    ['too large', `{"a":"${'x'.repeat(1_000)}"}`, 'PAYLOAD_TOO_LARGE'],
  ])('are refused one by one: %s', (_, payload, code) => {
    expect(refusals(ask(desk(), messages(payload)))).toEqual([[0, code]]);
    expect(gateway.submissions).toEqual([]);
  });

  it('may hold a replacement character that is really there', () => {
    expect(refusals(ask(desk(), messages('{"a":"\ufffd"}')))).toEqual([]);
  });

  it('are refused with a wrong key, source, header or number', () => {
    const payload = Buffer.from('{}');
    const one = (extra: object): Message => ({ kind: 'CLIENT_MESSAGE', body: { items: [{ payload, ...extra }] } });
    const wrong = [
      { idempotencyKey: 'has space' },
      { idempotencyKey: 'x'.repeat(257) },
      { headers: '{"x-api-key":"secret"}' },
      { messageId: 'mine' },
      { messageId: '0198c0de-0000-7000-8000-000000000001' },
      { headers: '{"accept":"all"}' },
      { headers: '{"x-a":1}' },
      { headers: `{"x-a":"${'y'.repeat(5_000)}"}` },
    ];
    for (const extra of wrong) expect(refusals(ask(desk(), one(extra)))).toEqual([[0, 'INVALID_REQUEST']]);
    const source = { kind: 'CLIENT_MESSAGE', body: { source: 'a b', items: [{ payload }] } } as const;
    expect(codeOf(ask(desk(), source))).toBe('INVALID_REQUEST');
    expect(codeOf(ask(desk(), messages()))).toBe('INVALID_REQUEST');
    const many = messages(...new Array<string>(CALL_ITEMS_MAX + 1).fill('{}'));
    expect(codeOf(ask(desk(), many))).toBe('INVALID_REQUEST');
  });
});

describe('queries and changes', () => {
  it('reach the gateway checked', () => {
    const given = { kind: 'instances', page: { limit: 5, cursor: 'abc' }, status: 'RUNNING', workflow: 'w' };
    expect(codeOf(ask(desk(), query(given, 'linearizable')))).toBe('CLIENT_RESULT');
    expect(gateway.queries).toMatchObject([{ query: given, consistency: 'linearizable' }]);
    expect(codeOf(ask(desk(), admin({ kind: 'cancelInstance', id: 'i1' })))).toBe('CLIENT_RESULT');
    expect(gateway.commands).toMatchObject([{ kind: 'cancelInstance', id: 'i1' }]);
  });

  it.each([
    query({ kind: 'everything' }),
    query({ kind: 'toString' }),
    query([]),
    query({ kind: 'message' }),
    query({ kind: 'message', id: 'a\u0000b' }),
    query({ kind: 'messages', page: { limit: 0 } }),
    query({ kind: 'messages', page: { limit: 1_001 } }),
    query({ kind: 'messages', page: { cursor: 'no way' } }),
    query({ kind: 'instances', status: 'running?' }),
    query({ kind: 'rules', id: 'x' }),
    query({ kind: 'rules' }, 'sometimes'),
    admin({ kind: 'createKey', id: 'x' }),
    admin({ kind: 'deleteRule' }),
    admin({
      kind: 'putRule',
      mode: 'maybe',
      document: { id: 'r', conditions: { field: 'a', op: 'equals', value: 1 }, actions: [{ workflow: 'w' }] },
    }),
    { kind: 'KEEPALIVE', body: {} } as const,
  ])('are refused when malformed: %j', (message) => {
    expect(codeOf(ask(desk(), message))).toBe('INVALID_REQUEST');
    const changes = gateway.commands.filter(({ kind }) => kind !== 'note');
    expect([gateway.queries, changes]).toEqual([[], []]);
  });

  it('tell a document that is wrong where it is', () => {
    const answer = ask(desk(), admin({ kind: 'putRule', document: { id: 'r' } }));
    expect(codeOf(answer)).toBe('INVALID_DOCUMENT');
  });
});

describe('access', () => {
  const keys = new Map<string, Identified>();
  const identify = (text: string | undefined): Identified => keys.get(text ?? '') ?? { failure: 'unknown' };
  const holder = (role: AccessRole, rateLimit: number | null = null): Identified => ({
    actor: { kind: 'key', id: role, name: role, role },
    rateLimit,
  });

  it.each([
    ['submitter', messages('{}'), 'CLIENT_RESPONSE'],
    ['submitter', query({ kind: 'message', id: 'm' }), 'CLIENT_RESULT'],
    ['submitter', query({ kind: 'rules' }), 'FORBIDDEN'],
    ['submitter', admin({ kind: 'deleteRule', id: 'r' }), 'FORBIDDEN'],
    ['read-only', messages('{}'), 'FORBIDDEN'],
    ['read-only', query({ kind: 'rules' }), 'CLIENT_RESULT'],
    ['read-only', query({ kind: 'keys' }), 'FORBIDDEN'],
    ['operator', admin({ kind: 'deleteRule', id: 'r' }), 'CLIENT_RESULT'],
    ['operator', query({ kind: 'audit' }), 'FORBIDDEN'],
    ['admin', query({ kind: 'audit' }), 'CLIENT_RESULT'],
  ] as const)('lets a %s do what its role may (%#)', (role, message, outcome) => {
    keys.set('key', holder(role));
    expect(codeOf(ask(desk({ identify }), message, 'key'))).toBe(outcome);
  });

  it('puts a change that a role may not make on record, and one that makes no sense', () => {
    keys.set('key', holder('submitter'));
    ask(desk({ identify }), admin({ kind: 'putRule', document: { id: 'r' } }), 'key');
    keys.set('key', holder('operator'));
    ask(desk({ identify }), admin({ kind: 'putRule', document: { id: 'r' } }), 'key');
    ask(desk({ identify }), { kind: 'CLIENT_ADMIN', body: { command: '{' } }, 'key');
    expect(gateway.commands).toEqual([
      { kind: 'note', action: 'rule.put', target: 'rule/r', outcome: 'FORBIDDEN' },
      { kind: 'note', action: 'rule.put', target: 'rule/r', outcome: 'INVALID_DOCUMENT' },
      { kind: 'note', action: 'unknown', target: '', outcome: 'INVALID_JSON' },
    ]);
    expect(gateway.actors.map(({ id }) => id)).toEqual(['submitter', 'operator', 'operator']);
  });

  it('wants a key or a certificate, and counts what failed', () => {
    const failed: string[] = [];
    const guarded = desk({ identify, authFailed: (reason) => failed.push(reason) });
    expect(codeOf(ask(guarded, messages('{}')))).toBe('UNAUTHENTICATED');
    expect(failed).toEqual(['unknown']);
    const certified = { clusterName: 'distric', role: 'client', name: 'shop' } as const;
    expect(codeOf(ask(guarded, messages('{}'), undefined, certified))).toBe('CLIENT_RESPONSE');
    expect(gateway.submissions.at(-1)?.scope).toBe('certificate:client:shop');
    expect(codeOf(ask(guarded, query({ kind: 'rules' }), undefined, certified))).toBe('FORBIDDEN');
    expect(codeOf(ask(guarded, query({ kind: 'keys' }), undefined, { ...certified, role: 'operator' }))).toBe(
      'CLIENT_RESULT',
    );
  });

  it('ends with the key, on open connections too, and keeps to its rate', () => {
    keys.set('key', holder('admin', 2));
    const guarded = desk({ identify });
    const opened = guarded.open(hello('key'), undefined, '127.0.0.1:1');
    if ('error' in opened) throw opened.error;
    const codes: string[] = [];
    const call = (): void =>
      guarded.call(opened.session, { message: query({ kind: 'rules' }), done: (one) => codes.push(codeOf(one)) });
    for (let i = 0; i < 3; i++) call();
    keys.delete('key');
    nowMs += 5_000;
    call();
    expect(codes).toEqual(['CLIENT_RESULT', 'CLIENT_RESULT', 'RATE_LIMITED', 'UNAUTHENTICATED']);
  });
});
