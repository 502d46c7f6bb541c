import { describe, expect, it } from '@jest/globals';
import { nodeHost } from '../../io/host.ts';
import {
  OFFERS_OF_A_COPY_MAX,
  RETAKE_MS,
  ROOM_WAIT_MS_MAX,
  SNAPSHOT_CHUNK_BYTES,
  SNAPSHOT_INFLIGHT_MAX,
} from './snapshot-sender.ts';
import { ELECTION_MS_MAX, type Flying, HEARTBEAT_MS, TestGroup } from './test-group.ts';

const isPiece = ({ message }: Flying) => message.kind === 'INSTALL_SNAPSHOT';

/** a leads b and c; c has been away since index 1, and a and b have cut what c needs. */
function behind(stateBytes = 0): TestGroup {
  const group = new TestGroup(nodeHost, ['a', 'b', 'c'], 1, ['d', 'e']);
  group.stateBytes = stateBytes;
  group.elect('a');
  group.partition(['a', 'b'], ['c'], ['d'], ['e']);
  for (let i = 0; i < 10; i++) group.propose('a', `x${String(i)}`);
  group.settle();
  group.run(2 * ELECTION_MS_MAX, ['a', 'b']);
  for (const id of ['a', 'b']) group.cut(id, 9);
  return group;
}

function expectCaughtUp(group: TestGroup, id: string): void {
  const leader = group.raft('a');
  expect(group.raft(id).log.lastIndex).toBe(leader.log.lastIndex);
  expect(group.raft(id).log.lastChecksum).toBe(leader.log.lastChecksum);
  expect(group.raft(id).commitIndex).toBe(leader.commitIndex);
}

describe('a member that needs what is cut away', () => {
  it('gets a snapshot, and its log goes on from there, over a restart too', () => {
    const group = behind();
    group.heal();
    group.run(3 * ELECTION_MS_MAX);
    expect(group.node('c').installs).toBe(1);
    expectCaughtUp(group, 'c');
    group.propose('a', 'after');
    group.settle();
    group.run(HEARTBEAT_MS);
    group.node('c').restart();
    expect(group.raft('c').log.firstIndex).toBe(11);
    group.run(2 * HEARTBEAT_MS);
    expectCaughtUp(group, 'c');
  });

  it('gets it in pieces, a few in flight, and heartbeats all the while', () => {
    const pieces = 9;
    const group = behind(pieces * SNAPSHOT_CHUNK_BYTES);
    group.heal();
    group.nowMs += HEARTBEAT_MS;
    group.raft('a').tick(group.nowMs);
    group.collect('a');
    // Pieces are held up; everything else goes on.
    for (let i = 0; i < 30; i++) {
      group.nowMs += HEARTBEAT_MS;
      for (const { raft } of group.nodes.values()) raft.tick(group.nowMs);
      for (let j = 0; j < 4; j++) group.deliver((flying) => !isPiece(flying));
    }
    expect(group.raft('c').leaderId).toBe('a');
    const offsets = new Set(
      group.wire.flatMap(({ message }) => (message.kind === 'INSTALL_SNAPSHOT' ? [message.body.offset] : [])),
    );
    expect(offsets.size).toBe(SNAPSHOT_INFLIGHT_MAX);
    group.run(2 * ELECTION_MS_MAX);
    expect(group.node('c').installs).toBe(1);
    expectCaughtUp(group, 'c');
  });

  it('goes on where it was when the connection was lost', () => {
    const group = behind(6 * SNAPSHOT_CHUNK_BYTES);
    const sent: number[] = [];
    let lostPieces = 0;
    group.lost = (flying) => {
      if (!isPiece(flying) || flying.message.kind !== 'INSTALL_SNAPSHOT') return false;
      sent.push(flying.message.body.offset);
      // The third piece and all behind it are lost, once.
      if (sent.length < 3 || lostPieces >= 3) return false;
      lostPieces++;
      return true;
    };
    group.run(ELECTION_MS_MAX / 2);
    group.raft('a').peerUp('c');
    group.settle();
    group.run(3 * ELECTION_MS_MAX);
    expect(group.node('c').installs).toBe(1);
    expect(sent.filter((offset) => offset === 0)).toHaveLength(1);
    expectCaughtUp(group, 'c');
  });

  it('begins anew when it was restarted halfway: what is left of a torn snapshot is worth nothing', () => {
    const group = behind(8 * SNAPSHOT_CHUNK_BYTES);
    let pieces = 0;
    group.lost = (flying) => isPiece(flying) && ++pieces > 4;
    group.run(ELECTION_MS_MAX / 2);
    expect(group.node('c').kept.length).toBeGreaterThan(0);
    group.node('c').restart();
    group.heal();
    group.run(4 * ELECTION_MS_MAX);
    expect(group.node('c').installs).toBe(1);
    expectCaughtUp(group, 'c');
  });

  it('restarts its log when it crashed between the state and the log', () => {
    const group = behind();
    const c = group.node('c');
    c.autoInstall = false;
    group.heal();
    group.run(ELECTION_MS_MAX);
    expect(c.pendingInstall).toBeDefined();
    expect(c.raft.installing).toBe(true);
    c.install(nodeHost, false);
    c.restart();
    c.autoInstall = true;
    expect(c.raft.log).toMatchObject({ firstIndex: 11, lastIndex: 11 });
    expect(c.raft.commitIndex).toBe(11);
    group.run(2 * ELECTION_MS_MAX);
    expectCaughtUp(group, 'c');
    c.restart();
    expect(c.raft.log.lastIndex).toBe(group.raft('a').log.lastIndex);
  });

  it('neither campaigns nor commits while it installs', () => {
    const group = behind();
    const c = group.node('c');
    c.autoInstall = false;
    group.heal();
    group.run(ELECTION_MS_MAX);
    const { term, commitIndex } = c.raft;
    group.partition(['a', 'b'], ['c']);
    group.run(4 * ELECTION_MS_MAX, ['c']);
    expect(c.raft).toMatchObject({ term, commitIndex, role: 'follower' });
    group.heal();
    c.autoInstall = true;
    c.install(nodeHost);
    group.run(2 * ELECTION_MS_MAX);
    expectCaughtUp(group, 'c');
  });

  it('gets a new one from the next leader, and drops what it has of the old', () => {
    const group = behind(6 * SNAPSHOT_CHUNK_BYTES);
    let pieces = 0;
    group.lost = (flying) => isPiece(flying) && ++pieces > 3;
    group.run(ELECTION_MS_MAX / 2);
    group.partition(['b', 'c'], ['a']);
    group.run(4 * ELECTION_MS_MAX, ['b', 'c']);
    expect(group.raft('b').role).toBe('leader');
    expect(group.node('c').installs).toBe(1);
    expect(group.raft('c').log.lastChecksum).toBe(group.raft('b').log.lastChecksum);
  });
});

