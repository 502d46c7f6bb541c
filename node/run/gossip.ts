/** The gossip port of a node, of either role. */
import type { NodeConfig } from '../../api/config.ts';
import { gossipListener } from '../../api/gossip.ts';
import { nodeHost } from '../io/host.ts';
import { GossipPort } from '../io/net/gossip-port.ts';
import type { UdpMetrics } from '../io/net/udp-metrics.ts';
import type { Logging } from '../io/telemetry/logging.ts';

/** Undefined when it stays off, which is logged with the reason. */
export async function openGossip(
  config: NodeConfig,
  logging: Logging,
  metrics: UdpMetrics,
): Promise<GossipPort | undefined> {
  const log = logging.component('gossip');
  const listener = gossipListener(config);
  if (listener.on) return GossipPort.open({ host: nodeHost, listener, metrics, log });
  log.info({ reason: listener.reason }, 'gossip is off');
  return undefined;
}
