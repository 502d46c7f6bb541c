import { beforeEach, describe, expect, it } from '@jest/globals';
import { nodeHost } from '../../io/host.ts';
import { COMMAND, MessageBatch, MessageItem, RaiseLevel } from './commands.ts';
import { SINCE } from './feature-level.ts';
import { DEDUP_KEYS_MAX, DEDUP_SWEEP_MAX, DEDUP_WINDOW_MS } from './message-table.ts';
import { encode } from '../tlv/struct.ts';
import { ruleOf, TestReplica, workflowOf } from './test-replica.ts';

let replica: TestReplica;

beforeEach(() => {
  replica = new TestReplica(nodeHost);
  replica.putWorkflow(workflowOf('w', [{ id: 't', type: 'log' }]));
  replica.putRule(ruleOf('r', ['w']));
});

describe('a message', () => {
  it('is kept, with the instances that its rules start', () => {
    const { result, events } = replica.send([{ id: 'm1', body: '{"a":1}', rules: ['r@1'] }]);
    expect(result.items).toEqual([{ messageId: 'm1', duplicate: false, started: [{ id: 'm1-1', workflow: 'w' }] }]);
    expect(events).toEqual([{ kind: 'instanceStarted', workflow: 'w' }]);
    expect(replica.machine.messages.count).toBe(1);
    expect(Buffer.from(replica.machine.messages.get('m1')!.payload).toString()).toBe('{"a":1}');
    expect(replica.machine.instances.get('m1-1')).toMatchObject({ status: 'RUNNING', messageId: 'm1', rule: 'r' });
  });

  it('that matched nothing has the shortest of answers', () => {
    expect(replica.send([{ id: 'm1' }, { id: 'm2' }]).result).toEqual({ errorFields: [], items: [] });
    expect(replica.machine.messages.count).toBe(2);
  });

  it('has one outcome each in a mixed batch, in order', () => {
    const { result } = replica.send([{ id: 'm1' }, { id: 'm2', rules: ['r@1'] }, { id: 'm3' }]);
    expect(result.items.map(({ messageId, started }) => [messageId, started.length])).toEqual([
      ['m1', 0],
      ['m2', 1],
      ['m3', 0],
    ]);
  });

  it('sent again in a batch gets its first outcome and changes nothing', () => {
    const batch = [{ id: 'm1', rules: ['r@1'] }, { id: 'm2' }];
    const first = replica.send(batch).result;
    const { hash } = replica.machine;
    expect(replica.send(batch).result).toEqual(first);
    expect(replica.machine.hash).toBe(hash);
    expect(replica.machine.messages.count).toBe(2);
  });

  it('is known wherever it is, and whatever came before or after it', () => {
    const ids = ['m5', 'm2', 'm9', 'm3'];
    for (const [place, commit] of [
      ['in memory', () => undefined],
      ['in the store', () => replica.commit()],
    ] as const) {
      for (const id of ids) {
        const { count } = replica.machine.messages;
        replica.send([{ id: `${place}-${id}` }]);
        replica.send([{ id: `${place}-${id}` }]);
        expect(replica.machine.messages.count).toBe(count + 1);
        commit();
      }
      replica.send(ids.map((id) => ({ id: `${place}-${id}` })));
    }
    expect(replica.machine.messages.count).toBe(2 * ids.length);
    const again = replica.reopened();
    again.send(ids.map((id) => ({ id: `in the store-${id}` })));
    expect(again.machine.messages.count).toBe(2 * ids.length);
  });

  it('sent again gets its instances in the order in which they were started, however many', () => {
    replica.putRule(ruleOf('many', new Array<string>(12).fill('w')));
    const batch = [{ id: 'm1', rules: ['many@1'] }];
    const first = replica.send(batch).result;
    expect(first.items[0]!.started.map(({ id }) => id).slice(8)).toEqual(['m1-9', 'm1-10', 'm1-11', 'm1-12']);
    expect(replica.send(batch).result).toEqual(first);
  });

  it('starts a workflow once for two rules when the second says so', () => {
    replica.putRule(ruleOf('once', ['w'], { dedupe: 'workflow' }));
    const { result } = replica.send([{ id: 'm1', rules: ['r@1', 'once@1'] }]);
    expect(result.items[0]!.started).toHaveLength(1);
    expect(replica.send([{ id: 'm2', rules: ['once@1', 'r@1'] }]).result.items[0]!.started).toHaveLength(2);
  });

  it('may match a rule whose version is any label, an "@" in it included', () => {
    replica.putRule(ruleOf('odd', ['w'], { version: '2@beta@3' }));
    const { result } = replica.send([{ id: 'm1', rules: ['odd@2@beta@3'] }]);
    expect(result.items[0]!.started).toEqual([{ id: 'm1-1', workflow: 'w' }]);
  });
});

