import { describe, expect, it } from '@jest/globals';
import type { Membership } from './core/raft/membership.ts';
import type { Raft } from './core/raft/raft.ts';
import { Standing } from './standing.ts';

const MEMBERSHIP: Membership = {
  voters: ['a', 'b', 'c'],
  outgoing: [],
  learners: [],
  about: { b: { dataUuid: 'old disk of b' } },
};

function raftWith(membership: Membership, membershipIndex: number, commitIndex = membershipIndex) {
  const standsBack: boolean[] = [];
  const raft = {
    membership,
    membershipIndex,
    commitIndex,
    standBack: (isStranger: boolean) => standsBack.push(isStranger),
  };
  return { raft, standsBack, asRaft: raft as unknown as Raft };
}

describe('the standing of a coordinator', () => {
  it('is that of a member as long as its log says so', () => {
    const { asRaft } = raftWith(MEMBERSHIP, 5);
    expect(new Standing(asRaft, 'b', 'old disk of b')).toMatchObject({ place: 'member', text: undefined });
  });

  it('is that of a wrong disk when its own log has another one for its id', () => {
    const { asRaft, standsBack } = raftWith(MEMBERSHIP, 5);
    const { place, text } = new Standing(asRaft, 'b', 'new disk of b');
    expect(place).toBe('wrong disk');
    expect(text).toContain('distric members replace b');
    expect(standsBack).toEqual([true]);
  });

  it('waits to be added, is a member once the log lists it, and knows when it was removed', () => {
    const { asRaft, raft, standsBack } = raftWith({ voters: [], outgoing: [], learners: [] }, 0);
    const standing = new Standing(asRaft, 'd', 'disk of d');
    expect(standing.text).toContain('distric members add d');
    Object.assign(raft, { membership: { ...MEMBERSHIP, learners: ['d'] }, membershipIndex: 7 });
    expect(standing.look()).toBe(true);
    expect(standing.place).toBe('member');
    standing.told({ membershipIndex: 9 });
    expect(standing.look()).toBe(true);
    expect(standing.text).toContain('removed from the cluster');
    expect(standsBack).toEqual([false, false, true]);
  });

  it('is that of a member until its removal is committed, here or elsewhere: it may have to see to that itself', () => {
    const { asRaft, raft, standsBack } = raftWith(MEMBERSHIP, 5);
    const standing = new Standing(asRaft, 'a', undefined);
    Object.assign(raft, { membership: { ...MEMBERSHIP, voters: ['b', 'c'] }, membershipIndex: 9, commitIndex: 8 });
    expect(standing.look()).toBe(false);
    raft.commitIndex = 9;
    expect(standing.look()).toBe(true);
    expect(standing.place).toBe('removed');
    raft.commitIndex = 8;
    expect(standing.look()).toBe(true);
    standing.told({ membershipIndex: 9 });
    expect(standing.look()).toBe(true);
    expect(standing.place).toBe('removed');
    expect(standsBack).toEqual([false, true, false, true]);
  });

  it('minds nobody who knows less than its own log', () => {
    const { asRaft, raft } = raftWith(MEMBERSHIP, 5);
    const standing = new Standing(asRaft, 'a', 'disk of a');
    standing.told({ membershipIndex: 6, dataUuid: 'another disk' });
    expect(standing.look()).toBe(true);
    expect(standing.place).toBe('wrong disk');
    raft.membershipIndex = 6;
    expect(standing.look()).toBe(true);
    expect(standing.place).toBe('member');
  });
});

describe('what a coordinator tells others of their standing', () => {
  it('is nothing to a member on its disk', () => {
    const { asRaft } = raftWith(MEMBERSHIP, 5);
    expect(new Standing(asRaft, 'a', undefined).answerTo('b', 'old disk of b')).toBeUndefined();
    expect(new Standing(asRaft, 'a', undefined).answerTo('c', 'any disk: none is recorded')).toBeUndefined();
  });

  it('names the disk to one with another, and none to a stranger', () => {
    const standing = new Standing(raftWith(MEMBERSHIP, 5).asRaft, 'a', undefined);
    expect(standing.answerTo('b', 'new disk of b')).toEqual({ membershipIndex: 5, dataUuid: 'old disk of b' });
    expect(standing.answerTo('x', undefined)).toEqual({ membershipIndex: 5 });
  });

  it('waits until the membership is committed', () => {
    const standing = new Standing(raftWith(MEMBERSHIP, 5, 4).asRaft, 'a', undefined);
    expect(standing.answerTo('x', undefined)).toBeUndefined();
  });
});
