import { describe, expect, it } from '@jest/globals';
import { nodeHost } from '../../io/host.ts';
import type { Body } from '../tlv/messages.ts';
import { APPEND_BYTES_MAX } from './leadership.ts';
import { ELECTION_MS_MAX, type Flying, HEARTBEAT_MS, TestGroup } from './test-group.ts';

function led(ids = ['a', 'b', 'c']): TestGroup {
  const group = new TestGroup(nodeHost, ids);
  group.elect('a');
  group.run(HEARTBEAT_MS);
  return group;
}

function appendsTo(to: string, sent: readonly Flying[]): Body<'APPEND_ENTRIES'>[] {
  const appends: Body<'APPEND_ENTRIES'>[] = [];
  for (const { to: receiver, message } of sent) {
    if (receiver === to && message.kind === 'APPEND_ENTRIES' && message.body.entries.length > 0)
      appends.push(message.body);
  }
  return appends;
}

function append(change: Partial<Body<'APPEND_ENTRIES'>>): { kind: 'APPEND_ENTRIES'; body: Body<'APPEND_ENTRIES'> } {
  const base = {
    term: 1,
    leaderId: 'a',
    prevLogIndex: 0,
    prevLogTerm: 0,
    leaderCommit: 0,
    entries: [],
    readRound: 0,
    cutBefore: 0,
  };
  return { kind: 'APPEND_ENTRIES', body: { ...base, ...change } };
}

