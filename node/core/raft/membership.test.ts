import { describe, expect, it } from '@jest/globals';
import { nodeHost } from '../../io/host.ts';
import { changed, type Membership, membershipOf, quorum, quorumValue } from './membership.ts';
import { ELECTION_MS_MAX, HEARTBEAT_MS, TestGroup } from './test-group.ts';

const has =
  (...ids: string[]) =>
  (id: string) =>
    ids.includes(id);

describe('a quorum', () => {
  it('is a majority, and of nobody there is none', () => {
    expect(quorum(membershipOf(['a', 'b', 'c']), has('a'))).toBe(false);
    expect(quorum(membershipOf(['a', 'b', 'c']), has('a', 'c'))).toBe(true);
    expect(quorum(membershipOf(['a', 'b', 'c', 'd']), has('a', 'c'))).toBe(false);
    expect(quorum(membershipOf([]), () => true)).toBe(false);
  });

  it('of a joint membership is a majority of both, and learners never count', () => {
    const joint: Membership = { voters: ['c', 'd', 'e'], outgoing: ['a', 'b', 'c'], learners: ['f'] };
    expect(quorum(joint, has('d', 'e', 'f'))).toBe(false);
    expect(quorum(joint, has('a', 'b', 'f'))).toBe(false);
    expect(quorum(joint, has('c', 'd', 'a'))).toBe(true);
    const match: Record<string, number> = { a: 9, b: 1, c: 5, d: 7, e: 2 };
    expect(quorumValue(joint, (id) => match[id] ?? 0)).toBe(5);
  });
});

describe('a change of the members', () => {
  const three: Membership = { voters: ['a', 'b', 'c'], outgoing: [], learners: ['d', 'e'] };

  it('goes through a joint membership when voters change, and at once when they do not', () => {
    expect(changed(three, { kind: 'promote', ids: ['d', 'e'] })).toEqual({
      voters: ['a', 'b', 'c', 'd', 'e'],
      outgoing: ['a', 'b', 'c'],
      learners: [],
    });
    expect(changed(three, { kind: 'replace', out: 'a', in: 'd' })).toEqual({
      voters: ['d', 'b', 'c'],
      outgoing: ['a', 'b', 'c'],
      learners: ['e'],
    });
    expect(changed(three, { kind: 'remove', ids: ['e'] })).toEqual({ ...three, learners: ['d'] });
  });

  it.each([
    [{ kind: 'promote', ids: ['d'] }, '4 voters'],
    [{ kind: 'remove', ids: ['a'] }, '2 voters'],
    [{ kind: 'promote', ids: ['d', 'd'] }, 'each once'],
    [{ kind: 'promote', ids: [] }, 'each once'],
    [{ kind: 'promote', ids: ['a', 'd'] }, '"a" is no learner'],
    [{ kind: 'remove', ids: ['a', 'b', 'c'] }, 'at least one voter'],
    [{ kind: 'remove', ids: ['x', 'y'] }, 'no member'],
    [{ kind: 'addLearner', id: 'a' }, 'member already'],
    [{ kind: 'replace', out: 'd', in: 'e' }, 'no voter'],
    [{ kind: 'replace', out: 'a', in: 'b' }, 'no learner'],
  ] as const)('is refused when it makes no sense: %j', (change, reason) => {
    const outcome = changed(three, change);
    expect('reason' in outcome ? outcome.reason : '').toContain(reason);
  });
});

function led(ids: readonly string[], spares: readonly string[] = []): TestGroup {
  const group = new TestGroup(nodeHost, ids, 1, spares);
  group.elect(ids[0] ?? '');
  group.run(2 * HEARTBEAT_MS);
  return group;
}

function withLearners(): TestGroup {
  const group = led(['a', 'b', 'c'], ['d', 'e']);
  for (const id of ['d', 'e']) {
    group.change('a', { kind: 'addLearner', id });
    group.settle();
    group.run(2 * HEARTBEAT_MS);
  }
  return group;
}

