import { describe, expect, it } from '@jest/globals';
import { nodeHost } from '../../io/host.ts';
import { decodeEntry, encodeEntry } from './entry.ts';
import { MEMORY_BYTES_MAX, RaftLog } from './log.ts';
import { ELECTION_MS_MAX, HEARTBEAT_MS, TestDisk, TestGroup } from './test-group.ts';

function led(): TestGroup {
  const group = new TestGroup(nodeHost, ['a', 'b', 'c']);
  group.elect('a');
  group.run(HEARTBEAT_MS);
  return group;
}

describe('a restart', () => {
  it('keeps term, vote and flushed entries, and forgets the rest', () => {
    const group = led();
    group.propose('a', 'x');
    group.settle();
    group.node('a').autoFlush = false;
    group.propose('a', 'unflushed');
    group.collect('a');
    group.node('a').restart();
    expect(group.raft('a')).toMatchObject({ role: 'follower', term: 1, leaderId: undefined, commitIndex: 0 });
    expect(group.raft('a').hardState.votedFor).toBe('a');
    expect(group.node('a').logText()).toEqual(['1:-', '1:x']);
  });

  it('knows as committed what the state had applied', () => {
    const group = led();
    group.node('b').appliedIndex = 1;
    group.node('b').restart();
    expect(group.raft('b').commitIndex).toBe(1);
    group.node('b').appliedIndex = 7;
    expect(() => group.node('b').restart()).toThrow('reaches what was applied');
  });

  it('of everybody brings the whole log back', () => {
    const group = led();
    for (const text of ['x', 'y']) group.propose('a', text);
    group.settle();
    for (const node of group.nodes.values()) node.restart();
    group.wire = [];
    group.run(5 * ELECTION_MS_MAX);
    for (const node of group.nodes.values()) {
      expect(node.logText().slice(0, 3)).toEqual(['1:-', '1:x', '1:y']);
      expect(node.raft.commitIndex).toBeGreaterThanOrEqual(4);
    }
  });

  it('lets a leader serve a follower from disk', () => {
    const group = led();
    group.partition(['a', 'b'], ['c']);
    for (let i = 0; i < 20; i++) group.propose('a', `entry ${String(i)}`);
    group.settle();
    group.node('a').restart();
    group.node('b').restart();
    group.nowMs += ELECTION_MS_MAX;
    group.elect('a');
    group.heal();
    group.run(2 * ELECTION_MS_MAX);
    expect(group.node('c').logText()).toEqual(group.node('a').logText());
    expect(group.raft('c').commitIndex).toBe(22);
  });

  it('refuses to start with a damaged entry', () => {
    const group = led();
    group.node('b').disk.entries.get(1)![3]! ^= 4;
    expect(() => group.node('b').restart()).toThrow('entry 1 on disk is intact');
  });
});

describe('the prefix cut', () => {
  it('is told what the members that are there still need, and waits for nobody who is away', () => {
    const group = led();
    group.partition(['a', 'b'], ['c']);
    for (let i = 0; i < 5; i++) group.propose('a', 'x');
    group.settle();
    group.run(HEARTBEAT_MS, ['a', 'b']);
    expect(group.raft('a').safeCutIndex).toBe(1);
    expect(() => group.raft('a').cut(7)).toThrow('only what is committed');
    group.run(2 * ELECTION_MS_MAX, ['a', 'b']);
    expect(group.raft('a').safeCutIndex).toBe(6);
    group.heal();
    group.run(ELECTION_MS_MAX);
    expect(group.raft('a').safeCutIndex).toBe(6);
    // The followers learn it by heartbeat.
    group.run(HEARTBEAT_MS);
    expect(group.raft('c').safeCutIndex).toBe(6);
  });

  it('leaves a log that goes on, on disk and after a restart', () => {
    const group = led();
    for (let i = 0; i < 5; i++) group.propose('a', `x${String(i)}`);
    group.settle();
    group.run(2 * HEARTBEAT_MS);
    for (const node of group.nodes.values()) {
      node.raft.cut(4);
      group.collect(node.id);
      expect([...node.disk.entries.keys()]).toEqual([4, 5, 6]);
      expect(node.raft.log.termAt(3)).toBeUndefined();
      expect(node.raft.log.termAt(4)).toBe(1);
      node.appliedIndex = 6;
      node.restart();
      expect(node.raft.log).toMatchObject({ firstIndex: 4, lastIndex: 6 });
    }
    group.nowMs += ELECTION_MS_MAX;
    group.elect('b');
    group.propose('b', 'after');
    group.settle();
    expect(group.node('c').logText().slice(-2)).toEqual(['2:-', '2:after']);
  });
});

