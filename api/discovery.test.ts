import { describe, expect, it } from '@jest/globals';
import { loadConfig } from './config.ts';
import { discoveryOf } from './discovery.ts';

const worker = { nodeId: 'w1', role: 'worker' };

function load(file: object, env: Record<string, string> = {}) {
  return loadConfig({ file, env, flags: {} });
}

describe('discoveryOf()', () => {
  it('takes seeds, a name in DNS, or a multicast group', () => {
    const seeds = load(worker, { DISTRIC_DISCOVERY_SEEDS: '10.0.0.1:7400, c2.example.org:7400' });
    expect(discoveryOf(seeds)).toEqual({ method: 'static', seeds: ['10.0.0.1:7400', 'c2.example.org:7400'] });
    const dns = load({ ...worker, discovery: { method: 'dns', name: 'coordinators.shop.svc:7400' } });
    expect(discoveryOf(dns)).toEqual({ method: 'dns', name: 'coordinators.shop.svc:7400' });
    const gossip = { keyFile: 'k', multicast: '239.1.2.3:7499' };
    const multicast = load({ ...worker, gossip, discovery: { method: 'multicast' } });
    expect(discoveryOf(multicast)).toEqual({ method: 'multicast', group: '239.1.2.3:7499' });
  });

  it('is not needed where the coordinators are listed, and lets a coordinator join without a list', () => {
    const coordinators = [{ id: 'c1', address: '10.0.0.1:7400' }];
    expect(discoveryOf(load({ ...worker, coordinators }))).toBeUndefined();
    const joining = { nodeId: 'c4', role: 'coordinator', discovery: { seeds: ['10.0.0.1:7400'] } };
    expect(load(joining).coordinators).toEqual([]);
  });

  it.each([
    ['coordinators', {}],
    ['discovery.seeds[0]', { seeds: ['c1:0'] }],
    ['discovery.seeds', { method: 'dns', name: 'c:7400', seeds: ['c1:7400'] }],
    ['discovery.name', { method: 'dns' }],
    ['discovery.name', { method: 'dns', name: 'c:70000' }],
    ['discovery.name', { seeds: ['c1:7400'], name: 'c:7400' }],
    ['gossip.multicast', { method: 'multicast' }],
  ])('is refused by %s for %j', (field, discovery) => {
    expect(() => load({ ...worker, discovery })).toThrow(`${field}:`);
  });

  it('refuses labels that are no pairs', () => {
    const found = { ...worker, discovery: { seeds: ['c1:7400'] } };
    expect(load({ ...found, labels: ['gpu=yes', 'disk=ssd'], zone: 'eu-1a' }).labels).toEqual(['gpu=yes', 'disk=ssd']);
    expect(() => load({ ...found, labels: ['gpu'] })).toThrow('labels[0]');
  });
});
