import { describe, expect, it } from '@jest/globals';
import { Random } from '../../base/random.ts';
import { Counters } from './counters.ts';
import { EventQueue } from './event-queue.ts';
import { SimLogDisk, SimStateDisk } from './sim-disk.ts';

const PLAN = { flushUsMin: 1_000, flushUsMax: 2_000 };

function entry(index: number) {
  return { index, bytes: new Uint8Array([index]) };
}

function logDisk(seed: number) {
  const queue = new EventQueue();
  return { queue, disk: new SimLogDisk(queue, new Random(seed), PLAN, new Counters()) };
}

describe('SimLogDisk', () => {
  it('has a write only after its flush, in order', () => {
    const { queue, disk } = logDisk(1);
    const done: number[] = [];
    for (let i = 1; i <= 3; i++) disk.persist({ entries: [entry(i)] }, () => done.push(i));
    queue.runNext(900);
    expect(disk.boot.lastIndex).toBe(0);
    while (queue.runNext(10_000));
    expect(done).toEqual([1, 2, 3]);
    expect(disk.read(1, 4, 10)).toEqual([1, 2, 3].map((i) => new Uint8Array([i])));
  });

  it('replaces a suffix and keeps term and vote', () => {
    const { queue, disk } = logDisk(1);
    const hardState = { term: 4, votedFor: 'c1' };
    disk.persist({ hardState, entries: [entry(1), entry(2), entry(3)] }, () => undefined);
    disk.persist({ truncateFrom: 2, entries: [entry(2)] }, () => undefined);
    while (queue.runNext(10_000));
    expect(disk.boot).toEqual({ hardState, firstIndex: 1, lastIndex: 2 });
  });

  it('keeps, over a crash, what is flushed and only a prefix of what is not', () => {
    const outcomes = new Set<number>();
    for (let seed = 0; seed < 40; seed++) {
      const { queue, disk } = logDisk(seed);
      const done: number[] = [];
      disk.persist({ entries: [entry(1)] }, () => done.push(1));
      while (queue.runNext(10_000));
      for (let i = 2; i <= 4; i++) disk.persist({ entries: [entry(i)] }, () => done.push(i));
      disk.crash();
      while (queue.runNext(1e6));
      expect(done).toEqual([1]);
      const { lastIndex } = disk.boot;
      expect(disk.read(1, lastIndex + 1, 10)).toHaveLength(lastIndex);
      outcomes.add(lastIndex);
    }
    expect([...outcomes].sort()).toEqual([1, 2, 3, 4]);
  });

  it('stalls flushes that are under way, and new ones', () => {
    const { queue, disk } = logDisk(1);
    const doneUs: number[] = [];
    disk.persist({ entries: [entry(1)] }, () => doneUs.push(queue.nowUs));
    disk.flusher.stall(500_000);
    disk.persist({ entries: [entry(2)] }, () => doneUs.push(queue.nowUs));
    while (queue.runNext(1e6));
    expect(doneUs).toEqual([500_000, 500_000]);
  });
});

describe('SimStateDisk', () => {
  it('commits all of a transaction or nothing of it', () => {
    const counts = new Set<number>();
    for (let seed = 0; seed < 30; seed++) {
      const queue = new EventQueue();
      const disk = new SimStateDisk(queue, new Random(seed), PLAN, new Counters());
      const writes = new Map([1, 2, 3].map((i) => [`k${i}`, new Uint8Array([i])] as const));
      disk.commit(writes, () => undefined);
      disk.crash();
      counts.add(disk.store.size);
    }
    expect([...counts].sort()).toEqual([0, 3]);
  });
});