describe('a cluster', () => {
  it('grows from three to five and shrinks to one, and everybody who stays has the same log', () => {
    const group = withLearners();
    expect(group.node('e').logText()).toEqual(group.node('a').logText());
    group.change('a', { kind: 'promote', ids: ['d', 'e'] });
    group.settle();
    group.run(2 * HEARTBEAT_MS);
    for (const { raft } of group.nodes.values()) {
      expect(raft.membership).toEqual(membershipOf(['a', 'b', 'c', 'd', 'e']));
    }
    for (const ids of [
      ['d', 'b'],
      ['c', 'e'],
    ]) {
      group.change('a', { kind: 'remove', ids });
      group.settle();
    }
    expect(group.raft('a').membership).toEqual(membershipOf(['a']));
    const index = group.propose('a', 'alone');
    group.settle();
    expect(group.raft('a').commitIndex).toBe(index);
  });

  it('asks a new member of an idle cluster at once for what it has', () => {
    const group = led(['a'], ['b']);
    group.change('a', { kind: 'addLearner', id: 'b' });
    group.settle();
    expect(group.raft('b').log.lastIndex).toBe(group.raft('a').log.lastIndex);
  });

  it('needs both majorities while the change is joint', () => {
    const group = withLearners();
    // a, d and e are a majority of the five, and of the three only a.
    group.partition(['a', 'd', 'e'], ['b', 'c']);
    const index = group.change('a', { kind: 'promote', ids: ['d', 'e'] });
    group.settle();
    expect(group.raft('a').commitIndex).toBeLessThan(index);
    group.heal();
    group.run(2 * HEARTBEAT_MS);
    group.run(ELECTION_MS_MAX);
    expect(group.raft('a').membership.outgoing).toEqual([]);
  });

  it('goes back to the members of before when a change is truncated', () => {
    const group = withLearners();
    group.partition(['a', 'd', 'e'], ['b', 'c']);
    group.change('a', { kind: 'promote', ids: ['d', 'e'] });
    group.settle();
    expect(group.raft('d').membership.outgoing).toEqual(['a', 'b', 'c']);
    group.elect('b');
    group.heal();
    group.run(2 * ELECTION_MS_MAX);
    for (const id of ['a', 'd', 'e']) {
      expect(group.raft(id).membership).toEqual({ voters: ['a', 'b', 'c'], outgoing: [], learners: ['d', 'e'] });
    }
  });

  it('has one change at a time, and none before a commit in the leader’s own term (Ongaro’s bug of 2015)', () => {
    const group = withLearners();
    group.lost = ({ to }) => to !== 'a' && to !== 'b';
    // b wins term 2, and its empty entry reaches nobody.
    group.nowMs += ELECTION_MS_MAX;
    group.lost = ({ message }) => message.kind === 'APPEND_ENTRIES' && message.body.entries.length > 0;
    group.elect('b');
    expect(group.raft('b').role).toBe('leader');
    expect(group.raft('b').membershipBusy()).toContain('committed nothing in its term');
    expect(() => group.change('b', { kind: 'promote', ids: ['d', 'e'] })).toThrow('one change of the members');
    group.heal();
    group.run(ELECTION_MS_MAX);
    expect(group.raft('b').membershipBusy()).toBeUndefined();
    group.change('b', { kind: 'promote', ids: ['d', 'e'] });
    expect(group.raft('b').membershipBusy()).toContain('not committed');
  });

  it('finishes a joint change under the next leader', () => {
    const group = withLearners();
    // Everybody gets the joint membership, and the leader is gone before it hears of that.
    group.lost = ({ to, message }) => to === 'a' && message.kind === 'APPEND_ENTRIES_RESPONSE';
    group.change('a', { kind: 'promote', ids: ['d', 'e'] });
    group.settle();
    group.partition(['a'], ['b', 'c', 'd', 'e']);
    group.elect('b');
    group.run(2 * HEARTBEAT_MS, ['b', 'c', 'd', 'e']);
    expect(group.raft('b').membership).toEqual(membershipOf(['a', 'b', 'c', 'd', 'e']));
    expect(group.raft('b').commitIndex).toBe(group.raft('b').log.lastIndex);
  });
});

