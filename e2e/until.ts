import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 25;

/** Asks until there is an answer; what throws meanwhile is told when the time is up. */
export async function until<T>(what: string, timeoutMs: number, probe: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let last = '';
  for (;;) {
    try {
      const answer = await probe();
      if (answer !== undefined) return answer;
    } catch (error) {
      last = `; last: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() >= deadline) throw new Error(`not within ${timeoutMs} ms: ${what}${last}`);
    await delay(POLL_MS);
  }
}
