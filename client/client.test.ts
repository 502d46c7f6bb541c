import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { DistricError } from '../base/errors.ts';
import type { IncomingCall } from '../node/io/net/rpc-server.ts';
import { CALL_ITEMS_MAX, type SendOutcome } from './batch.ts';
import { DistricClient, type ClientOptions } from './client.ts';
import { TestCoordinator, TestState } from './test-coordinator.ts';

const closers: (() => Promise<void>)[] = [];
let state: TestState;

beforeEach(() => {
  state = new TestState();
});

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function coordinator(id: string): Promise<TestCoordinator> {
  const started = await new TestCoordinator(id, state).start();
  closers.push(() => started.crash());
  return started;
}

async function connect(options: Partial<ClientOptions> & Pick<ClientOptions, 'servers'>): Promise<DistricClient> {
  const client = await DistricClient.connect(options);
  closers.push(() => client.close());
  return client;
}

/** A client that has come to the coordinator with that id. */
async function connectedTo(id: string, servers: string[]): Promise<DistricClient> {
  let client: DistricClient | undefined;
  await new Promise<void>((resolve) => {
    const onConnected = (address: string | undefined): void => {
      if (address === state.addresses.get(id)) resolve();
    };
    void connect({ servers, onConnected }).then((one) => (client = one));
  });
  while (client === undefined) await new Promise((resolve) => setImmediate(resolve));
  return client;
}

function codesOf(outcomes: readonly SendOutcome[]): string[] {
  return outcomes.map((outcome) => ('error' in outcome ? outcome.error.code : 'accepted'));
}

function numbered(count: number): { payload: { n: number } }[] {
  return Array.from({ length: count }, (_, n) => ({ payload: { n } }));
}

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'resolved',
    (error: unknown) => (error instanceof DistricError ? error.code : String(error)),
  );
}

describe('the pool of connections', () => {
  it('is told to whoever wants to export its metrics', async () => {
    const c1 = await coordinator('c1');
    const told = { size: 0, acquired: 0, reused: 0 };
    const client = await connect({
      servers: [c1.address],
      poolMetrics: {
        size: (connections) => (told.size = connections),
        acquired: () => told.acquired++,
        reused: () => told.reused++,
      },
    });
    await client.send(numbered(1));
    expect(told).toEqual({ size: 1, acquired: 1, reused: 0 });
    await client.close();
    expect(told.size).toBe(0);
  });
});