describe('a batch', () => {
  it('evaluated against another catalog is refused whole, and nothing of it is kept', () => {
    const { version } = replica.machine.catalog;
    const { hash } = replica.machine;
    const { result } = replica.send([{ id: 'm1', rules: ['r@1'] }, { id: 'm2' }], version - 1);
    expect(result).toMatchObject({ errorCode: 'CATALOG_STALE', items: [] });
    expect(replica.machine.messages.count).toBe(0);
    expect(replica.machine.hash).toBe(hash);
  });

  it('with an item that cannot be decoded is refused whole: the items before it are not kept', () => {
    const good = encode(nodeHost, MessageItem, {
      id: 'm1',
      receivedAt: 1,
      payload: Buffer.from('{}'),
      matched: ['r@1'],
    });
    const items = [good, Buffer.from([1, 2, 3])];
    const body = { catalogVersion: replica.machine.catalog.version, items };
    const { hash } = replica.machine;
    expect(replica.apply(COMMAND.messages, MessageBatch, body).result.errorCode).toBe('INVALID_REQUEST');
    expect(replica.machine.messages.has('m1')).toBe(false);
    expect(replica.machine.hash).toBe(hash);
  });
});

describe('a message that would start more instances than one may', () => {
  it('is refused with the number, keeps nothing and leaves its key free', () => {
    const workflows = Array.from({ length: 100 }, () => 'w');
    const rules = Array.from({ length: 11 }, (_, i) => `r${String(i)}`);
    for (const id of rules) replica.putRule(ruleOf(id, workflows));
    const matched = rules.map((id) => `${id}@1`);
    const refused = replica.send([{ id: 'm1', key: 's/k', rules: matched }]).result.items[0];
    expect(refused).toMatchObject({ errorCode: 'LIMIT_EXCEEDED', started: [] });
    expect(refused?.errorText).toContain('1100 instances');
    expect(replica.machine.messages.has('m1')).toBe(false);
    expect(replica.machine.instances.active.size).toBe(0);
    const taken = replica.send([{ id: 'm2', key: 's/k', rules: matched.slice(1) }]).result.items[0];
    expect(taken?.started).toHaveLength(1_000);
  });

  it('counts their tasks too, in a cluster that is raised to it', () => {
    const tasks = Array.from({ length: 999 }, (_, i) => ({ id: `t${String(i)}`, type: 'log' }));
    replica.putWorkflow({ id: 'large', version: 1, tasks });
    replica.putRule(ruleOf('r20', new Array<string>(20).fill('large')));
    replica.putRule(ruleOf('r21', ['w']));
    const send = (id: string) => replica.send([{ id, rules: ['r20@1', 'r21@1'] }]).result.items[0];
    expect(send('m1')?.started).toHaveLength(21);
    replica.apply(COMMAND.raiseLevel, RaiseLevel, { level: SINCE.rowsPerMessage });
    expect(send('m2')).toMatchObject({ errorCode: 'LIMIT_EXCEEDED', started: [] });
    expect(send('m2')?.errorText).toBe('its rules start 20002 instances and tasks, a message at most 20000');
    expect(replica.machine.messages.has('m2')).toBe(false);
    expect(replica.send([{ id: 'm3', rules: ['r20@1'] }]).result.items[0]?.started).toHaveLength(20);
  });
});

