import { beforeEach, describe, expect, it } from '@jest/globals';
import { DistricError } from '../../../base/errors.ts';
import { nodeHost } from '../../io/host.ts';
import { ruleOf, TestReplica, workflowOf } from './test-replica.ts';
import { SCAN_BYTES_MAX, Views } from './views.ts';

let replica: TestReplica;
let views: Views;

interface List {
  instances?: { id: string; status: string; workflow: string }[];
  messages?: { message_id: string }[];
  next_cursor?: string;
}

/** Every page of a list, each as its ids. */
function pages(query: (cursor?: string) => unknown): string[][] {
  const found: string[][] = [];
  for (let cursor: string | undefined; ;) {
    const page = query(cursor) as List;
    found.push([
      ...(page.instances ?? []).map(({ id }) => id),
      ...(page.messages ?? []).map(({ message_id }) => message_id),
    ]);
    if (page.next_cursor === undefined) return found;
    cursor = page.next_cursor;
  }
}

function page(limit: number, cursor?: string): { limit: number; cursor?: string } {
  return { limit, ...(cursor === undefined ? {} : { cursor }) };
}

beforeEach(() => {
  replica = new TestReplica(nodeHost);
  views = new Views(nodeHost, replica.machine);
  replica.putWorkflow(
    workflowOf('w', [
      { id: 'a', type: 'log' },
      { id: 'b', type: 'http', depends_on: ['a'], retry: 2 },
    ]),
  );
  replica.putWorkflow(workflowOf('v', [{ id: 'only', type: 'log' }]));
  replica.putRule(ruleOf('r', ['w', 'v'], { version: '1@x' }));
  replica.register('w1', 's1', ['log']);
  for (const id of ['m1', 'm2', 'm3']) {
    replica.send([{ id, body: `{"of":"${id}"}`, rules: ['r@1@x'], ...(id === 'm1' ? { source: 'shop' } : {}) }]);
  }
});

describe('a page', () => {
  it('ends where it would grow too large, and the next one goes on there', () => {
    const text = 'x'.repeat(SCAN_BYTES_MAX / 4);
    const ids = ['n1', 'n2', 'n3', 'n4', 'n5'];
    for (const id of ids) replica.send([{ id, body: JSON.stringify({ text }) }]);
    const found = pages((cursor) => views.answer({ kind: 'messages', page: page(1_000, cursor) }));
    expect(found).toEqual([
      ['n5', 'n4', 'n3'],
      ['n2', 'n1', 'm3', 'm2', 'm1'],
    ]);
  });

  it('of instances likewise', () => {
    const tasks = Array.from({ length: 1_000 }, (_, n) => ({ id: `t${String(n)}`, type: 'log' }));
    replica.putWorkflow(workflowOf('large', tasks));
    replica.putRule(ruleOf('l', ['large'], { version: '1' }));
    for (let n = 10; n < 50; n++) replica.send([{ id: `n${String(n)}`, body: '{}', rules: ['l@1'] }]);
    const found = pages((cursor) => views.answer({ kind: 'instances', workflow: 'large', page: page(1_000, cursor) }));
    expect(found.length).toBeGreaterThan(1);
    expect(found.flat()).toEqual(Array.from({ length: 40 }, (_, n) => `n${String(49 - n)}-1`));
  });
});

describe('a message', () => {
  it('is shown with its rules and instances', () => {
    expect(views.answer({ kind: 'message', id: 'm1' })).toEqual({
      message_id: 'm1',
      status: 'accepted',
      received_at: '2023-11-14T22:30:00.000Z',
      source: 'shop',
      payload: { of: 'm1' },
      matched_rules: [{ id: 'r', version: '1@x' }],
      instances: [
        { id: 'm1-1', workflow: 'w', status: 'RUNNING' },
        { id: 'm1-2', workflow: 'v', status: 'RUNNING' },
      ],
    });
  });

  it('is listed newest first, in pages', () => {
    const list = (limit: number) => pages((cursor) => views.answer({ kind: 'messages', page: page(limit, cursor) }));
    expect(list(2)).toEqual([['m3', 'm2'], ['m1']]);
    expect(list(3)).toEqual([['m3', 'm2', 'm1']]);
  });
});