describe('send', () => {
  it('gives one outcome per message, in order, however many calls they take', async () => {
    const c1 = await coordinator('c1');
    const client = await connect({ servers: [c1.address], source: 'shop', apiKey: 'dk_a_b' });
    const count = 2 * CALL_ITEMS_MAX + 5;
    const outcomes = await client.send(numbered(count));
    const kept = new Map([...state.byKey.values()].map(({ messageId, payload }) => [messageId, payload]));
    const seen = outcomes.map((one) => ('accepted' in one ? kept.get(one.accepted.messageId) : undefined));
    expect(seen).toEqual(numbered(count).map(({ payload }) => JSON.stringify(payload)));
    expect(c1.calls).toHaveLength(3);
    expect(c1.calls[0]?.message.body).toMatchObject({ source: 'shop' });
    expect(c1.hellos).toMatchObject([{ role: 'client', authorization: 'dk_a_b' }]);
    expect(client.unanswered).toBe(0);
  });

  it('sends text and bytes as they are, and refuses what no coordinator takes before anything is sent', async () => {
    const c1 = await coordinator('c1');
    const client = await connect({ servers: [c1.address] });
    await client.send([{ payload: '{ "a": 1 }' }, { payload: Buffer.from('{"b":2}'), idempotencyKey: 'mine' }]);
    expect([...state.byKey.values()].map(({ payload }) => payload)).toEqual(['{ "a": 1 }', '{"b":2}']);
    expect(state.byKey.has('mine')).toBe(true);
    expect(await codeOf(client.send([{ payload: 'x'.repeat(2 ** 20 + 1) }]))).toBe('PAYLOAD_TOO_LARGE');
    expect(c1.calls).toHaveLength(1);
    expect(await client.send([])).toEqual([]);
  });

  it('sends again only the messages that may succeed later', async () => {
    const c1 = await coordinator('c1');
    const client = await connect({ servers: [c1.address] });
    const answers = [
      (call: IncomingCall) => c1.refuseAt(call, [1], new DistricError('NO_LEADER', 'wait')),
      () => ({ error: new DistricError('QUEUE_FULL', 'wait') }),
      (call: IncomingCall) => c1.refuseAt(call, [0], new DistricError('INVALID_MESSAGE', 'no')),
    ];
    c1.onCall = (call) => call.done((answers.shift() ?? ((one) => c1.keep(one)))(call));
    expect(codesOf(await client.send(numbered(3)))).toEqual(['accepted', 'INVALID_MESSAGE', 'accepted']);
    expect(c1.calls).toHaveLength(3);
  });

  it('tells at the deadline what may have been kept and what can not', async () => {
    const c1 = await coordinator('c1');
    const client = await connect({ servers: [c1.address] });
    c1.onCall = (call) => call.done({ error: new DistricError('STORAGE_FULL', 'full') });
    expect(codesOf(await client.send(numbered(1), { deadlineMs: 100 }))).toEqual(['STORAGE_FULL']);
    c1.onCall = () => undefined;
    expect(codesOf(await client.send(numbered(1), { deadlineMs: 100 }))).toEqual(['OUTCOME_UNKNOWN']);
    await c1.crash();
    expect(codesOf(await client.send(numbered(2), { deadlineMs: 100 }))).toEqual(['NO_LEADER', 'NO_LEADER']);
  });

  it('never calls refused what an earlier try may have kept', async () => {
    const c1 = await coordinator('c1');
    const client = await connect({ servers: [c1.address] });
    const answers = [new DistricError('OUTCOME_UNKNOWN', 'lost'), new DistricError('DEDUP_FULL', 'full')];
    c1.onCall = (call) => call.done({ error: answers.shift() ?? new DistricError('INVALID_MESSAGE', 'no') });
    expect(codesOf(await client.send(numbered(1)))).toEqual(['OUTCOME_UNKNOWN']);
    expect(c1.calls).toHaveLength(3);
  });

  it('stops at its signal, waiting or sent', async () => {
    const c1 = await coordinator('c1');
    const client = await connect({ servers: [c1.address], window: { batchesMax: 1 } });
    c1.onCall = () => undefined;
    const abort = new AbortController();
    const outcomes = [1, 2].map(() => codeOf(client.send(numbered(1), { signal: abort.signal })));
    abort.abort('enough');
    expect(await Promise.all(outcomes)).toEqual(['enough', 'enough']);
    expect(client.unanswered).toBe(0);
  });
});

