import { describe, expect, it } from '@jest/globals';
import { nodeHost } from '../../io/host.ts';
import { ELECTION_MS_MAX, ELECTION_MS_MIN, HEARTBEAT_MS, TestGroup } from './test-group.ts';

const three = () => new TestGroup(nodeHost, ['a', 'b', 'c']);

function leaders(group: TestGroup): string[] {
  return [...group.nodes.values()].filter(({ raft }) => raft.role === 'leader').map(({ id }) => id);
}

describe('election', () => {
  it('gives one leader that everybody knows, and it commits the empty entry of its term', () => {
    const group = three();
    group.elect('a');
    group.run(HEARTBEAT_MS);
    for (const { raft, disk } of group.nodes.values()) {
      expect(raft).toMatchObject({ term: 1, leaderId: 'a', commitIndex: 1 });
      expect(disk.hardState).toEqual({ term: 1, votedFor: 'a' });
    }
    expect(leaders(group)).toEqual(['a']);
    expect(group.raft('a').termStartIndex).toBe(1);
  });

  it('comes about by itself within a few time-outs, for many timings', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const group = new TestGroup(nodeHost, ['a', 'b', 'c', 'd', 'e'], seed);
      group.run(5 * ELECTION_MS_MAX);
      expect(leaders(group)).toHaveLength(1);
    }
  });

  it('makes a lone voter leader at once', () => {
    const group = new TestGroup(nodeHost, ['a']);
    group.raft('a').tick(group.nowMs);
    group.settle();
    expect(group.raft('a')).toMatchObject({ role: 'leader', term: 1, commitIndex: 1 });
  });

  it('makes a lone voter leader only once its vote is on disk: learners must not hear a term that it may forget', () => {
    const group = new TestGroup(nodeHost, ['a'], 1, ['b']);
    group.elect('a');
    group.change('a', { kind: 'addLearner', id: 'b' });
    group.settle();
    const node = group.node('a');
    node.restart();
    node.autoFlush = false;
    const { raft } = node;
    group.nowMs += ELECTION_MS_MAX;
    raft.tick(group.nowMs);
    expect(group.collect('a')).toEqual([]);
    expect(raft.role).toBe('candidate');
    node.flush();
    expect(raft).toMatchObject({ role: 'leader', term: 2 });
  });

  it('needs a majority', () => {
    const group = three();
    group.partition(['a'], ['b'], ['c']);
    group.run(10 * ELECTION_MS_MAX);
    expect(leaders(group)).toEqual([]);
    // PreVote: nobody's term rose in all that time, so nobody is disturbed by it later.
    for (const { raft } of group.nodes.values()) expect(raft.term).toBe(0);
  });

  it('refuses a candidate whose log is shorter, or ends with an older term', () => {
    const group = three();
    group.elect('a');
    group.partition(['a', 'b'], ['c']);
    group.propose('a', 'x');
    group.settle();
    group.heal();
    const c = group.elect('c');
    expect(c.role).not.toBe('leader');
    expect(group.raft('b').leaderId).toBe('a');

    group.nowMs += ELECTION_MS_MAX;
    const b = group.elect('b');
    expect(b).toMatchObject({ role: 'leader', term: 2 });
  });
});

describe('votes', () => {
  it('leave only after term and vote are flushed', () => {
    const group = three();
    group.node('b').autoFlush = false;
    group.partition(['a', 'b'], ['c']);
    group.nowMs += ELECTION_MS_MAX;
    group.raft('a').tick(group.nowMs);
    group.settle();
    // b has granted in memory; nothing is on its disk, so a has no vote yet.
    expect(group.node('b').unflushed).toHaveLength(1);
    expect(group.raft('a').role).toBe('candidate');
    group.node('b').flush();
    group.settle();
    expect(group.raft('a').role).toBe('leader');
  });

  it('of the candidate itself are flushed before it asks anybody', () => {
    const group = three();
    group.node('a').autoFlush = false;
    group.nowMs += ELECTION_MS_MAX;
    group.raft('a').tick(group.nowMs);
    group.settle();
    expect(group.raft('a').term).toBe(1);
    expect(group.wire).toEqual([]);
    group.node('a').flush();
    expect(group.collect('a').map(({ message }) => message.kind)).toEqual(['REQUEST_VOTE', 'REQUEST_VOTE']);
  });

  it('are not given twice in a term, not even over a restart', () => {
    const group = three();
    group.partition(['a', 'b'], ['c']);
    group.elect('a');
    group.heal();
    group.node('b').restart();
    expect(group.raft('b').hardState).toEqual({ term: 1, votedFor: 'a' });
    const request = { term: 1, candidateId: 'c', lastLogIndex: 9, lastLogTerm: 1 };
    group.raft('b').receive('c', { kind: 'REQUEST_VOTE', body: request }, group.nowMs);
    const [answer] = group.collect('b');
    expect(answer).toMatchObject({ to: 'c', message: { body: { term: 1, granted: false } } });
    // The same candidate asking again (its first answer got lost) is told yes again.
    group.raft('b').receive('a', { kind: 'REQUEST_VOTE', body: { ...request, candidateId: 'a' } }, group.nowMs);
    expect(group.collect('b')[0]).toMatchObject({ to: 'a', message: { body: { granted: true } } });
  });

  it.each([
    ['an older last term, however long its log', { lastLogIndex: 99, lastLogTerm: 0 }, false],
    ['the same last term and a shorter log', { lastLogIndex: 1, lastLogTerm: 1 }, false],
    ['the same last term and as long a log', { lastLogIndex: 2, lastLogTerm: 1 }, true],
    ['a later last term, however short its log', { lastLogIndex: 1, lastLogTerm: 2 }, true],
  ])('go by §5.4.1: a candidate with %s', (_what, log, granted) => {
    const group = three();
    group.elect('a');
    group.propose('a', 'x');
    group.settle();
    group.nowMs += ELECTION_MS_MIN;
    const body = { term: 3, candidateId: 'c', ...log };
    for (const kind of ['PRE_VOTE', 'REQUEST_VOTE'] as const) {
      group.raft('b').receive('c', { kind, body }, group.nowMs);
      expect(group.collect('b')).toMatchObject([
        { to: 'c', message: { body: { term: granted ? 3 : expect.any(Number), granted } } },
      ]);
    }
  });

  it('are lost with a crash before the flush, together with the term', () => {
    const group = three();
    group.node('b').autoFlush = false;
    group.partition(['a', 'b'], ['c']);
    group.nowMs += ELECTION_MS_MAX;
    group.raft('a').tick(group.nowMs);
    group.settle();
    group.node('b').restart();
    expect(group.raft('b').hardState).toEqual({ term: 0, votedFor: null });
    expect(group.raft('a').role).toBe('candidate');
  });

  it('of an older term, flushed late, are not sent', () => {
    const group = three();
    const b = group.node('b');
    b.autoFlush = false;
    const request = { term: 1, candidateId: 'a', lastLogIndex: 0, lastLogTerm: 0 };
    b.raft.receive('a', { kind: 'REQUEST_VOTE', body: request }, group.nowMs);
    group.collect('b');
    b.raft.receive('c', { kind: 'REQUEST_VOTE', body: { ...request, term: 2, candidateId: 'c' } }, group.nowMs);
    group.collect('b');
    b.flush();
    expect(group.collect('b')).toMatchObject([{ to: 'c', message: { body: { term: 2, granted: true } } }]);
  });
});

