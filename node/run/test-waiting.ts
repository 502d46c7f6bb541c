/** For tests of whole nodes in this process: a port before it is listened on, and waiting for what they do. */
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 20;

/** Free on `host`, so that a node can be told of it before another listens there. */
export async function freePort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

export async function until(what: string, limitMs: number, probe: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  while (!(await probe())) {
    if (performance.now() > deadlineMs) throw new Error(`never: ${what}`);
    await delay(POLL_MS);
  }
}