describe('the window', () => {
  it('makes producers wait, in order, and refuses those that will not', async () => {
    const c1 = await coordinator('c1');
    const client = await connect({ servers: [c1.address], window: { batchesMax: 2, waitingMax: 1 } });
    const held: IncomingCall[] = [];
    c1.onCall = (call) => held.push(call);
    const sent = [0, 1, 2].map(() => client.send(numbered(1)));
    expect(await codeOf(client.send(numbered(1)))).toBe('QUEUE_FULL');
    let ready = false;
    const watch = client.ready().then(() => (ready = true));
    while (held.length < 2) await new Promise((resolve) => setImmediate(resolve));
    expect([held.length, ready]).toEqual([2, false]);
    c1.onCall = (call) => call.done(c1.keep(call));
    for (const call of held) call.done(c1.keep(call));
    expect((await Promise.all(sent)).map(codesOf)).toEqual([['accepted'], ['accepted'], ['accepted']]);
    await watch;
  });

  it('reads no more of a stream than it holds, and gives every outcome in order', async () => {
    const c1 = await coordinator('c1');
    const client = await connect({ servers: [c1.address], window: { batchesMax: 4 } });
    let read = 0;
    let given = 0;
    let most = 0;
    function* batches() {
      for (let n = 0; n < 100; n++) {
        most = Math.max(most, ++read - given);
        yield [{ payload: { n }, idempotencyKey: `k${n}` }];
      }
    }
    const ids: string[] = [];
    for await (const [outcome] of client.sendStream(batches())) {
      given++;
      if (outcome !== undefined && 'accepted' in outcome) ids.push(outcome.accepted.messageId);
    }
    expect(ids).toEqual(Array.from({ length: 100 }, (_, n) => state.byKey.get(`k${n}`)?.messageId));
    expect(most).toBeLessThanOrEqual(5);
  });

  it('gives the outcomes of a stream before its source goes on, and ends the source with its reader', async () => {
    const c1 = await coordinator('c1');
    const client = await connect({ servers: [c1.address] });
    let ended = false;
    async function* slow() {
      try {
        yield numbered(1);
        await new Promise(() => undefined);
      } finally {
        ended = true;
      }
    }
    const stream = client.sendStream(slow());
    expect(codesOf((await stream.next()).value as SendOutcome[])).toEqual(['accepted']);
    expect(ended).toBe(false);
  });
});

describe('the connection', () => {
  it('goes to the leader, and follows it', async () => {
    const [c1, c2] = [await coordinator('c1'), await coordinator('c2')];
    state.leaderId = 'c2';
    const client = await connectedTo('c2', [c1.address]);
    await client.send(numbered(1));
    expect([c1.calls.length, c2.calls.length]).toEqual([0, 1]);
    state.lead('c1');
    while (client.address !== c1.address) await new Promise((resolve) => setImmediate(resolve));
    await client.send(numbered(1));
    expect([c1.calls.length, c2.calls.length]).toEqual([1, 1]);
  });

  it('stays where it is when the leader is not reached from here', async () => {
    const c1 = await coordinator('c1');
    state.addresses.set('c9', '127.0.0.1:1');
    state.leaderId = 'c9';
    const client = await connect({ servers: [c1.address] });
    expect(codesOf(await client.send(numbered(1)))).toEqual(['accepted']);
    expect(client.address).toBe(c1.address);
  });

  it('is made again elsewhere after a crash; what was under way is sent again and kept once', async () => {
    const [c1, c2] = [await coordinator('c1'), await coordinator('c2')];
    const client = await connectedTo('c1', [c1.address, c2.address]);
    const kept = new Promise<void>((resolve) => {
      c1.onCall = (call) => {
        // Kept, and the answer gets lost.
        c1.keep(call);
        if (c1.calls.length === 3) resolve();
      };
    });
    const sent = [0, 1, 2].map(() => client.send(numbered(10)));
    await kept;
    await c1.crash();
    const outcomes = (await Promise.all(sent)).flat();
    expect(codesOf(outcomes)).toEqual(new Array<string>(30).fill('accepted'));
    expect(state.byKey.size).toBe(30);
    expect(client.address).toBe(c2.address);
  });

  it('lets a coordinator that shuts down answer what it has, and goes to another one', async () => {
    const [c1, c2] = [await coordinator('c1'), await coordinator('c2')];
    const client = await connectedTo('c1', [c1.address, c2.address]);
    const asked = new Promise<IncomingCall>((resolve) => (c1.onCall = resolve));
    const first = client.send(numbered(1));
    const call = await asked;
    const stopped = c1.stop();
    const second = client.send(numbered(1));
    expect(codesOf(await second)).toEqual(['accepted']);
    call.done(c1.keep(call));
    expect(codesOf(await first)).toEqual(['accepted']);
    await stopped;
    expect([c1.calls.length, c2.calls.length]).toEqual([1, 1]);
  });

  it('waits for a coordinator that is not there yet', async () => {
    const c1 = await coordinator('c1');
    const client = await connect({ servers: [c1.address] });
    await c1.crash();
    const sent = client.send(numbered(1));
    await c1.start();
    expect(codesOf(await sent)).toEqual(['accepted']);
  });

  it('tells its key in plain text to this machine only, unless it may', async () => {
    const [c1, c2] = [await coordinator('c1'), await coordinator('c2')];
    // Reaches this machine, and is none of its loopback addresses.
    state.addresses.set('c2', c2.address.replace('127.0.0.1', '0.0.0.0'));
    const elsewhere = { servers: [c2.address], apiKey: 'dk_a_b' };
    expect(await codeOf(DistricClient.connect(elsewhere))).toBe('INVALID_REQUEST');
    // A coordinator that it is told of later is no other matter.
    state.leaderId = 'c2';
    const client = await connect({ servers: [c1.address], apiKey: 'dk_a_b' });
    expect(codesOf(await client.send(numbered(1)))).toEqual(['accepted']);
    await c1.crash();
    expect(codesOf(await client.send(numbered(1), { deadlineMs: 500 }))).toEqual(['NO_LEADER']);
    expect(c2.hellos).toEqual([]);
    await connect({ ...elsewhere, insecure: true });
    expect(c2.hellos).toHaveLength(1);
  });

  it('is refused for good without the right key, and to another cluster', async () => {
    const c1 = await coordinator('c1');
    c1.refusal = new DistricError('UNAUTHENTICATED', 'no key');
    expect(await codeOf(DistricClient.connect({ servers: [c1.address] }))).toBe('UNAUTHENTICATED');
    c1.refusal = undefined;
    const other = { servers: [c1.address], clusterName: 'other' };
    expect(await codeOf(DistricClient.connect(other))).toBe('UNAUTHENTICATED');
    expect(await codeOf(DistricClient.connect({ servers: [] }))).toBe('INVALID_REQUEST');
    expect(await codeOf(DistricClient.connect({ servers: ['nowhere'] }))).toBe('INVALID_REQUEST');
  });

  it('ends with close(): what is under way has an outcome, and nothing new goes', async () => {
    const c1 = await coordinator('c1');
    const client = await connect({ servers: [c1.address] });
    const asked = new Promise<IncomingCall>((resolve) => (c1.onCall = resolve));
    const sent = client.send(numbered(1));
    await asked;
    await client.close();
    expect(codesOf(await sent)).toEqual(['OUTCOME_UNKNOWN']);
    expect(codesOf(await client.send(numbered(1)))).toEqual(['SHUTTING_DOWN']);
  });
});

