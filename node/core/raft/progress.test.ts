import { describe, expect, it } from '@jest/globals';
import { nodeHost } from '../../io/host.ts';
import { INFLIGHT_APPENDS_MAX, INFLIGHT_BYTES_MAX, Progress } from './progress.ts';
import { ELECTION_MS_MAX, HEARTBEAT_MS, TestGroup } from './test-group.ts';

describe('Progress', () => {
  it('probes one append at a time until the log is known to match', () => {
    const progress = new Progress(11, 0);
    expect(progress.open()).toBe(true);
    progress.sent(11, 50, 0);
    expect(progress).toMatchObject({ mode: 'probe', nextIndex: 11 });
    expect(progress.open()).toBe(false);
    progress.acknowledged(11, 5);
    expect(progress).toMatchObject({ mode: 'replicate', matchIndex: 11, nextIndex: 12 });
    expect(progress.open()).toBe(true);
  });

  it('is not taken out of its probe by an answer to a heartbeat', () => {
    const progress = new Progress(11, 0);
    progress.sent(11, 50, 0);
    progress.acknowledged(0, 5);
    expect(progress).toMatchObject({ mode: 'probe', nextIndex: 11 });
    expect(progress.open()).toBe(false);
  });

  it('closes its window by count and by bytes, and opens it as answers come', () => {
    const byCount = new Progress(1, 0);
    byCount.acknowledged(0, 0);
    for (let i = 1; i <= INFLIGHT_APPENDS_MAX; i++) byCount.sent(i, 1, 0);
    expect(byCount.open()).toBe(false);
    byCount.acknowledged(1, 0);
    expect(byCount.open()).toBe(true);

    const byBytes = new Progress(1, 0);
    byBytes.acknowledged(0, 0);
    byBytes.sent(1, INFLIGHT_BYTES_MAX, 0);
    byBytes.sent(2, 1, 0);
    expect(byBytes.open()).toBe(false);
    byBytes.acknowledged(1, 0);
    expect(byBytes.open()).toBe(true);
  });

  it('knows when the oldest append in flight has waited too long', () => {
    const progress = new Progress(1, 0);
    progress.acknowledged(0, 0);
    expect(progress.stalled(1_000_000, 100)).toBe(false);
    progress.sent(1, 1, 1_000);
    progress.sent(2, 1, 1_050);
    expect(progress.stalled(1_099, 100)).toBe(false);
    expect(progress.stalled(1_100, 100)).toBe(true);
    // An answer to the first is a sign of life for the second.
    progress.acknowledged(1, 1_100);
    expect(progress.stalled(1_150, 100)).toBe(false);
    expect(progress.stalled(1_200, 100)).toBe(true);
  });

  it('sends a lost window again from behind the last match', () => {
    const progress = new Progress(1, 0);
    progress.acknowledged(0, 0);
    for (let i = 1; i <= 5; i++) progress.sent(i, 1, 0);
    progress.acknowledged(2, 0);
    progress.lost();
    expect(progress).toMatchObject({ mode: 'probe', nextIndex: 3, matchIndex: 2 });
    expect(progress.open()).toBe(true);
  });

  it('refuses to send again what has matched', () => {
    const progress = new Progress(1, 0);
    progress.acknowledged(4, 0);
    expect(() => progress.probe(4)).toThrow('matched');
  });
});

describe('a leader and a silent follower', () => {
  function led(): TestGroup {
    const group = new TestGroup(nodeHost, ['a', 'b', 'c']);
    group.elect('a');
    group.run(HEARTBEAT_MS);
    return group;
  }

  function entriesTo(group: TestGroup, to: string): number[][] {
    const found: number[][] = [];
    for (const { to: receiver, message } of group.wire) {
      if (receiver !== to || message.kind !== 'APPEND_ENTRIES' || message.body.entries.length === 0) continue;
      found.push(message.body.entries.map((_, i) => message.body.prevLogIndex + 1 + i));
    }
    return found;
  }

  it('stops at the window, keeps the heartbeats, and goes back to a probe when nothing comes', () => {
    const group = led();
    for (let i = 0; i < INFLIGHT_APPENDS_MAX + 10; i++) {
      group.propose('a', 'x');
      group.collect('a');
    }
    expect(entriesTo(group, 'b')).toHaveLength(INFLIGHT_APPENDS_MAX);
    // Everything to b is lost, silently; c keeps the leader in office.
    group.lost = ({ to, message }) =>
      to === 'b' && message.kind === 'APPEND_ENTRIES' && message.body.entries.length > 0;
    group.wire = group.wire.filter((flying) => !group.lost(flying));
    group.run(ELECTION_MS_MAX);
    expect(group.raft('b')).toMatchObject({ leaderId: 'a', commitIndex: 1 });
    expect(group.raft('b').log.lastIndex).toBe(1);
    group.heal();
    group.run(ELECTION_MS_MAX);
    expect(group.node('b').logText()).toEqual(group.node('a').logText());
  });

  it('begins again from the last match when the connection is new', () => {
    const group = led();
    for (let i = 0; i < 3; i++) {
      group.propose('a', 'x');
      group.collect('a');
    }
    group.wire = [];
    group.raft('a').peerUp('b');
    group.collect('a');
    expect(entriesTo(group, 'b')).toEqual([[2, 3, 4]]);
    group.raft('b').peerUp('a');
    group.settle();
    expect(group.raft('a').matchIndexOf('b')).toBe(4);
  });
});
