import { describe, expect, it } from '@jest/globals';
import { nodeHost } from './io/host.ts';
import { type RetentionLimits, YOUNG_MS } from './sweeper.ts';
import { TestCluster } from './test-cluster.ts';

const RULE = {
  id: 'r',
  version: 1,
  priority: 1,
  enabled: true,
  conditions: { field: 'n', op: 'greater_or_equal' as const, value: 0 },
  actions: [{ workflow: 'w' }],
};
const ALL = { ageMs: Infinity, count: Number.MAX_SAFE_INTEGER };

function clusterThatKeeps(retention: RetentionLimits): TestCluster {
  const group = new TestCluster(nodeHost, ['a', 'b', 'c'], { config: { retention } });
  group.leader();
  return group;
}

function send(group: TestCluster, count: number): void {
  const answer = group.submit(
    group.leader(),
    Array.from({ length: count }, (_, n) => ({ n })),
  );
  group.until(() => answer.outcomes !== undefined);
  expect(answer.outcomes?.every((outcome) => 'accepted' in outcome)).toBe(true);
}

function kept(group: TestCluster): number[] {
  return group.voters.map((id) => group.at(id).core.state.messages.count);
}

describe('retention', () => {
  it('deletes what is too old, on every coordinator, a bounded number at a time', () => {
    const group = clusterThatKeeps({ messages: { ageMs: 30_000, count: Number.MAX_SAFE_INTEGER }, instances: ALL });
    send(group, 1_200);
    group.run(29_000);
    send(group, 3);
    group.run(100);
    expect(kept(group)).toEqual([1_203, 1_203, 1_203]);
    group.run(20_000);
    expect(kept(group)).toEqual([3, 3, 3]);
    expect(group.at('b').metrics.of('swept messages')).toBe(1_200);
    const hashes = group.voters.map((id) => group.at(id).core.state.hash);
    expect(new Set(hashes).size).toBe(1);
  });

  it('deletes what is too much, but nothing young', () => {
    const group = clusterThatKeeps({ messages: { ageMs: Infinity, count: 10 }, instances: ALL });
    send(group, 30);
    group.run(YOUNG_MS / 2);
    expect(kept(group)).toEqual([30, 30, 30]);
    group.run(YOUNG_MS * 3);
    expect(kept(group)).toEqual([10, 10, 10]);
  });

  it('goes on under another leader, and writes nothing to the log when there is nothing to do', () => {
    const group = clusterThatKeeps({ messages: { ageMs: 20_000, count: 10 }, instances: ALL });
    send(group, 5);
    const first = group.leader();
    group.isolate(first);
    group.run(2_000);
    const second = group.leader();
    expect(second).not.toBe(first);
    group.run(40_000);
    expect(group.at(second).core.state.messages.count).toBe(0);
    const { lastIndex } = group.at(second).core.raft.log;
    group.run(30_000);
    expect(group.at(second).core.raft.log.lastIndex).toBe(lastIndex);
  });

  it('looks seldom at what is old and has to stay', () => {
    const group = clusterThatKeeps({ messages: { ageMs: 1_000, count: Number.MAX_SAFE_INTEGER }, instances: ALL });
    const workflow = { id: 'w', version: 1, tasks: [{ id: 't', type: 'nobody-has-it' }] };
    group.change({ kind: 'putWorkflow', workflow, mode: 'upsert' });
    group.change({ kind: 'putRule', rule: RULE, mode: 'upsert' });
    group.run(1_000);
    send(group, 5);
    group.run(1_000_000);
    expect(kept(group)).toEqual([5, 5, 5]);
    const { core } = group.at(group.leader());
    const { lastIndex } = core.raft.log;
    // Every 10 s it would be 100 walks.
    group.run(1_000_000);
    expect(core.raft.log.lastIndex - lastIndex).toBeLessThan(10);
  });
});
