import { describe, expect, it } from '@jest/globals';
import type { AuditRow } from '../api/rest.ts';
import { nodeHost } from './io/host.ts';
import { REFUSAL_INTERVAL_MS, REFUSALS_BURST } from './refusal-notes.ts';
import type { Command } from './requests.ts';
import { TestCluster } from './test-cluster.ts';

function audited(group: TestCluster): AuditRow[] {
  const answer = group.query(group.leader(), { kind: 'audit', page: { limit: 100 } });
  group.until(() => answer.outcome !== undefined);
  expect(answer.outcome).toHaveProperty('result');
  return (answer.outcome as { result: { entries: AuditRow[] } }).result.entries;
}

function order(group: TestCluster, through: string, command: Command): unknown {
  const answer = group.command(through, command);
  group.until(() => answer.outcome !== undefined);
  return answer.outcome;
}

describe('an order that the leader refuses', () => {
  const remove: Command = { kind: 'changeMembers', change: { kind: 'remove', ids: ['x'] } };

  it('is answered with the reason and leaves a row, wherever it came in', () => {
    const group = new TestCluster(nodeHost, ['a', 'b', 'c']);
    const [follower = ''] = group.followers();
    expect(order(group, follower, remove)).toMatchObject({ error: { code: 'INVALID_REQUEST' } });
    const transfer = { kind: 'transferLeadership', target: 'x' } as const;
    expect(order(group, group.leader(), transfer)).toMatchObject({ error: { code: 'INVALID_REQUEST' } });
    const rows = audited(group).map(({ action, target, outcome }) => [action, target, outcome]);
    expect(rows).toEqual([
      ['leader.transfer', 'member/x', 'INVALID_REQUEST'],
      ['member.remove', 'member/x', 'INVALID_REQUEST'],
    ]);
  });

  it('cannot fill the log by being sent again and again', () => {
    const group = new TestCluster(nodeHost, ['a']);
    group.leader();
    for (let i = 0; i < 3 * REFUSALS_BURST; i++) order(group, 'a', remove);
    expect(audited(group)).toHaveLength(REFUSALS_BURST);
    group.run(REFUSAL_INTERVAL_MS);
    for (let i = 0; i < 3; i++) order(group, 'a', remove);
    expect(audited(group)).toHaveLength(REFUSALS_BURST + 1);
  });
});
