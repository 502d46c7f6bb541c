import type { LookupAddress, LookupOptions } from 'node:dns';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { parseAddress } from '../../../base/address.ts';
import { redialDelayMs } from './dialer.ts';
import { NET_LIMITS } from './net-limits.ts';
import { closeAll, node } from './test-peers.ts';
import { tcpTransport } from './transport.ts';

afterEach(closeAll);

describe('redialDelayMs', () => {
  it('doubles to its cap, for ever', () => {
    expect([0, 1, 2, 5, 6, 1_000_000].map((attempt) => redialDelayMs(NET_LIMITS, attempt, 0))).toEqual([
      100, 200, 400, 3_200, 5_000, 5_000,
    ]);
  });

  it('spreads over the upper half', () => {
    expect(redialDelayMs(NET_LIMITS, 0, 0.5)).toBe(75);
    expect(redialDelayMs(NET_LIMITS, 0, 0.999)).toBeGreaterThan(50);
  });
});

describe('Dialer', () => {
  it('looks the name up at each dial, and tries all its addresses', async () => {
    const coordinator = node('c1');
    const { port } = parseAddress(await coordinator.listen());
    const answers = [['127.0.0.2'], ['127.0.0.3', '127.0.0.4', '127.0.0.1']];
    const asked: string[] = [];
    type Answer = (error: null, addresses: LookupAddress[]) => void;
    const lookup = (host: string, _options: LookupOptions, answer: Answer): void => {
      // Two lanes are dialed at once, so two questions belong to one dial.
      const found = answers[Math.min(answers.length - 1, Math.floor(asked.length / 2))] ?? [];
      asked.push(host);
      answer(
        null,
        found.map((address) => ({ address, family: 4 })),
      );
    };
    const transport = { ...tcpTransport, connect: ({ host }: { host: string }) => connect({ host, port, lookup }) };
    const worker = node('w1', { transport });
    worker.net.dial(`moved.example.org:${port}`, 'c1');
    await worker.until(() => worker.isUp(coordinator));
    expect(worker.count('tcp connect_failed')).toBeGreaterThanOrEqual(1);
    expect(new Set(asked)).toEqual(new Set(['moved.example.org']));
    expect(asked.length).toBeGreaterThanOrEqual(4);
  });
});
