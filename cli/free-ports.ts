import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

const LOOPBACK = '127.0.0.1';

/**
 * Below the range from which Linux and macOS take the ports of outgoing connections: such a port can't be taken by
 * somebody's connection while its node is down, and a node that redials a dead one can't connect to itself.
 */
const PORT_MIN = 20_000;
const PORT_MAX = 32_000;
const TRIES_MAX = 2_000;

/** `count` different loopback ports on which nothing listens now. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  let candidate = randomInt(PORT_MIN, PORT_MAX);
  for (let tries = 0; ports.size < count; tries++) {
    if (tries === TRIES_MAX) throw new Error(`found no ${String(count)} free ports on ${LOOPBACK}`);
    if (await isFree(candidate)) ports.add(candidate);
    candidate = candidate + 1 < PORT_MAX ? candidate + 1 : PORT_MIN;
  }
  return [...ports];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => {
      resolve(false);
    });
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}
