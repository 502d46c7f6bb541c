import type { Strategy } from './strategy.ts';

/** In turn: whoever was served longest ago, or never, is next. */
export function roundRobin(): Strategy {
  const lastTurns = new Map<string, number>();
  let turn = 0;
  return {
    rank: ({ id }) => lastTurns.get(id) ?? 0,
    given: ({ id }) => void lastTurns.set(id, ++turn),
    forget: (workerId) => void lastTurns.delete(workerId),
  };
}