describe('PreVote and CheckQuorum', () => {
  it('let a node that was cut off come back without disturbing the leader', () => {
    const group = three();
    group.elect('a');
    group.partition(['a', 'b'], ['c']);
    group.run(10 * ELECTION_MS_MAX);
    expect(group.raft('c')).toMatchObject({ role: 'candidate', term: 1 });
    group.heal();
    group.run(2 * ELECTION_MS_MAX);
    expect(leaders(group)).toEqual(['a']);
    for (const { raft } of group.nodes.values()) expect(raft.term).toBe(1);
  });

  it('ignore a vote request of a higher term while the leader is heard', () => {
    const group = three();
    group.elect('a');
    group.run(HEARTBEAT_MS);
    const body = { term: 7, candidateId: 'c', lastLogIndex: 99, lastLogTerm: 6 };
    for (const id of ['a', 'b']) {
      group.raft(id).receive('c', { kind: 'REQUEST_VOTE', body }, group.nowMs);
      expect(group.raft(id).term).toBe(1);
      expect(group.collect(id)).toEqual([]);
    }
  });

  it('refuse even the best candidate while the leader is heard, and grant it once the leader is silent', () => {
    const group = three();
    group.elect('a');
    group.run(HEARTBEAT_MS);
    const body = { term: 2, candidateId: 'c', lastLogIndex: 99, lastLogTerm: 1 };
    const answers = [0, ELECTION_MS_MIN - 1, ELECTION_MS_MIN].map((silentMs) => {
      group.raft('b').receive('c', { kind: 'PRE_VOTE', body }, group.nowMs + silentMs);
      return group.collect('b').map(({ message }) => 'granted' in message.body && message.body.granted);
    });
    expect(answers).toEqual([[false], [false], [true]]);
    expect(group.raft('b').term).toBe(1);
  });

  it('tell a node that was left behind the term of the others', () => {
    const group = three();
    group.partition(['a', 'b'], ['c']);
    group.elect('a');
    group.partition(['a'], ['b', 'c']);
    expect(group.raft('c').term).toBe(0);
    group.elect('c');
    expect(group.raft('c')).toMatchObject({ role: 'follower', term: 1 });
    expect(group.node('c').disk.hardState).toEqual({ term: 1, votedFor: null });
  });

  it('depose a leader that no majority answers, and not before', () => {
    const group = three();
    group.elect('a');
    group.run(HEARTBEAT_MS);
    group.partition(['a'], ['b', 'c']);
    group.run(ELECTION_MS_MAX - HEARTBEAT_MS, ['a']);
    expect(group.raft('a').role).toBe('leader');
    group.run(2 * HEARTBEAT_MS, ['a']);
    expect(group.raft('a')).toMatchObject({ role: 'follower', leaderId: undefined, term: 1 });
  });

  it('keep a leader that one of two followers answers', () => {
    const group = three();
    group.elect('a');
    group.partition(['a', 'b'], ['c']);
    group.run(10 * ELECTION_MS_MAX, ['a', 'b']);
    expect(leaders(group)).toEqual(['a']);
  });

  it('give a deposed leader a whole time-out before it campaigns again', () => {
    const group = three();
    group.elect('a');
    group.run(3 * ELECTION_MS_MAX);
    const answer = { term: 2, success: false, matchIndex: 0, lastLogIndex: 0, hintIndex: 0, hintTerm: 0 };
    const rest = { readRound: 0, wallMs: 0, hashIndex: 0, stateHash: 0 };
    group.raft('a').receive('b', { kind: 'APPEND_ENTRIES_RESPONSE', body: { ...answer, ...rest } }, group.nowMs);
    expect(group.raft('a')).toMatchObject({ role: 'follower', term: 2 });
    group.raft('a').tick(group.nowMs + ELECTION_MS_MIN - 1);
    expect(group.raft('a').role).toBe('follower');
  });
});
