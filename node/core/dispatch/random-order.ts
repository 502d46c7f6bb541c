import type { Random } from '../../../base/random.ts';
import type { Strategy } from './strategy.ts';

/** Any worker that has room is as likely as any other, each time. */
export function randomOrder(random: Random): Strategy {
  return {
    rank: () => 0,
    pick: (shelves) => {
      let place = random.integer(0, shelves.reduce((sum, { size }) => sum + size, 0) - 1);
      for (const shelf of shelves) {
        if (place < shelf.size) return shelf.at(place);
        place -= shelf.size;
      }
      throw new RangeError('pick among nobody');
    },
  };
}
