import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { RankHeap } from './rank-heap.ts';

describe('a heap of ranks', () => {
  it('has an item of the lowest rank first, whatever was put in, moved and taken out', () => {
    const step = fc.record({ item: fc.nat(12), rank: fc.option(fc.nat(20), { nil: undefined }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const heap = new RankHeap<number>();
        const model = new Map<number, number>();
        for (const { item, rank } of steps) {
          if (rank === undefined) {
            heap.delete(item);
            model.delete(item);
          } else {
            heap.set(item, rank);
            model.set(item, rank);
          }
          expect(heap.size).toBe(model.size);
          const { first } = heap;
          expect(first?.rank).toBe(model.size === 0 ? undefined : Math.min(...model.values()));
          if (first !== undefined) expect(model.get(first.item)).toBe(first.rank);
        }
        const items = Array.from({ length: heap.size }, (_, place) => heap.at(place)).sort();
        expect(items).toEqual([...model.keys()].sort());
      }),
    );
  });
});