describe('voters that are to be left alone', () => {
  it('must be up to it: a change that only absent ones could settle would stop the cluster for good', () => {
    const group = led(['a', 'b', 'c']);
    const { membership } = group.raft('a');
    const without = (...ids: string[]) => changed(membership, { kind: 'remove', ids }) as Membership;
    expect(group.raft('a').promotionFault(without('a', 'b'))).toBeUndefined();
    group.partition(['a', 'b'], ['c']);
    group.run(2 * ELECTION_MS_MAX, ['a', 'b']);
    expect(group.raft('a').promotionFault(without('a', 'b'))).toContain('no majority answers');
    expect(group.raft('a').promotionFault(without('b', 'c'))).toBeUndefined();
  });
});

describe('a removed leader', () => {
  it('leads until its removal is committed, does not count itself, and hands over', () => {
    const group = withLearners();
    group.lost = ({ from, to }) => from === 'a' && (to === 'c' || to === 'd');
    group.change('a', { kind: 'replace', out: 'a', in: 'd' });
    group.settle();
    // b alone is no majority of b, c, d, although a has the entry too.
    expect(group.raft('a')).toMatchObject({ role: 'leader' });
    expect(group.raft('a').membership.outgoing).not.toEqual([]);
    group.heal();
    group.run(ELECTION_MS_MAX);
    expect(group.raft('a').role).not.toBe('leader');
    const leaders = ['b', 'c', 'd'].filter((id) => group.raft(id).role === 'leader');
    expect(leaders).toHaveLength(1);
    // What it says from now on changes nothing (§4.2.3).
    const { term } = group.raft('b');
    group.run(5 * ELECTION_MS_MAX);
    expect(group.raft('b').term).toBe(term);
  });

  it('still campaigns while only it has the entry that removes it (§4.2.2)', () => {
    const group = led(['a'], ['b']);
    group.change('a', { kind: 'addLearner', id: 'b' });
    group.settle();
    group.run(HEARTBEAT_MS);
    // b gets the joint membership; the one that leaves b alone does not arrive.
    group.change('a', { kind: 'replace', out: 'a', in: 'b' });
    group.collect('a');
    group.deliver();
    group.lost = () => true;
    group.settle();
    expect(group.raft('a').membership).toEqual(membershipOf(['b']));
    expect(group.raft('b').membership.outgoing).toEqual(['a']);
    group.node('a').restart();
    group.heal();
    group.run(4 * ELECTION_MS_MAX);
    expect(group.raft('b')).toMatchObject({ role: 'leader', membership: membershipOf(['b']) });
  });
});

describe('a learner', () => {
  it('neither counts for a commit nor campaigns, and gives its vote when asked', () => {
    const group = withLearners();
    group.partition(['a', 'd', 'e'], ['b', 'c']);
    const index = group.propose('a', 'x');
    group.settle();
    expect(group.raft('d').log.lastIndex).toBe(index);
    expect(group.raft('a').commitIndex).toBeLessThan(index);
    group.run(3 * ELECTION_MS_MAX, ['d', 'e']);
    expect(group.raft('d').term).toBe(1);
    expect(group.raft('d').role).toBe('follower');
  });

  it('that was promoted behind its back votes for the one that knows it', () => {
    const group = withLearners();
    // d is cut off while it becomes a voter.
    group.partition(['a', 'b', 'c', 'e'], ['d']);
    group.change('a', { kind: 'promote', ids: ['d', 'e'] });
    group.settle();
    expect(group.raft('d').membership.learners).toContain('d');
    // Of the five, c and d and b are left: without d there is no majority.
    group.partition(['b', 'c', 'd'], ['a'], ['e']);
    group.run(4 * ELECTION_MS_MAX, ['b', 'c', 'd']);
    expect(['b', 'c'].filter((id) => group.raft(id).role === 'leader')).toHaveLength(1);
    expect(group.raft('d').membership).toEqual(membershipOf(['a', 'b', 'c', 'd', 'e']));
  });

  it('is promoted only when it answers and has caught up', () => {
    const group = withLearners();
    const to = changed(group.raft('a').membership, { kind: 'promote', ids: ['d', 'e'] }) as Membership;
    expect(group.raft('a').promotionFault(to)).toBeUndefined();
    group.partition(['a', 'b', 'c', 'e'], ['d']);
    group.run(2 * ELECTION_MS_MAX, ['a', 'b', 'c', 'e']);
    expect(group.raft('a').promotionFault(to)).toContain('"d"');
  });
});
