import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from '@jest/globals';
import { parseGossipKeys, type GossipKeys } from '../api/gossip-keys.ts';
import { encodeFrame } from '../node/core/tlv/frame.ts';
import { nodeHost } from '../node/io/host.ts';
import { DatagramProbe } from './datagram-probe.ts';
import { TestAnswerer } from './test-answerer.ts';

const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function pair(ours?: GossipKeys, theirs = ours): Promise<[DatagramProbe, TestAnswerer]> {
  const answerer = await TestAnswerer.open(theirs);
  const probe = new DatagramProbe('ipv4', ours);
  closers.push(
    () => answerer.close(),
    () => probe.close(),
  );
  return [probe, answerer];
}

function someKeys(): GossipKeys {
  return parseGossipKeys(JSON.stringify([{ id: 1, key: randomBytes(32).toString('base64') }]));
}

describe('DatagramProbe', () => {
  it.each([
    ['in plain', undefined],
    ['sealed', someKeys()],
  ])('measures the round trip of a PING, %s, whatever else arrives', async (_, keys) => {
    const [probe, answerer] = await pair(keys);
    const empty = encodeFrame(nodeHost, 0x2002, 0, 1, 1, new Uint8Array());
    answerer.noise = [randomBytes(50), empty, new Uint8Array(), empty.subarray(0, 20)];
    const took = await Promise.all([1, 2, 3].map(() => probe.ping(answerer.address, 5_000)));
    for (const ms of took) expect(ms).toBeGreaterThan(0);
  });

  it('gives up when the answer does not come in time, and takes the next one for what it is', async () => {
    const [probe, answerer] = await pair();
    answerer.silent.add(1);
    expect(await probe.ping(answerer.address, 20)).toBeUndefined();
    expect(await probe.ping(answerer.address, 5_000)).toBeGreaterThan(0);
  });

  it('gets no answer with other keys than the node has', async () => {
    const [probe, answerer] = await pair(someKeys(), someKeys());
    expect(await probe.ping(answerer.address, 50)).toBeUndefined();
  });

  it('rejects for an address it cannot send to', async () => {
    const [probe] = await pair();
    await expect(probe.ping({ host: '::1', port: 9 }, 1_000)).rejects.toThrow();
    expect(['127.0.0.1', '::1'].map((ip) => DatagramProbe.familyOf(ip))).toEqual(['ipv4', 'ipv6']);
  });
});
