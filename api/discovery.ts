/** Where a node looks for coordinators that it is not told of. */
import type { NodeConfig } from './config-schema.ts';

export type Discovery =
  | { method: 'static'; seeds: readonly string[] }
  /** `host:port`: every address of the name is a seed. */
  | { method: 'dns'; name: string }
  | { method: 'multicast'; group: string };

/** Undefined when there is nowhere to look. */
export function discoveryOf({ discovery, gossip }: Pick<NodeConfig, 'discovery' | 'gossip'>): Discovery | undefined {
  const { method, seeds, name } = discovery;
  switch (method) {
    case 'static':
      return seeds.length === 0 ? undefined : { method, seeds };
    case 'dns':
      return name === undefined ? undefined : { method, name };
    case 'multicast':
      return gossip.multicast === undefined ? undefined : { method, group: gossip.multicast };
  }
}

export function checkDiscovery(config: NodeConfig, refuse: (field: string, reason: string) => void): void {
  const { method, seeds, name } = config.discovery;
  seeds.forEach((seed, index) => {
    if (!hasPort(seed)) refuse(`discovery.seeds[${String(index)}]`, `needs a port from 1 to 65535, not "${seed}"`);
  });
  if (name !== undefined && !hasPort(name)) refuse('discovery.name', `needs a port from 1 to 65535, not "${name}"`);
  if (method !== 'static' && seeds.length > 0) refuse('discovery.seeds', `is for the method static, not ${method}`);
  if (method !== 'dns' && name !== undefined) refuse('discovery.name', `is for the method dns, not ${method}`);
  if (method === 'dns' && name === undefined) refuse('discovery.name', 'is required with discovery.method dns');
  if (method !== 'multicast') return;
  if (config.gossip.multicast === undefined) {
    refuse('gossip.multicast', 'is required with discovery.method multicast: the group to ask');
  } else if (!config.gossip.enabled) refuse('gossip.enabled', 'must be true with discovery.method multicast');
}

export function hasPort(address: string): boolean {
  const port = Number(address.slice(address.lastIndexOf(':') + 1));
  return port >= 1 && port <= 65_535;
}