describe('a snapshot that has no room', () => {
  const WHY = 'the disk is full';

  /** How often a first piece was sent while so much time passed. */
  function offers(group: TestGroup, ms: number): number {
    let count = 0;
    group.lost = ({ message }) => {
      if (message.kind === 'INSTALL_SNAPSHOT' && message.body.offset === 0) count++;
      return false;
    };
    group.run(ms);
    return count;
  }

  it('at the receiver is refused with the reason, and offered again, ever less often', () => {
    const group = behind(6 * SNAPSHOT_CHUNK_BYTES);
    group.node('c').noRoom = WHY;
    expect(offers(group, 3_000)).toBeGreaterThanOrEqual(2);
    expect(group.raft('a').snapshotWait('c')).toBe(WHY);
    group.run(20_000);
    expect(offers(group, 10 * ROOM_WAIT_MS_MAX)).toBeLessThanOrEqual(11);
    expect(group.raft('c').installing).toBe(false);
    expect(group.raft('c').leaderId).toBe('a');
    group.node('c').noRoom = undefined;
    group.run(RETAKE_MS + ELECTION_MS_MAX);
    expect(group.node('c').installs).toBe(1);
    expectCaughtUp(group, 'c');
    expect(group.raft('a').snapshotWait('c')).toBeUndefined();
  });

  it('at the receiver for long does not keep the copy on the disk of the sender', () => {
    const group = behind(6 * SNAPSHOT_CHUNK_BYTES);
    group.node('c').noRoom = WHY;
    expect(offers(group, OFFERS_OF_A_COPY_MAX * ROOM_WAIT_MS_MAX)).toBe(OFFERS_OF_A_COPY_MAX);
    expect(group.snapshotCopies).toBe(0);
    expect(group.raft('a').snapshotWait('c')).toBe(WHY);
    expect(offers(group, 5 * RETAKE_MS)).toBeLessThanOrEqual(5);
  });

  it('at the sender is not taken, and asked for again', () => {
    const group = behind();
    group.node('a').noRoom = WHY;
    expect(offers(group, 20_000)).toBe(0);
    expect(group.raft('a').snapshotWait('c')).toBe(WHY);
    group.node('a').noRoom = undefined;
    group.run(ROOM_WAIT_MS_MAX + ELECTION_MS_MAX);
    expect(group.node('c').installs).toBe(1);
    expectCaughtUp(group, 'c');
    expect(group.raft('a').snapshotWait('c')).toBeUndefined();
  });

  it('when it is to be installed goes no further, and the node goes on as it was', () => {
    const group = behind();
    const c = group.node('c');
    c.autoInstall = false;
    group.heal();
    group.run(ELECTION_MS_MAX);
    expect(c.raft.installing).toBe(true);
    c.raft.snapshotRefused(c.pendingInstall!.snapshotId, WHY);
    expect(c.raft.installing).toBe(false);
    group.settle();
    expect(group.raft('a').snapshotWait('c')).toBe(WHY);
    c.autoInstall = true;
    group.run(ROOM_WAIT_MS_MAX);
    expect(c.installs).toBe(1);
    expectCaughtUp(group, 'c');
  });

  it('waits for room alone: others get theirs meanwhile', () => {
    const group = new TestGroup(nodeHost, ['a', 'b', 'c'], 1, ['d', 'e']);
    group.elect('a');
    // Two wait for room, as many as are sent to at once, and then c has to have a snapshot as well.
    group.partition(['a', 'b', 'c'], ['d'], ['e']);
    for (const id of ['d', 'e']) {
      group.change('a', { kind: 'addLearner', id });
      group.settle();
    }
    group.run(2 * ELECTION_MS_MAX, ['a', 'b', 'c']);
    group.cut('a', group.raft('a').commitIndex);
    for (const id of ['d', 'e']) group.node(id).noRoom = WHY;
    group.heal();
    group.run(ELECTION_MS_MAX);
    expect([group.raft('a').snapshotWait('d'), group.raft('a').snapshotWait('e')]).toEqual([WHY, WHY]);
    group.lost = ({ from, to }) => from === 'c' || to === 'c';
    for (let i = 0; i < 5; i++) group.propose('a', `z${String(i)}`);
    group.settle();
    group.run(2 * ELECTION_MS_MAX);
    group.cut('a', group.raft('a').commitIndex);
    group.heal();
    group.run(ELECTION_MS_MAX);
    expect(group.node('c').installs).toBe(1);
    expectCaughtUp(group, 'c');
  });
});