describe('replication', () => {
  it('brings an entry to every log and commits it everywhere', () => {
    const group = led();
    expect(group.propose('a', 'x')).toBe(2);
    group.settle();
    expect(group.raft('a').commitIndex).toBe(2);
    group.run(HEARTBEAT_MS);
    for (const node of group.nodes.values()) {
      expect(node.logText()).toEqual(['1:-', '1:x']);
      expect(node.raft.commitIndex).toBe(2);
      expect(node.raft.committed(1, 1_000_000).map(({ index }) => index)).toEqual([1, 2]);
    }
  });

  it('commits by a majority of disks, whichever they are', () => {
    const group = led();
    group.node('a').autoFlush = false;
    group.node('b').autoFlush = false;
    group.propose('a', 'x');
    group.settle();
    // On c's disk alone.
    expect(group.raft('a').commitIndex).toBe(1);
    group.node('b').flush();
    group.settle();
    // On b's and c's: the leader's own is not needed.
    expect(group.raft('a').commitIndex).toBe(2);
    expect(group.node('a').disk.lastIndex).toBe(1);
  });

  it('acknowledges an entry only after it is flushed', () => {
    const group = led();
    group.node('b').autoFlush = false;
    group.partition(['a', 'b'], ['c']);
    group.propose('a', 'x');
    group.settle();
    expect(group.raft('a').matchIndexOf('b')).toBe(1);
    group.node('b').flush();
    group.settle();
    expect(group.raft('a').matchIndexOf('b')).toBe(2);
  });

  it('pipelines: the next append does not wait for the answer to the one before', () => {
    const group = led();
    for (const text of ['x', 'y', 'z']) {
      group.propose('a', text);
      group.collect('a');
    }
    expect(appendsTo('b', group.wire).map(({ prevLogIndex }) => prevLogIndex)).toEqual([1, 2, 3]);
    group.settle();
    expect(group.raft('a').commitIndex).toBe(4);
  });

  it('takes appends out of order without losing what came later', () => {
    const group = led();
    for (const text of ['x', 'y']) {
      group.propose('a', text);
      group.collect('a');
    }
    const early = group.wire;
    group.deliver();
    group.wire.push(...early);
    group.settle();
    expect(group.node('b').logText()).toEqual(['1:-', '1:x', '1:y']);
  });

  it('splits what is long into appends of bounded size', () => {
    const group = led();
    const text = 'x'.repeat(APPEND_BYTES_MAX / 4);
    for (let i = 0; i < 10; i++) group.propose('a', text);
    const appends = appendsTo('b', group.collect('a'));
    expect(appends.length).toBeGreaterThanOrEqual(3);
    for (const { entries } of appends) {
      expect(entries.reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(APPEND_BYTES_MAX);
    }
    group.settle();
    expect(group.raft('a').commitIndex).toBe(11);
  });

  it('sends an entry that is larger than an append by itself', () => {
    const group = led();
    group.propose('a', 'x'.repeat(2 * APPEND_BYTES_MAX));
    group.propose('a', 'y');
    expect(appendsTo('b', group.collect('a')).map(({ entries }) => entries.length)).toEqual([1, 1]);
  });
});

describe('commitment', () => {
  // Figure 8 of the paper, its step (c): an entry of an earlier term on a majority may still be replaced.
  it('does not count an entry of an earlier term, even when a majority has it', () => {
    const group = led();
    group.partition(['a'], ['b', 'c']);
    group.propose('a', 'x');
    group.run(3 * ELECTION_MS_MAX, ['a']);
    group.lost = ({ message }) => message.kind === 'APPEND_ENTRIES' && message.body.entries.length > 0;
    const a = group.elect('a');
    expect(group.node('a').logText()).toEqual(['1:-', '1:x', '2:-']);
    const { bytes } = a.log.entry(2);
    group.wire.push({
      from: 'a',
      to: 'b',
      message: append({ term: 2, prevLogIndex: 1, prevLogTerm: 1, entries: [bytes] }),
    });
    group.settle();
    expect(group.node('b').logText()).toEqual(['1:-', '1:x']);
    expect(a.matchIndexOf('b')).toBe(2);
    expect(a.commitIndex).toBe(1);
    // Once an entry of its own term is on a majority, both are committed.
    group.heal();
    group.run(20 * HEARTBEAT_MS);
    expect(a.commitIndex).toBe(3);
  });

  it('never goes back, whatever a leader says late', () => {
    const group = led();
    group.propose('a', 'x');
    group.settle();
    group.run(HEARTBEAT_MS);
    group.raft('b').receive('a', append({ prevLogIndex: 2, prevLogTerm: 1, leaderCommit: 1 }), group.nowMs);
    expect(group.raft('b').commitIndex).toBe(2);
  });

  it('of a follower stops at what is known to match, whatever the leader has committed', () => {
    const group = led();
    group.partition(['a', 'b'], ['c']);
    for (const text of ['x', 'y']) group.propose('a', text);
    group.settle();
    group.raft('c').receive('a', append({ prevLogIndex: 1, prevLogTerm: 1, leaderCommit: 3 }), group.nowMs);
    expect(group.raft('c').commitIndex).toBe(1);
  });
});

describe('a follower that diverged', () => {
  it("gives up its conflicting suffix and takes the leader's", () => {
    const group = led();
    group.partition(['a'], ['b', 'c']);
    for (const text of ['lost', 'lost', 'lost']) group.propose('a', text);
    group.settle();
    expect(group.node('a').logText()).toHaveLength(4);
    group.elect('b');
    group.propose('b', 'kept');
    group.settle();
    group.heal();
    group.run(20 * HEARTBEAT_MS);
    for (const node of group.nodes.values()) expect(node.logText()).toEqual(['1:-', '2:-', '2:kept']);
    expect(group.node('a').disk.lastIndex).toBe(3);
    group.node('a').restart();
    expect(group.node('a').logText()).toEqual(['1:-', '2:-', '2:kept']);
  });

  it('may have to give up everything, from index 1 on', () => {
    const group = new TestGroup(nodeHost, ['a', 'b', 'c']);
    group.lost = ({ message }) => message.kind === 'APPEND_ENTRIES';
    group.elect('a');
    group.propose('a', 'lost');
    group.settle();
    expect(group.node('a').logText()).toEqual(['1:-', '1:lost']);
    group.partition(['a'], ['b', 'c']);
    group.nowMs += 10_000;
    group.elect('b');
    group.heal();
    group.run(20 * HEARTBEAT_MS);
    expect(group.node('a').logText()).toEqual(['2:-']);
    expect(group.raft('a')).toMatchObject({ role: 'follower', leaderId: 'b', commitIndex: 1 });
  });

  it('is found in a few steps, not one entry at a time', () => {
    const group = led();
    group.partition(['a'], ['b', 'c']);
    for (let i = 0; i < 500; i++) group.propose('a', 'lost');
    group.settle();
    group.elect('b');
    for (let i = 0; i < 500; i++) group.propose('b', 'kept');
    group.settle();
    group.heal();
    let probes = 0;
    for (let i = 0; i < 20; i++) {
      group.nowMs += HEARTBEAT_MS;
      for (const { raft } of group.nodes.values()) raft.tick(group.nowMs);
      for (const id of group.nodes.keys()) group.collect(id);
      while (group.wire.length > 0) probes += appendsTo('a', group.deliver()).length;
    }
    expect(group.node('a').logText()).toEqual(group.node('b').logText());
    expect(probes).toBeLessThan(10);
  });

  it('never truncates below its commit index for a delayed append', () => {
    const group = led();
    group.propose('a', 'x');
    group.collect('a');
    const late = group.wire.filter(({ to }) => to === 'b');
    group.settle();
    group.propose('a', 'y');
    group.settle();
    group.run(HEARTBEAT_MS);
    for (const { from, to, message } of late) group.raft(to).receive(from, message, group.nowMs);
    group.settle();
    expect(group.node('b').logText()).toEqual(['1:-', '1:x', '1:y']);
  });
});

describe('a write that completes late', () => {
  it('does not count for entries that were replaced since', () => {
    const group = led();
    const b = group.node('b');
    b.autoFlush = false;
    group.propose('a', 'old');
    group.collect('a');
    group.deliver(({ to }) => to === 'b');
    expect(b.raft.log.lastIndex).toBe(2);
    // c leads term 2 and replaces it before it is flushed.
    group.partition(['a'], ['b', 'c']);
    group.wire = [];
    const { bytes } = group.raft('a').log.entry(1);
    const other = new TestGroup(nodeHost, ['c']);
    const entryOfTerm2 = (() => {
      other
        .node('c')
        .disk.apply({ sequence: 1, hardState: { term: 1, votedFor: 'c' }, entries: [{ index: 1, bytes }] });
      other.node('c').restart();
      other.elect('c');
      return other.raft('c').log.entry(2);
    })();
    b.raft.receive(
      'c',
      append({ term: 2, leaderId: 'c', prevLogIndex: 1, prevLogTerm: 1, entries: [entryOfTerm2.bytes] }),
      group.nowMs,
    );
    group.collect('b');
    expect(b.unflushed).toHaveLength(2);
    b.flush(1);
    // The old entry is on disk, but what stands at index 2 now is not.
    expect(b.raft.log.durableIndex).toBe(1);
    expect(group.collect('b')).toEqual([]);
    b.flush();
    expect(b.raft.log.durableIndex).toBe(2);
    expect(group.collect('b')).toMatchObject([{ to: 'c', message: { body: { success: true, matchIndex: 2 } } }]);
  });

  it('of the term before is no acknowledgement to anybody', () => {
    const group = led();
    const b = group.node('b');
    b.autoFlush = false;
    group.propose('a', 'x');
    group.collect('a');
    group.deliver(({ to }) => to === 'b');
    group.wire = [];
    b.raft.receive('c', { kind: 'PRE_VOTE_RESPONSE', body: { term: 5, granted: false } }, group.nowMs);
    group.collect('b');
    b.flush();
    expect(group.collect('b')).toEqual([]);
  });
});

describe('a damaged or misplaced entry', () => {
  it('is refused, and sent again', () => {
    const group = led();
    group.propose('a', 'x');
    const [flying] = group.collect('a').filter(({ to, message }) => to === 'b' && message.kind === 'APPEND_ENTRIES');
    group.wire = group.wire.filter(({ to }) => to !== 'b');
    const { bytes } = group.raft('a').log.entry(2);
    const damaged = Buffer.from(bytes);
    damaged[damaged.length - 1]! ^= 1;
    const sent = (flying!.message as { body: Body<'APPEND_ENTRIES'> }).body;
    for (const entries of [[damaged], [bytes.subarray(0, 10)], [group.raft('a').log.entry(1).bytes]]) {
      group.raft('b').receive('a', append({ ...sent, entries }), group.nowMs);
      expect(group.collect('b')).toMatchObject([{ message: { body: { success: false } } }]);
      expect(group.raft('b').log.lastIndex).toBe(1);
    }
    group.run(20 * HEARTBEAT_MS);
    expect(group.node('b').logText()).toEqual(['1:-', '1:x']);
  });
});
