import { describe, expect, it } from '@jest/globals';
import { nodeHost } from '../../io/host.ts';
import { ELECTION_MS_MAX, HEARTBEAT_MS, TestGroup } from './test-group.ts';

function led(): TestGroup {
  const group = new TestGroup(nodeHost, ['a', 'b', 'c']);
  group.elect('a');
  group.run(2 * HEARTBEAT_MS);
  return group;
}

describe('a transfer of leadership', () => {
  it('takes a round trip, no time-out', () => {
    const group = led();
    const { nowMs } = group;
    expect(group.raft('a').transferTo('b')).toBe(true);
    group.settle();
    expect(group.raft('b')).toMatchObject({ role: 'leader', term: 2 });
    expect(group.raft('a')).toMatchObject({ role: 'follower', leaderId: 'b', transferTarget: undefined });
    expect(group.nowMs).toBe(nowMs);
  });

  it('waits until the target has the whole log', () => {
    const group = led();
    group.lost = ({ to }) => to === 'b';
    group.propose('a', 'x');
    group.settle();
    group.raft('a').transferTo('b');
    group.settle();
    expect(group.raft('a')).toMatchObject({ role: 'leader', transferTarget: 'b' });
    group.heal();
    group.run(ELECTION_MS_MAX);
    expect(group.raft('b').role).toBe('leader');
    expect(group.node('b').logText()).toContain('1:x');
  });

  it('whose TIMEOUT_NOW is lost is given up after an election time-out, and the leader goes on', () => {
    const group = led();
    group.lost = ({ message }) => message.kind === 'TIMEOUT_NOW';
    group.raft('a').transferTo('b');
    group.settle();
    expect(group.raft('a').transferTarget).toBe('b');
    group.run(ELECTION_MS_MAX);
    expect(group.raft('a')).toMatchObject({ role: 'leader', term: 1, transferTarget: undefined });
    const index = group.propose('a', 'on');
    group.settle();
    expect(group.raft('a').commitIndex).toBe(index);
  });

  it('that races an append loses nothing that was committed', () => {
    const group = led();
    group.raft('a').transferTo('b');
    // Appended all the same, after b was told: a and c commit it before b asks for votes.
    group.lost = ({ to }) => to === 'b';
    const toB = group.collect('a');
    expect(toB).toEqual([]);
    const index = group.propose('a', 'late');
    group.settle();
    expect(group.raft('a').commitIndex).toBe(index);
    group.heal();
    group.raft('b').receive('a', { kind: 'TIMEOUT_NOW', body: { term: 1 } }, group.nowMs);
    group.settle();
    expect(group.raft('b').role).not.toBe('leader');
    group.run(3 * ELECTION_MS_MAX);
    for (const { raft, id } of group.nodes.values()) {
      expect(raft.commitIndex).toBeGreaterThan(index);
      expect(group.node(id).logText()).toContain('1:late');
    }
  });

  it('goes to a voter that answers, and to nobody else', () => {
    const group = led();
    expect(group.raft('a').transferTo('a')).toBe(false);
    expect(group.raft('a').transferTo('x')).toBe(false);
    group.partition(['a', 'c'], ['b']);
    group.run(2 * ELECTION_MS_MAX, ['a', 'c']);
    expect(group.raft('a').transferTo('b')).toBe(false);
  });

  it('of a term that has passed is ignored', () => {
    const group = led();
    group.raft('a').transferTo('b');
    group.settle();
    group.raft('c').receive('a', { kind: 'TIMEOUT_NOW', body: { term: 1 } }, group.nowMs);
    group.settle();
    expect(group.raft('c')).toMatchObject({ role: 'follower', term: 2 });
  });
});
