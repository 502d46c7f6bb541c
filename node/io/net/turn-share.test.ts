import { afterEach, describe, expect, it } from '@jest/globals';
import type { TestNode } from './test-node.ts';
import { closeAll, frame, hello, node, pair, propose, raw } from './test-peers.ts';

const TURN_BYTES = 64 * 1024;
/** Node reads in pieces of so many bytes, and one that it has read when it is told to pause is handed over later. */
const READ_BYTES = 64 * 1024;

afterEach(closeAll);

/** The most that a count grew by within one turn of the event loop, until `done`. */
async function mostPerTurn(of: TestNode, name: string, done: () => boolean): Promise<number> {
  let most = 0;
  while (!done()) {
    const before = of.count(name);
    await new Promise((resolve) => setImmediate(resolve));
    most = Math.max(most, of.count(name) - before);
  }
  return most;
}

describe('a connection with much to carry', () => {
  it('is written to in shares, one a turn, and loses nothing', async () => {
    const [coordinator, worker] = await pair({ limits: { turnBytes: TURN_BYTES } });
    const count = 8;
    for (let i = 0; i < count; i++) expect(worker.net.send('c1', propose(i, 1024 * 1024))).toBe(true);
    const most = await mostPerTurn(worker, 'sent', () => coordinator.received.length === count);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(4 * TURN_BYTES);
    expect(coordinator.received.map(({ message }) => message)).toEqual(
      Array.from({ length: count }, (_, i) => propose(i, 1024 * 1024)),
    );
  });

  it('is read in shares, one a turn, and loses nothing', async () => {
    const n1 = node('n1', { limits: { turnBytes: TURN_BYTES } });
    const address = await n1.listen();
    const [control, bulk] = [await raw(address), await raw(address)];
    control.write(frame(hello('n2', 'control')));
    bulk.write(frame(hello('n2', 'bulk')));
    await n1.until(() => n1.peers.has('n2'));
    const count = 8;
    bulk.write(Buffer.concat(Array.from({ length: count }, (_, i) => frame(propose(i, 1024 * 1024)))));
    const most = await mostPerTurn(n1, 'received', () => n1.received.length === count);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(TURN_BYTES + 2 * READ_BYTES);
  });

  it('hands all of it over before it ends', async () => {
    const [coordinator, worker] = await pair({ limits: { turnBytes: TURN_BYTES } });
    for (let i = 0; i < 8; i++) worker.net.send('c1', propose(i, 1024 * 1024));
    const closed = worker.net.close();
    await coordinator.until(() => coordinator.events.length === 2);
    expect(coordinator.received).toHaveLength(8);
    await closed;
  });
});
