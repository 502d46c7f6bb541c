import { beforeEach, describe, expect, it } from '@jest/globals';
import { UuidSource } from '../../../base/uuid.ts';
import { Random } from '../../../base/random.ts';
import { nodeHost } from '../../io/host.ts';
import { COMMAND, Sweep } from './commands.ts';
import { instanceIdOf } from './message-table.ts';
import { idBound, SWEEP_KEYS_MAX, SWEEP_ROWS_MAX, type SweptTable } from './retention.ts';
import { ruleOf, TestReplica, WALL_OFFSET_MS, workflowOf } from './test-replica.ts';
import { Views } from './views.ts';

const HOUR_MS = 3_600_000;
const MANY = 1_000_000;

let replica: TestReplica;
let ids: UuidSource;

beforeEach(() => {
  replica = new TestReplica(nodeHost);
  ids = new UuidSource(new Random(5));
  replica.putWorkflow(
    workflowOf('w', [
      { id: 'first', type: 'log' },
      { id: 'second', type: 'log', depends_on: ['first'] },
    ]),
  );
  replica.putRule(ruleOf('r', ['w', 'w']));
  replica.register('worker', 's', ['log'], 100);
});

const wallMs = (): number => WALL_OFFSET_MS + replica.timeMs;

/** A message received now; with `rules` it starts two instances. */
function receive(more: { rules?: readonly string[]; key?: string } = {}): string {
  const id = ids.next(wallMs());
  const { result } = replica.send([{ id, ...more }]);
  expect(result.errorCode).toBeUndefined();
  return id;
}

/** One entry; what it deleted and where the next goes on. */
function sweep(table: SweptTable, limits: { ageMs?: number; keep?: number; from?: string } = {}) {
  const { ageMs = 100 * HOUR_MS, keep = MANY, from = '' } = limits;
  const body = { table, from, before: wallMs() - ageMs, youngest: wallMs() - 1, keep };
  const { events } = replica.apply(COMMAND.sweep, Sweep, body);
  const [event] = events;
  if (event?.kind !== 'swept') throw new Error('a sweep tells what it did');
  return { deleted: event.deleted, next: event.next };
}

function complete(instanceId: string): void {
  for (const taskId of ['first', 'second']) {
    replica.assign({ instanceId, taskId, workerId: 'worker', session: 's' });
    replica.report(instanceId, taskId, replica.machine.appliedIndex, 'ok', '{"done":true}');
  }
}

function keysUnder(prefix: string): string[] {
  return [...replica.machine.reader.range(prefix, `${prefix}~`)].map(({ key }) => key);
}

describe('messages', () => {
  it('go when they are old, with nothing left of them', () => {
    const old = receive();
    replica.advance(2 * HOUR_MS);
    const young = receive();
    replica.advance(10);
    expect(sweep('messages', { ageMs: HOUR_MS })).toEqual({ deleted: 1, next: undefined });
    expect(keysUnder('m/')).toEqual([`m/${young}`]);
    expect(replica.machine.messages.count).toBe(1);
    expect(replica.machine.messages.get(old)).toBeUndefined();
  });

  it('go, the oldest first, when they are too many', () => {
    const all = Array.from({ length: 5 }, () => (replica.advance(10), receive()));
    replica.advance(10);
    expect(sweep('messages', { keep: 2 }).deleted).toBe(3);
    expect(keysUnder('m/')).toEqual(all.slice(3).map((id) => `m/${id}`));
  });

  it('stay while an instance of theirs runs, and those behind them go', () => {
    const needed = receive({ rules: ['r@1'] });
    const other = receive();
    replica.advance(HOUR_MS);
    expect(sweep('messages', { ageMs: 1 }).deleted).toBe(1);
    expect(replica.machine.messages.has(needed)).toBe(true);
    expect(replica.machine.messages.has(other)).toBe(false);
    for (const ordinal of [1, 2]) complete(instanceIdOf(needed, ordinal));
    expect(sweep('messages', { ageMs: 1 }).deleted).toBe(1);
  });

  it('stay as long as their idempotency key, so that a duplicate is told from another body', () => {
    const keyed = receive({ key: 'scope/k' });
    replica.advance(23 * HOUR_MS);
    expect(sweep('messages', { ageMs: HOUR_MS }).deleted).toBe(0);
    const { result } = replica.send([{ id: ids.next(wallMs()), key: 'scope/k', body: '{"other":1}' }]);
    expect(result.items[0]?.errorCode).toBe('IDEMPOTENCY_CONFLICT');
    replica.advance(2 * HOUR_MS);
    expect(sweep('messages', { ageMs: HOUR_MS }).deleted).toBe(1);
    expect(replica.machine.messages.has(keyed)).toBe(false);
    expect(keysUnder('d/')).toEqual([]);
  });

  it('are deleted a bounded number at a time, each entry going on where the last one ended', () => {
    const count = 2 * SWEEP_ROWS_MAX + 10;
    for (let i = 0; i < count; i++) receive();
    replica.advance(HOUR_MS);
    const first = sweep('messages', { ageMs: 1 });
    expect(first.deleted).toBe(SWEEP_ROWS_MAX);
    const second = sweep('messages', { ageMs: 1, from: first.next! });
    expect(second.deleted).toBe(SWEEP_ROWS_MAX);
    expect(sweep('messages', { ageMs: 1, from: second.next! })).toEqual({ deleted: 10, next: undefined });
    expect(replica.machine.messages.count).toBe(0);
  });

  it('leave lists and their cursors right', () => {
    const all = Array.from({ length: 4 }, () => (replica.advance(10), receive()));
    const views = new Views(nodeHost, replica.machine);
    const page = (cursor?: string) => {
      const list = { limit: 2, ...(cursor === undefined ? {} : { cursor }) };
      const answer = views.answer({ kind: 'messages', page: list }) as {
        messages: { message_id: string }[];
        next_cursor?: string;
      };
      return { ids: answer.messages.map((row) => row.message_id), next: answer.next_cursor };
    };
    const first = page();
    expect(first).toEqual({ ids: [all[3], all[2]], next: all[2] });
    replica.advance(10);
    sweep('messages', { keep: 1 });
    expect(page(first.next)).toEqual({ ids: [], next: undefined });
    expect(page()).toEqual({ ids: [all[3]], next: undefined });
  });
});