describe('an append that comes late, from below the cut,', () => {
  it('is acknowledged and changes nothing', () => {
    const group = led();
    group.propose('a', 'x');
    const late = group.collect('a').filter(({ to }) => to === 'b');
    for (let i = 0; i < 5; i++) group.propose('a', 'y');
    group.settle();
    group.run(2 * HEARTBEAT_MS);
    group.raft('b').cut(5);
    group.collect('b');
    const before = group.node('b').logText();
    for (const { from, message } of late) group.raft('b').receive(from, message, group.nowMs);
    expect(group.collect('b')).toMatchObject([{ message: { body: { success: true, matchIndex: 2 } } }]);
    expect(group.node('b').logText()).toEqual(before);
  });
});

describe('RaftLog', () => {
  function filled(count: number, payloadBytes: number): { log: RaftLog; disk: TestDisk } {
    const disk = new TestDisk();
    const log = new RaftLog(nodeHost, disk, 0, 0);
    for (let index = 1; index <= count; index++) {
      const head = { term: 1, index, timeMs: 0, wallMs: 0, kind: 1, previousChecksum: log.lastChecksum };
      const entry = encodeEntry(nodeHost, head, Buffer.alloc(payloadBytes));
      log.append(entry);
      disk.entries.set(index, entry.bytes);
    }
    return { log, disk };
  }

  it('forgets what is applied and on disk once memory is over its limit, and reads it back from there', () => {
    const count = 12;
    const { log } = filled(count, MEMORY_BYTES_MAX / 8);
    log.shrink(count);
    expect(log.slice(1, 1)).toHaveLength(1);
    log.persisted(count, 1);
    log.shrink(count);
    expect(log.entry(1).index).toBe(1);
    expect(log.slice(1, MEMORY_BYTES_MAX).length).toBeGreaterThan(1);
    expect(log.lastIndex).toBe(count);
    expect(log.lastTimeMs).toBe(0);
  });

  it('goes on after a truncation that reaches below what is in memory', () => {
    const { disk } = filled(5, 10);
    const log = new RaftLog(nodeHost, disk, 1, 5);
    log.truncateFrom(3);
    expect(log).toMatchObject({ lastIndex: 2, durableIndex: 2, lastTerm: 1 });
    const previousChecksum = log.lastChecksum;
    expect(previousChecksum).toBe(decodeEntry(nodeHost, disk.entries.get(2)!)!.checksum);
    log.append(
      encodeEntry(nodeHost, { term: 2, index: 3, timeMs: 0, wallMs: 0, kind: 1, previousChecksum }, Buffer.from('n')),
    );
    expect(log.termAt(3)).toBe(2);
    expect(log.durableIndex).toBe(2);
  });

  it('takes no entry out of line', () => {
    const { log } = filled(2, 1);
    const head = { term: 1, index: 4, timeMs: 0, wallMs: 0, kind: 1, previousChecksum: log.lastChecksum };
    expect(() => log.append(encodeEntry(nodeHost, head, Buffer.alloc(0)))).toThrow('without a gap');
    const unchained = { ...head, index: 3, previousChecksum: log.lastChecksum ^ 1 };
    expect(() => log.append(encodeEntry(nodeHost, { ...unchained, previousChecksum: 5 }, Buffer.alloc(0)))).toThrow(
      'chain',
    );
  });

  it('cuts only what is on disk', () => {
    const { log } = filled(3, 1);
    expect(() => log.cut(2)).toThrow('on disk');
  });
});