describe('an idempotency key', () => {
  it('gives the first outcome to the same body', () => {
    const first = replica.send([{ id: 'm1', body: '{"a":1}', rules: ['r@1'], key: 's/k' }]).result.items[0]!;
    const second = replica.send([{ id: 'm2', body: '{"a":1}', rules: ['r@1'], key: 's/k' }]).result.items[0]!;
    expect(second).toEqual({ ...first, duplicate: true });
    expect(replica.machine.messages.has('m2')).toBe(false);
    expect(replica.machine.instances.active.size).toBe(1);
  });

  it('also within one batch', () => {
    const { result } = replica.send([
      { id: 'm1', key: 's/k' },
      { id: 'm2', key: 's/k' },
    ]);
    expect(result.items).toMatchObject([
      { messageId: 'm1', duplicate: false },
      { messageId: 'm1', duplicate: true },
    ]);
  });

  it('is refused with another body, of any length', () => {
    replica.send([{ id: 'm1', body: '{"a":1}', key: 's/k' }]);
    for (const body of ['{"a":2}', '{"a":10}']) {
      const { result } = replica.send([{ id: 'm2', body, key: 's/k' }]);
      expect(result.items[0]).toMatchObject({ messageId: 'm2', errorCode: 'IDEMPOTENCY_CONFLICT', started: [] });
      expect(result.items[0]!.errorText).toContain('m1');
    }
    expect(replica.machine.messages.has('m2')).toBe(false);
  });

  it('belongs to its scope', () => {
    replica.send([{ id: 'm1', body: '{"a":1}', key: 's/k' }]);
    expect(replica.send([{ id: 'm2', body: '{"a":2}', key: 'other/k' }]).result.errorCode).toBeUndefined();
    expect(replica.machine.messages.count).toBe(2);
  });

  it('holds for the whole window by cluster time, and not a moment longer', () => {
    replica.send([{ id: 'm1', key: 's/k' }]);
    replica.timeMs += DEDUP_WINDOW_MS - 1;
    expect(replica.send([{ id: 'm2', key: 's/k' }]).result.items[0]!.duplicate).toBe(true);
    replica.timeMs += 1;
    replica.send([{ id: 'm3', key: 's/k' }]);
    expect(replica.machine.messages.has('m3')).toBe(true);
    // The key belongs to m3 now, with a window of its own.
    replica.advance(DEDUP_WINDOW_MS - 1);
    expect(replica.send([{ id: 'm4', key: 's/k' }]).result.items[0]).toMatchObject({
      messageId: 'm3',
      duplicate: true,
    });
    expect(replica.machine.messages.dedupCount).toBe(1);
  });

  it('is never forgotten early: at the quota a new key is refused, a known one is a duplicate, and no key is needed', () => {
    replica.send([{ id: 'm1', key: 's/known' }]);
    replica.machine.messages.dedupCount = DEDUP_KEYS_MAX;
    const { items } = replica.send([{ id: 'm2', key: 's/new' }, { id: 'm3', key: 's/known' }, { id: 'm4' }]).result;
    expect(items[0]).toMatchObject({ messageId: 'm2', errorCode: 'DEDUP_FULL' });
    expect(items[1]).toMatchObject({ messageId: 'm1', duplicate: true });
    expect(replica.machine.messages.has('m2')).toBe(false);
    expect(replica.machine.messages.has('m4')).toBe(true);
    replica.machine.messages.dedupCount = DEDUP_KEYS_MAX - 1;
    replica.send([{ id: 'm5', key: 's/new' }]);
    expect(replica.machine.messages.has('m5')).toBe(true);
  });

  it('is swept when it has expired, in bounded steps', () => {
    const count = DEDUP_SWEEP_MAX + 10;
    for (let i = 0; i < count; i++) replica.send([{ id: `m${String(i)}`, key: `s/${String(i)}` }]);
    expect(replica.machine.nextDueMs()).toBe(replica.timeMs + DEDUP_WINDOW_MS);
    replica.advance(DEDUP_WINDOW_MS - 1);
    expect(replica.machine.messages.dedupCount).toBe(count);
    replica.advance(1);
    expect(replica.machine.messages.dedupCount).toBe(10);
    expect(replica.machine.nextDueMs()).toBeLessThanOrEqual(replica.timeMs);
    replica.advance(0);
    expect(replica.machine.messages.dedupCount).toBe(0);
    expect(replica.machine.nextDueMs()).toBe(Infinity);
    expect([...replica.machine.reader.range('d/', 'd0')]).toEqual([]);
    expect([...replica.machine.reader.range('x/', 'x0')]).toEqual([]);
  });

  it('outlives a restart', () => {
    replica.send([{ id: 'm1', key: 's/k' }]);
    replica.commit();
    const again = replica.reopened();
    expect(again.send([{ id: 'm2', key: 's/k' }]).result.items[0]).toMatchObject({ messageId: 'm1', duplicate: true });
    expect(again.machine.nextDueMs()).toBe(replica.machine.nextDueMs());
  });
});
