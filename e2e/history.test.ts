import { describe, expect, it } from '@jest/globals';
import type { InstanceResource, MessageSummary } from '../api/rest.ts';
import { violations } from './history.ts';
import type { Sent } from './load-client.ts';
import { differences, type Replica } from './replica.ts';

const TIME = '2026-01-01T00:00:00.000Z';

function message(id: string, marker: string): [string, MessageSummary] {
  const head = { message_id: id, status: 'accepted' as const, received_at: TIME };
  return [id, { ...head, payload: { marker }, matched_rules: [] }];
}

function instance(id: string, messageId: string, changes: Partial<InstanceResource> = {}): [string, InstanceResource] {
  const head = {
    id,
    workflow: 'w',
    revision: 1,
    message_id: messageId,
    rule: 'r',
    created_at: TIME,
    deadline_at: TIME,
  };
  const task = { id: 't', type: 'witness', status: 'COMPLETED', attempts: 1, redispatches: 0, token: 7 };
  const tasks = [{ ...task, output: { token: 7, message_id: messageId } }];
  const counts = { tasks_running: 0, tasks_done: 1, tasks_total: 1 };
  return [id, { ...head, status: 'COMPLETED', params: {}, ...counts, tasks, ...changes }];
}

function sent(marker: string, ids: string[], changes: Partial<Sent> = {}): [string, Sent] {
  const acknowledged = ids.map((messageId) => ({ messageId, instances: [], duplicate: false }));
  return [marker, { marker, keyed: false, acknowledged, unknown: 0, refused: 0, ...changes }];
}

function replica(messages: [string, MessageSummary][], instances: [string, InstanceResource][] = []): Replica {
  return { messages: new Map(messages), instances: new Map(instances) };
}

describe('violations', () => {
  it('finds none when every promise was kept', () => {
    const told = { acknowledged: [{ messageId: '1', instances: ['1-1'], duplicate: false }] };
    const records = [sent('a', [], told), sent('b', ['2'], { unknown: 1 }), sent('c', [], { refused: 3 })];
    const kept = replica([message('1', 'a'), message('2', 'b'), message('3', 'b')], [instance('1-1', '1')]);
    expect(violations(new Map(records), kept)).toEqual([]);
  });

  it.each([
    ['lost', [sent('a', ['1'])], replica([])],
    ['kept 2 times', [sent('a', ['1'])], replica([message('1', 'a'), message('2', 'a')])],
    ['kept 2 times', [sent('a', ['1'], { keyed: true, unknown: 1 })], replica([message('1', 'a'), message('2', 'a')])],
    ['kept 1 times', [sent('a', [], { refused: 1 })], replica([message('1', 'a')])],
    ['under 2 ids', [sent('a', ['1', '2'])], replica([message('1', 'a'), message('2', 'a')])],
    ['never sent', [], replica([message('1', 'a')])],
    ['told of instances', [sent('a', ['1'])], replica([message('1', 'a')], [instance('1-1', '1')])],
    ['belongs to no message', [], replica([], [instance('1-1', '1')])],
    ['still RUNNING', [], replica([], [instance('1-1', '1', { status: 'RUNNING' })])],
  ])('finds: %s', (what, records, kept) => {
    expect(violations(new Map(records), kept).join('\n')).toContain(what);
  });

  it('finds a result of an attempt that was not the current one', () => {
    const [id, stale] = instance('1-1', '1');
    stale.tasks[0]!.token = 9;
    expect(violations(new Map(), replica([message('1', 'a')], [[id, stale]])).join('\n')).toContain(
      'result of token 7',
    );
  });
});

describe('differences', () => {
  it('names what is in one replica only, or differs', () => {
    const left = replica([message('1', 'a'), message('2', 'b')], [instance('1-1', '1')]);
    const right = replica([message('2', 'x')], [instance('1-1', '1')]);
    expect(differences(left, left)).toEqual([]);
    expect(differences(left, right).map((text) => text.slice(0, 11))).toEqual(['messages 1:', 'messages 2:']);
  });
});
