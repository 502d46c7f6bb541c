import { describe, expect, it } from '@jest/globals';
import { loadConfig } from './config.ts';
import { gossipListener } from './gossip.ts';

const coordinator = { nodeId: 'c1', role: 'coordinator', coordinators: [{ id: 'c1', address: '127.0.0.1:7401' }] };
const worker = { ...coordinator, nodeId: 'w1', role: 'worker' };

function load(file: object) {
  return loadConfig({ file, env: {}, flags: {} });
}

describe('gossipListener()', () => {
  it('follows the peer port of a coordinator and takes any on a worker', () => {
    const peer = { port: 7411 };
    expect(gossipListener(load({ ...coordinator, peer }))).toEqual({
      on: true,
      address: { host: '127.0.0.1', port: 7411 },
    });
    expect(gossipListener(load({ ...worker, peer }))).toMatchObject({ address: { port: 0 } });
    expect(gossipListener(load({ ...worker, gossip: { port: 7 } }))).toMatchObject({ address: { port: 7 } });
  });

  it('stays off, with the reason, when told so or when its datagrams would leave the machine in plain', () => {
    expect(gossipListener(load({ ...worker, gossip: { enabled: false } }))).toMatchObject({ on: false });
    const open = { ...coordinator, peer: { host: '0.0.0.0' }, insecureAllowPublicListen: true };
    expect(gossipListener(load(open))).toEqual({ on: false, reason: expect.stringContaining('gossip.keyFile') });
    const gossip = { keyFile: 'keys.yaml', multicast: '239.1.2.3:7499' };
    expect(gossipListener(load({ ...open, gossip }))).toEqual({
      on: true,
      address: { host: '0.0.0.0', port: 7400 },
      multicast: { host: '239.1.2.3', port: 7499 },
      keyFile: 'keys.yaml',
    });
  });

  it('stays off where it listens on loopback alone, and the coordinators are elsewhere', () => {
    const away = { ...worker, coordinators: [{ id: 'c1', address: '10.0.0.1:7401' }] };
    expect(gossipListener(load(away))).toEqual({ on: false, reason: expect.stringContaining('gossip.host') });
    const found = { nodeId: 'w1', role: 'worker', discovery: { seeds: ['c1.example.org:7401'] } };
    expect(gossipListener(load(found))).toMatchObject({ on: false });
    const gossip = { host: '10.0.0.2', keyFile: 'k' };
    expect(gossipListener(load({ ...away, gossip }))).toMatchObject({ on: true, address: { host: '10.0.0.2' } });
    const local = { ...worker, coordinators: [{ id: 'c1', address: '[::1]:7401' }] };
    expect(gossipListener(load(local))).toMatchObject({ on: true });
  });

  it.each([
    ['gossip.keyFile', { host: '10.0.0.1' }],
    ['gossip.keyFile', { multicast: '239.1.2.3:7499' }],
    ['gossip.multicast', { keyFile: 'k', multicast: '10.0.0.1:7499' }],
    ['gossip.multicast', { keyFile: 'k', multicast: '239.1.2.3:0' }],
  ])('is refused by %s for %j', (field, gossip) => {
    expect(() => load({ ...worker, gossip })).toThrow(field);
  });
});
