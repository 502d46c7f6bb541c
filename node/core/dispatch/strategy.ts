/** In which order workers that have room are given tasks. */
import type { Random } from '../../../base/random.ts';
import { leastLoaded } from './least-loaded.ts';
import { localityAware, type Nearness } from './locality-aware.ts';
import type { PoolWorker } from './pool-worker.ts';
import { randomOrder } from './random-order.ts';
import type { RankHeap } from './rank-heap.ts';
import { roundRobin } from './round-robin.ts';

export interface Strategy {
  /** Of a worker that has room, lower first. Asked anew after each change of its load, and only then. */
  rank(worker: PoolWorker, used: number): number;
  /** Another than the first by rank; there is at least one. */
  pick?<T>(shelves: readonly RankHeap<T>[]): T;
  /** It was given an attempt; its rank is asked for after that. */
  given?(worker: PoolWorker): void;
  /** It is gone. */
  forget?(workerId: string): void;
}

export const STRATEGIES = ['least-loaded', 'round-robin', 'random', 'locality-aware'] as const;
export type StrategyName = (typeof STRATEGIES)[number];

export function makeStrategy(name: StrategyName, random: Random, nearness: Nearness): Strategy {
  switch (name) {
    case 'least-loaded':
      return leastLoaded;
    case 'round-robin':
      return roundRobin();
    case 'random':
      return randomOrder(random);
    case 'locality-aware':
      return localityAware(nearness);
  }
}
