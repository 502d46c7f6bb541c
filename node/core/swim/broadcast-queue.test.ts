import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { MemberClaim } from '../tlv/messages.ts';
import { BroadcastQueue } from './broadcast-queue.ts';

const claim = (id: string, incarnation = 1): MemberClaim => ({ id, incarnation, status: 1 });
const bytesOf = ({ id }: MemberClaim): number => 50 + id.length;

describe('BroadcastQueue', () => {
  it('tells each claim as often as asked and no more', () => {
    const queue = new BroadcastQueue(bytesOf);
    queue.add(claim('a'));
    const times = Array.from({ length: 6 }, () => queue.take(1_000, 4, []).length);
    expect(times).toEqual([1, 1, 1, 1, 0, 0]);
    expect(queue.size).toBe(0);
  });

  it('never takes more bytes than there is room for, and those told least often first', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 0, max: 400 }),
        (lengths, room) => {
          const queue = new BroadcastQueue(bytesOf);
          for (const [index, length] of lengths.entries()) queue.add(claim(`${index}`.padEnd(length, '.')));
          for (let round = 0; round < 5; round++) {
            const taken = queue.take(room, 8, []);
            expect(taken.reduce((sum, one) => sum + bytesOf(one), 0)).toBeLessThanOrEqual(room);
            expect(new Set(taken.map(({ id }) => id)).size).toBe(taken.length);
          }
        },
      ),
    );
    const queue = new BroadcastQueue(bytesOf);
    queue.add(claim('old'));
    queue.take(60, 8, []);
    queue.add(claim('new'));
    expect(queue.take(60, 8, []).map(({ id }) => id)).toEqual(['new']);
  });

  it('holds one claim of a member: the later takes the place of the earlier and starts anew', () => {
    const queue = new BroadcastQueue(bytesOf);
    queue.add(claim('a', 1));
    queue.take(1_000, 2, []);
    queue.add(claim('a', 2));
    expect(queue.size).toBe(1);
    expect(queue.take(1_000, 2, [])).toEqual([claim('a', 2)]);
    expect(queue.size).toBe(1);
  });

  it('keeps details under way when the standing changes', () => {
    const details = { version: 3, role: 'worker', address: 'a:1', softwareVersion: '1', labels: [] };
    const queue = new BroadcastQueue(bytesOf);
    queue.add({ ...claim('a', 1), details });
    queue.add(claim('a', 2));
    expect(queue.take(1_000, 2, [])).toEqual([{ ...claim('a', 2), details }]);
  });

  it('leaves out those that go along already', () => {
    const queue = new BroadcastQueue(bytesOf);
    queue.add(claim('a'));
    queue.add(claim('b'));
    expect(queue.take(1_000, 1, [claim('a', 9)]).map(({ id }) => id)).toEqual(['b']);
    expect(queue.size).toBe(1);
  });
});
