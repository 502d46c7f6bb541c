/** The peer addresses at which a node may find coordinators, looked up anew each time. */
import { lookup } from 'node:dns/promises';
import type { Discovery } from '../../api/discovery.ts';
import { formatAddress, parseAddress } from '../../base/address.ts';
import type { GossipDriver } from '../io/net/gossip-driver.ts';

const SEEDS_MAX = 32;

/** Never rejects: a name without an address has none at present. */
export async function seedsOf(discovery: Discovery, gossip: GossipDriver | undefined): Promise<readonly string[]> {
  switch (discovery.method) {
    case 'static':
      return discovery.seeds;
    case 'dns':
      return await addressesOf(discovery.name);
    case 'multicast':
      // Those that answer become members here.
      gossip?.ask(parseAddress(discovery.group));
      return [];
  }
}

async function addressesOf(name: string): Promise<readonly string[]> {
  const { host, port } = parseAddress(name);
  try {
    const found = await lookup(host, { all: true });
    return found.slice(0, SEEDS_MAX).map(({ address }) => formatAddress(address, port));
  } catch {
    return [];
  }
}
