import type { Random } from '../../../base/random.ts';

/** In place, every order as likely as any other (Fisher and Yates). */
export function shuffle(items: unknown[], random: Random): void {
  for (let last = items.length - 1; last > 0; last--) {
    const other = random.integer(0, last);
    const item = items[last];
    items[last] = items[other];
    items[other] = item;
  }
}
