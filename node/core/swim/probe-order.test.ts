import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Random } from '../../../base/random.ts';
import { ProbeOrder } from './probe-order.ts';

const everybody = (): boolean => true;

describe('ProbeOrder', () => {
  it('comes to everybody once in each round, so nobody waits for two rounds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 0, max: 1_000 }), (count, seed) => {
        const order = new ProbeOrder(new Random(seed));
        const ids = Array.from({ length: count }, (_, index) => `m${index}`);
        for (const id of ids) order.add(id);
        const last = new Map(ids.map((id) => [id, 0]));
        let longest = 0;
        for (let turn = 1; turn <= count * 10; turn++) {
          const id = order.next(everybody) ?? '';
          longest = Math.max(longest, turn - (last.get(id) ?? -1));
          last.set(id, turn);
        }
        expect(longest).toBeLessThanOrEqual(2 * count - 1);
        expect(Math.min(...last.values())).toBeGreaterThan(count * 8);
      }),
    );
  });

  it('takes in who comes within the round, at a place of chance', () => {
    const places = new Set<number>();
    for (let seed = 1; seed <= 40; seed++) {
      const order = new ProbeOrder(new Random(seed));
      for (const id of ['a', 'b', 'c', 'd']) order.add(id);
      order.next(everybody);
      order.add('new');
      const seen = Array.from({ length: 9 }, () => order.next(everybody));
      expect(seen).toContain('new');
      places.add(seen.indexOf('new'));
    }
    expect(places.size).toBeGreaterThan(2);
  });

  it('drops who is gone, until it is added again', () => {
    const order = new ProbeOrder(new Random(1));
    order.add('a');
    order.add('b');
    const alone = Array.from({ length: 6 }, () => order.next((id) => id === 'a'));
    expect(new Set(alone)).toEqual(new Set(['a']));
    expect(order.next(() => false)).toBeUndefined();
    order.add('b');
    expect(order.next(everybody)).toBe('b');
  });
});
