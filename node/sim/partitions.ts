/** Ways in which a network falls apart: which directions between coordinators are blocked. */
import type { Random } from '../../base/random.ts';

export const PARTITIONS = ['isolate', 'isolate leader', 'split', 'one way', 'bridge', 'ring', 'flapping'] as const;
export type Partition = (typeof PARTITIONS)[number];

/** From, to. */
export type Direction = readonly [string, string];

export function bothWays(from: string, to: string): Direction[] {
  return [
    [from, to],
    [to, from],
  ];
}

/** `node`: the one it is about, where it is about one. */
export function blocked(
  partition: Partition,
  node: string,
  ids: readonly string[],
  workers: readonly string[],
  random: Random,
): Direction[] {
  const rest = ids.filter((id) => id !== node);
  switch (partition) {
    case 'split': {
      const half = ids.filter(() => random.chance(0.5));
      const other = ids.filter((id) => !half.includes(id));
      return half.flatMap((from) => other.flatMap((to) => bothWays(from, to)));
    }
    case 'one way':
      return rest.filter(() => random.chance(0.6)).map((id) => (random.chance(0.5) ? [node, id] : [id, node]));
    case 'bridge':
      // Two sides that both see one node.
      return rest.flatMap((from, i) => rest.slice(i + 1).flatMap((to) => (i % 2 === 0 ? bothWays(from, to) : [])));
    case 'ring': {
      // Everybody sees two neighbours; where that would be everybody, the ring is cut into a chain.
      const order = [node, ...rest];
      const isOpen = order.length <= 3;
      return order.flatMap((from, i) =>
        order.flatMap((to, j) => {
          const isNext = j - i === 1 || (!isOpen && i === 0 && j === order.length - 1);
          return j > i && !isNext ? bothWays(from, to) : [];
        }),
      );
    }
    case 'isolate':
    case 'isolate leader':
    case 'flapping': {
      const alone = rest.flatMap((id) => bothWays(node, id));
      return random.chance(0.3) ? [...alone, ...workers.flatMap((id) => bothWays(node, id))] : alone;
    }
  }
}