describe('queries and changes', () => {
  it('give the answer of the coordinator', async () => {
    const c1 = await coordinator('c1');
    const client = await connect({ servers: [c1.address] });
    const query = { kind: 'messages', page: { limit: 5 } } as const;
    expect(await client.query(query, { consistency: 'stale' })).toEqual(query);
    expect(c1.calls[0]?.message.body).toMatchObject({ consistency: 'stale' });
    const change = { kind: 'deleteRule', id: 'r' } as const;
    expect(await client.change(change)).toEqual(change);
  });

  it('are made again where that is harmless, and a creation is not when its outcome is unknown', async () => {
    const c1 = await coordinator('c1');
    const client = await connect({ servers: [c1.address] });
    const answers: DistricError[] = [];
    c1.onCall = (call) => {
      const error = answers.shift();
      call.done(error === undefined ? c1.keep(call) : { error });
    };
    answers.push(new DistricError('OUTCOME_UNKNOWN', 'lost'));
    expect(await client.query({ kind: 'rules' })).toEqual({ kind: 'rules' });
    answers.push(new DistricError('OUTCOME_UNKNOWN', 'lost'));
    expect(await codeOf(client.change({ kind: 'putRule', document: {}, mode: 'create' }))).toBe('OUTCOME_UNKNOWN');
    answers.push(new DistricError('NOT_FOUND', 'no such rule'));
    expect(await codeOf(client.query({ kind: 'rule', id: 'x' }))).toBe('NOT_FOUND');
  });
});
