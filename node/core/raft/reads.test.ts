import { describe, expect, it } from '@jest/globals';
import { nodeHost } from '../../io/host.ts';
import { PENDING_READS_MAX } from './read-rounds.ts';
import { ELECTION_MS_MAX, HEARTBEAT_MS, TestGroup } from './test-group.ts';

function led(ids = ['a', 'b', 'c']): TestGroup {
  const group = new TestGroup(nodeHost, ids);
  group.elect('a');
  group.run(HEARTBEAT_MS);
  return group;
}

describe('ReadIndex', () => {
  it('is answered with the commit index, after a round of heartbeats begun later', () => {
    const group = led();
    group.propose('a', 'x');
    group.settle();
    const ticket = group.raft('a').readIndex();
    expect(ticket).toBeDefined();
    group.collect('a');
    expect(group.node('a').reads).toEqual([]);
    group.settle();
    expect(group.node('a').reads).toEqual([{ ticket, index: 2 }]);
  });

  it('shares one round among all reads of a turn', () => {
    const group = led();
    const tickets = [1, 2, 3].map(() => group.raft('a').readIndex());
    const sent = group.collect('a');
    expect(sent.filter(({ to }) => to === 'b')).toHaveLength(1);
    group.settle();
    expect(group.node('a').reads.map(({ ticket }) => ticket)).toEqual(tickets);
  });

  it('is not confirmed by an answer to an earlier round', () => {
    const group = led();
    group.nowMs += HEARTBEAT_MS;
    group.raft('a').tick(group.nowMs);
    group.collect('a');
    group.deliver(({ from }) => from === 'a');
    const earlier = group.wire;
    group.wire = [];
    group.raft('a').readIndex();
    group.collect('a');
    group.wire = earlier;
    group.deliver();
    expect(group.node('a').reads).toEqual([]);
  });

  it('waits on a new leader for the first commit of its own term', () => {
    const group = led();
    group.propose('a', 'x');
    group.settle();
    group.partition(['a'], ['b', 'c']);
    group.lost = ({ from, to, message }) =>
      from === 'a' || to === 'a' || (message.kind === 'APPEND_ENTRIES' && message.body.entries.length > 0);
    const b = group.elect('b');
    // It has x but does not know that x is committed: a read now could miss it.
    expect(b).toMatchObject({ role: 'leader', commitIndex: 1 });
    expect(b.readIndex()).toBeUndefined();
    group.partition(['a'], ['b', 'c']);
    group.run(ELECTION_MS_MAX, ['b', 'c']);
    const ticket = b.readIndex();
    group.settle();
    expect(group.node('b').reads).toEqual([{ ticket, index: 3 }]);
  });

  it('is never confirmed by a deposed leader, and fails when it learns of that', () => {
    const group = led();
    group.partition(['a'], ['b', 'c']);
    const asked = group.raft('a').readIndex();
    group.collect('a');
    group.elect('b');
    expect(group.node('a').reads).toEqual([]);
    const queued = group.raft('a').readIndex();
    group.heal();
    group.run(HEARTBEAT_MS);
    expect(group.raft('a').role).toBe('follower');
    expect(group.node('a').reads).toEqual([
      { ticket: asked, index: undefined },
      { ticket: queued, index: undefined },
    ]);
  });

  it('needs nobody else with a lone voter', () => {
    const group = new TestGroup(nodeHost, ['a']);
    group.raft('a').tick(group.nowMs);
    group.settle();
    const ticket = group.raft('a').readIndex();
    group.collect('a');
    expect(group.node('a').reads).toEqual([{ ticket, index: 1 }]);
  });

  it('is refused when too many wait', () => {
    const group = led();
    for (let i = 0; i < PENDING_READS_MAX; i++) expect(group.raft('a').readIndex()).toBeDefined();
    expect(group.raft('a').readIndex()).toBeUndefined();
  });
});
