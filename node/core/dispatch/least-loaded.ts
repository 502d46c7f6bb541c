import type { Strategy } from './strategy.ts';

/** The smallest share of its slots in use first, so workers of any size fill up alike. */
export const leastLoaded: Strategy = { rank: ({ capacity }, used) => used / capacity };
