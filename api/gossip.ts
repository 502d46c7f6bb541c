/** Where a node receives datagrams, decided from its configuration. */
import { isLoopback, isMulticast, parseAddress, type Address } from '../base/address.ts';
import type { NodeConfig } from './config-schema.ts';

export type GossipListener =
  { on: true; address: Address; multicast?: Address; keyFile?: string } | { on: false; reason: string };

type ListenerConfig = Pick<NodeConfig, 'coordinators' | 'discovery' | 'gossip' | 'peer' | 'role'>;

function isElsewhere(address: string): boolean {
  return !isLoopback(address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, ''));
}

/**
 * Plain datagrams never leave the machine: beyond loopback a node without keys does not gossip, and says so, since a
 * forged datagram could claim anything of anybody.
 */
export function gossipListener(config: ListenerConfig): GossipListener {
  const { gossip, peer, role } = config;
  if (!gossip.enabled) return { on: false, reason: 'gossip.enabled is false' };
  const host = gossip.host ?? peer.host;
  const { keyFile, multicast } = gossip;
  if (keyFile === undefined && !isLoopback(host)) {
    return { on: false, reason: `gossip on ${host} needs gossip.keyFile: outside loopback datagrams are encrypted` };
  }
  const outside = [...config.coordinators.map(({ address }) => address), ...config.discovery.seeds].find(isElsewhere);
  if (isLoopback(host) && outside !== undefined) {
    const reason = `gossip on ${host} reaches no ${outside}: set gossip.host, and gossip.keyFile`;
    return { on: false, reason };
  }
  // A worker does not listen on its peer port, so several on one machine may well have the same.
  const port = gossip.port ?? (role === 'coordinator' ? peer.port : 0);
  return {
    on: true,
    address: { host, port },
    ...(multicast === undefined ? {} : { multicast: parseAddress(multicast) }),
    ...(keyFile === undefined ? {} : { keyFile }),
  };
}

/** What is wrong with the gossip settings as written; what is only left out is not. */
export function checkGossip({ gossip }: NodeConfig, refuse: (field: string, reason: string) => void): void {
  const { host, keyFile, multicast } = gossip;
  if (keyFile === undefined && host !== undefined && !isLoopback(host)) {
    refuse('gossip.keyFile', `is required with gossip.host ${host}: outside loopback datagrams are encrypted`);
  }
  if (multicast === undefined) return;
  if (keyFile === undefined) refuse('gossip.keyFile', 'is required with gossip.multicast: others can send to a group');
  let group = '';
  try {
    group = parseAddress(multicast).host;
  } catch {
    // Refused below, in the words of the setting.
  }
  if (!isMulticast(group)) refuse('gossip.multicast', `must be a multicast group and a port, not "${multicast}"`);
}