describe('instances', () => {
  it('go when all of their message have ended long ago, with their outputs, and the message may outlive them', () => {
    const message = receive({ rules: ['r@1'] });
    complete(instanceIdOf(message, 1));
    replica.advance(2 * HOUR_MS);
    expect(sweep('instances', { ageMs: HOUR_MS }).deleted).toBe(0);
    complete(instanceIdOf(message, 2));
    expect(sweep('instances', { ageMs: HOUR_MS }).deleted).toBe(0);
    replica.advance(2 * HOUR_MS);
    expect(sweep('instances', { ageMs: HOUR_MS }).deleted).toBe(2);
    for (const prefix of ['i/', 'o/', 'a/']) expect(keysUnder(prefix)).toEqual([]);
    expect(replica.machine.instances.count).toBe(0);
    const view = new Views(nodeHost, replica.machine).answer({ kind: 'message', id: message });
    expect(view).toMatchObject({ message_id: message, instances: [] });
  });

  it('go by number, but never while they run', () => {
    const first = receive({ rules: ['r@1'] });
    const second = receive({ rules: ['r@1'] });
    replica.advance(10);
    for (const ordinal of [1, 2]) complete(instanceIdOf(second, ordinal));
    expect(sweep('instances', { keep: 1 }).deleted).toBe(2);
    expect(replica.machine.instances.active.size).toBe(2);
    expect(keysUnder('i/').every((key) => key.startsWith(`i/${first}`))).toBe(true);
  });

  it('of one message may be more than one entry deletes: it goes on from there, and no ordinal is missed', () => {
    replica.putWorkflow(workflowOf('none', [{ id: 'only', type: 'log' }]));
    replica.putRule(
      ruleOf(
        'many',
        Array.from({ length: 1_000 }, () => 'none'),
      ),
    );
    const messages = [receive({ rules: ['many@1'] }), receive({ rules: ['many@1'] }), receive({ rules: ['many@1'] })];
    for (const id of [...replica.machine.instances.active.keys()]) replica.cancel(id);
    replica.advance(HOUR_MS);
    let from: string | undefined = '';
    const steps: number[] = [];
    while (from !== undefined) {
      const { deleted, next } = sweep('instances', { ageMs: 1, from });
      steps.push(deleted);
      from = next;
    }
    expect(steps.reduce((sum, one) => sum + one, 0)).toBe(3_000);
    expect(Math.max(...steps)).toBeLessThanOrEqual(SWEEP_KEYS_MAX);
    for (const id of messages) expect([...replica.machine.messages.instanceIdsOf(id)]).toEqual([]);
  });
});

describe('a sweep', () => {
  it('deletes the same on every replica, restarted or not', () => {
    const message = receive({ rules: ['r@1'] });
    for (const ordinal of [1, 2]) complete(instanceIdOf(message, ordinal));
    receive({ key: 'scope/k' });
    receive();
    replica.commit();
    const other = replica.reopened();
    expect(other.machine.instances.count).toBe(2);
    replica.advance(HOUR_MS);
    sweep('instances', { ageMs: 1 });
    sweep('messages', { ageMs: 1 });
    for (const command of replica.history.slice(-3)) other.applyBytes(command);
    expect(other.machine.hash).toBe(replica.machine.hash);
    expect(other.machine.messages.count).toBe(1);
  });

  it('is not due when nothing is old or too much', () => {
    const { retention } = replica.machine;
    expect(retention.isDue('messages', wallMs(), 0)).toBe(false);
    receive();
    expect(retention.isDue('messages', wallMs() - HOUR_MS, 1)).toBe(false);
    expect(retention.isDue('messages', wallMs() - HOUR_MS, 0)).toBe(true);
    replica.advance(HOUR_MS);
    expect(retention.isDue('messages', wallMs() - 1, 1)).toBe(true);
  });

  it('knows ids by their time', () => {
    const id = ids.next(1_700_000_000_000);
    expect(idBound(1_700_000_000_000) < id).toBe(true);
    expect(id < idBound(1_700_000_000_001)).toBe(true);
  });
});
