import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { nodeHost } from '../../io/host.ts';
import { DueQueue } from './due-queue.ts';
import { afterPrefix, padded } from './keys.ts';
import { MemoryStore } from './memory-store.ts';
import { Overlay } from './overlay.ts';

const key = fc.constantFrom('a', 'a/1', 'a/2', 'b', 'b/10', 'b/9', 'c');
const change = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('put' as const), key, value: fc.nat(255) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), key }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'take' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'commit' as const }) },
);

describe('Overlay', () => {
  it('reads like one sorted map, wherever its writes are on their way to the store', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), key, key, (changes, from, to) => {
        const store = new MemoryStore();
        const overlay = new Overlay(nodeHost, store);
        const plain = new Map<string, number>();
        let taken: ReturnType<Overlay['take']> | undefined;
        const commit = () => {
          if (taken === undefined) return;
          store.commit(taken);
          overlay.committed();
          taken = undefined;
        };
        for (const one of changes) {
          if (one.kind === 'put') {
            overlay.put(one.key, Buffer.from([one.value]));
            plain.set(one.key, one.value);
          } else if (one.kind === 'delete') {
            overlay.delete(one.key);
            plain.delete(one.key);
          } else {
            commit();
            if (one.kind === 'take') taken = overlay.take();
          }
        }
        const expected = [...plain].filter(([name]) => name >= from && name < to).sort(([a], [b]) => (a < b ? -1 : 1));
        const read = (reverse: boolean) => [...overlay.range(from, to, reverse)].map((row) => [row.key, row.value[0]]);
        expect(read(false)).toEqual(expected);
        expect(read(true)).toEqual(expected.reverse());
        for (const name of ['a', 'a/1', 'a/2', 'b', 'b/10', 'b/9', 'c', 'd'])
          expect(overlay.get(name)?.[0]).toBe(plain.get(name));
      }),
      { numRuns: 500 },
    );
  });

  it('hashes what is written, in order, and nothing else', () => {
    const write = (...changes: [string, string | null][]) => {
      const overlay = new Overlay(nodeHost, new MemoryStore());
      for (const [name, value] of changes) {
        if (value === null) overlay.delete(name);
        else overlay.put(name, Buffer.from(value));
      }
      return overlay.hash;
    };
    const hash = write(['a', '1'], ['b', '2']);
    expect(write(['a', '1'], ['b', '2'])).toBe(hash);
    for (const other of [
      write(['b', '2'], ['a', '1']),
      write(['a', '1'], ['b', '3']),
      write(['a', '1'], ['b', null]),
      write(['a', '1']),
    ]) {
      expect(other).not.toBe(hash);
    }
    const overlay = new Overlay(nodeHost, new MemoryStore());
    overlay.putUnhashed('meta', Buffer.from('x'));
    expect(overlay.hash).toBe(0);
    expect(overlay.get('meta')).toBeDefined();
  });

  it('has one commit under way at a time', () => {
    const overlay = new Overlay(nodeHost, new MemoryStore());
    overlay.put('a', Buffer.from('1'));
    expect(overlay.pendingBytes).toBeGreaterThan(0);
    overlay.take();
    expect(overlay.pendingBytes).toBe(0);
    expect(overlay.committing).toBe(true);
    expect(() => overlay.take()).toThrow('one commit at a time');
    overlay.committed();
    expect(overlay.committing).toBe(false);
  });
});

describe('DueQueue', () => {
  it('gives ids by time, ties by id, through any moves and removals', () => {
    const id = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j');
    const op = fc.record({ id, due: fc.option(fc.nat(5)) });
    fc.assert(
      fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
        const queue = new DueQueue();
        const plain = new Map<string, number>();
        const first = () => [...plain].sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1))[0];
        const check = () => {
          const next = queue.peek();
          expect([next?.id, next?.dueMs]).toEqual(first() ?? [undefined, undefined]);
          expect(queue.size).toBe(plain.size);
        };
        for (const { id: name, due } of ops) {
          if (due === null) {
            queue.delete(name);
            plain.delete(name);
          } else {
            queue.set(name, due);
            plain.set(name, due);
          }
          check();
        }
        while (plain.size > 0) {
          const [name] = first()!;
          queue.delete(name);
          plain.delete(name);
          check();
        }
      }),
    );
  });
});

describe('keys', () => {
  it('of numbers sort like the numbers, and a prefix ends where it should', () => {
    expect([5, 40, 300].map(padded).sort()).toEqual([5, 40, 300].map(padded));
    expect(afterPrefix('a/')).toBe('a0');
    expect('a/\x7f' < afterPrefix('a/')).toBe(true);
  });
});

describe('MemoryStore', () => {
  it('copies without sharing, and forgets what is deleted', () => {
    const store = new MemoryStore();
    store.commit(
      new Map([
        ['a', Buffer.from('1')],
        ['b', Buffer.from('2')],
      ]),
    );
    const copy = store.copy();
    store.commit(new Map([['a', null]]));
    expect([store.size, copy.size]).toEqual([1, 2]);
    expect([...copy.range('a', 'z')].map((row) => row.key)).toEqual(['a', 'b']);
    expect([...store.range('a', 'z')].map((row) => row.key)).toEqual(['b']);
    expect([...store.range('z', 'a')]).toEqual([]);
  });
});
