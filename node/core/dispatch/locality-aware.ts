import type { Strategy } from './strategy.ts';

/** Round trips are told apart by powers of two, and from here on no more: the load decides among what is about as far. */
const FURTHEST = 10;

export interface Nearness {
  /** Of the node that assigns. */
  readonly zone: string | undefined;
  /** Smoothed time of a message to that worker and its answer, ms; undefined where nobody has measured it. */
  roundTripMs(workerId: string): number | undefined;
}

/** Workers of the own zone first, and once they are full the others, the nearest first; the least loaded of each. */
export function localityAware(nearness: Nearness): Strategy {
  const distance = (id: string, zone: string | undefined): number => {
    if (zone !== undefined && zone === nearness.zone) return 0;
    return 1 + Math.min(FURTHEST, Math.floor(Math.log2(1 + (nearness.roundTripMs(id) ?? 0))));
  };
  // A worker with room has a load below 1, so the distance always decides first.
  return { rank: ({ id, zone, capacity }, used) => distance(id, zone) + used / capacity };
}