describe('an old snapshot that arrives late', () => {
  it('moves nothing back, and is answered so that the leader goes on', () => {
    const group = behind();
    const pieces: Flying[] = [];
    group.lost = (flying) => {
      if (isPiece(flying)) pieces.push(flying);
      return false;
    };
    group.run(2 * ELECTION_MS_MAX);
    group.propose('a', 'newer');
    group.settle();
    group.run(HEARTBEAT_MS);
    const before = group.node('c').logText();
    expect(pieces.length).toBeGreaterThan(0);
    for (const { from, message } of pieces) group.raft('c').receive(from, message, group.nowMs);
    group.settle();
    expect(group.node('c').installs).toBe(1);
    expect(group.node('c').logText()).toEqual(before);
    expectCaughtUp(group, 'c');
  });

  it('of a term that has passed is refused', () => {
    const group = behind();
    let piece: Flying | undefined;
    group.lost = (flying) => {
      if (isPiece(flying)) piece ??= flying;
      return isPiece(flying);
    };
    group.run(ELECTION_MS_MAX / 2);
    group.partition(['b', 'c'], ['a']);
    group.lost = ({ from, to }) => from === 'a' || to === 'a' || from === 'd' || from === 'e';
    group.run(4 * ELECTION_MS_MAX, ['b', 'c']);
    const { term } = group.raft('c');
    expect(term).toBeGreaterThan(1);
    if (piece !== undefined) group.raft('c').receive('a', piece.message, group.nowMs);
    const commitIndex = group.raft('c').commitIndex;
    group.settle();
    expect(group.raft('c')).toMatchObject({ term, commitIndex, leaderId: 'b' });
  });
});

describe('a snapshot during a joint membership', () => {
  it('brings the joint membership with it', () => {
    const group = behind();
    for (const id of ['d', 'e']) {
      group.lost = ({ from, to }) => from === 'c' || to === 'c';
      group.change('a', { kind: 'addLearner', id });
      group.settle();
      group.run(2 * ELECTION_MS_MAX, ['a', 'b', 'd', 'e']);
    }
    // The joint entry commits, and the settling one does not: of the five only a and b take it.
    group.change('a', { kind: 'promote', ids: ['d', 'e'] });
    const joint = group.raft('a').log.lastIndex;
    group.lost = ({ from, to, message }) =>
      from === 'c' ||
      to === 'c' ||
      (message.kind === 'APPEND_ENTRIES' && message.body.prevLogIndex + message.body.entries.length > joint);
    group.settle();
    expect(group.raft('a').commitIndex).toBe(joint);
    group.cut('a', joint);
    // Now c comes back, and gets no entry beyond the snapshot either.
    group.lost = ({ message }) =>
      message.kind === 'APPEND_ENTRIES' && message.body.prevLogIndex + message.body.entries.length > joint;
    group.run(ELECTION_MS_MAX);
    expect(group.node('c').installs).toBe(1);
    expect(group.raft('c').membership).toMatchObject({ outgoing: ['a', 'b', 'c'] });
    group.heal();
    group.run(3 * ELECTION_MS_MAX);
    for (const id of ['a', 'b', 'c', 'd', 'e']) {
      expect(group.raft(id).membership).toMatchObject({ voters: ['a', 'b', 'c', 'd', 'e'], outgoing: [] });
    }
  });
});