describe('an instance', () => {
  it('is shown with all its tasks', () => {
    replica.assign({ instanceId: 'm1-1', taskId: 'a', workerId: 'w1', session: 's1' });
    const token = replica.machine.appliedIndex;
    replica.report('m1-1', 'a', token, 'ok', '{"score":3}');
    replica.assign({ instanceId: 'm1-1', taskId: 'b', workerId: 'w1', session: 's1' });
    replica.report('m1-1', 'b', replica.machine.appliedIndex, 'retryable');
    expect(views.answer({ kind: 'instance', id: 'm1-1' })).toEqual({
      id: 'm1-1',
      workflow: 'w',
      revision: 1,
      status: 'RUNNING',
      message_id: 'm1',
      rule: 'r',
      created_at: '2023-11-14T22:30:00.000Z',
      tasks_running: 0,
      tasks_done: 1,
      tasks_total: 2,
      params: {},
      deadline_at: '2023-11-15T22:30:00.000Z',
      tasks: [
        {
          id: 'a',
          type: 'log',
          status: 'COMPLETED',
          attempts: 1,
          redispatches: 0,
          worker: 'w1',
          token,
          ready_at: '2023-11-14T22:30:00.000Z',
          started_at: '2023-11-14T22:30:00.000Z',
          ended_at: '2023-11-14T22:30:00.000Z',
          output: { score: 3 },
        },
        {
          id: 'b',
          type: 'http',
          status: 'RETRYING',
          attempts: 1,
          redispatches: 0,
          worker: 'w1',
          token: token + 2,
          ready_at: '2023-11-14T22:30:00.000Z',
          started_at: '2023-11-14T22:30:00.000Z',
          error: 'it was retryable',
          next_attempt_in_ms: expect.any(Number),
        },
      ],
    });
    replica.cancel('m1-1');
    expect(views.answer({ kind: 'instance', id: 'm1-1' })).toMatchObject({
      status: 'CANCELLED',
      error: 'cancelled by request',
      ended_at: expect.any(String),
    });
  });

  it('is listed by status, workflow and message, newest first, in pages', () => {
    replica.cancel('m2-1');
    const list = (filter: object, limit = 2) =>
      pages((cursor) => views.answer({ kind: 'instances', page: page(limit, cursor), ...filter }));
    expect(list({}).flat()).toEqual(['m3-2', 'm3-1', 'm2-2', 'm2-1', 'm1-2', 'm1-1']);
    expect(list({ status: 'RUNNING' }).flat()).toEqual(['m3-2', 'm3-1', 'm2-2', 'm1-2', 'm1-1']);
    expect(list({ status: 'CANCELLED' }).flat()).toEqual(['m2-1']);
    expect(list({ status: 'RUNNING', workflow: 'w' }).flat()).toEqual(['m3-1', 'm1-1']);
    expect(list({ workflow: 'v' }, 1)).toEqual([['m3-2'], ['m2-2'], ['m1-2'], []]);
    expect(list({ message: 'm2' }, 1)).toEqual([['m2-2'], ['m2-1']]);
    expect(list({ message: 'm2', status: 'RUNNING' }).flat()).toEqual(['m2-2']);
    expect(list({ message: 'nobody' })).toEqual([[]]);
  });

  it('of another message is not shown, whatever the cursor', () => {
    for (const cursor of ['m3-9', 'z', '~', 'a', '']) {
      const query = { kind: 'instances', message: 'm2', page: { limit: 10, cursor } } as const;
      for (const { id } of (views.answer(query) as List).instances!) expect(id).toMatch(/^m2-/);
    }
  });
});

describe('the catalog', () => {
  it('shows rules by priority, with its version', () => {
    replica.putRule(ruleOf('q', ['v']));
    replica.putRule(ruleOf('top', ['v'], { priority: 7 }));
    const answer = views.answer({ kind: 'rules' }) as { rules: { id: string }[] };
    expect(answer).toMatchObject({ catalog_version: 3 });
    expect(answer.rules.map(({ id }) => id)).toEqual(['top', 'q', 'r']);
    expect(views.answer({ kind: 'rule', id: 'top' })).toMatchObject({ id: 'top', priority: 7, revision: 1 });
  });

  it('says which task types of a workflow nobody has registered', () => {
    expect(views.answer({ kind: 'workflow', id: 'w' })).toMatchObject({
      id: 'w',
      revision: 1,
      waiting_for_types: ['http'],
    });
    replica.register('w2', 's2', ['http']);
    expect(views.answer({ kind: 'workflows' })).toMatchObject({
      workflows: [
        { id: 'v', waiting_for_types: [] },
        { id: 'w', waiting_for_types: [] },
      ],
    });
  });

  it.each(['message', 'instance', 'rule', 'workflow'] as const)('knows when there is no such %s', (kind) => {
    expect(() => views.answer({ kind, id: 'nobody' })).toThrow(DistricError);
    expect(() => views.answer({ kind, id: 'nobody' })).toThrow(`there is no ${kind} "nobody"`);
  });
});
