/** Gossip of a node, of either role: what it needs of configuration, disk and telemetry. */
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { lookup } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import type { Registry } from 'prom-client';
import type { NodeConfig } from '../../api/config.ts';
import { gossipListener } from '../../api/gossip.ts';
import { isAnyAddress } from '../../base/address.ts';
import { Random } from '../../base/random.ts';
import { nodeHost } from '../io/host.ts';
import { GossipDriver } from '../io/net/gossip-driver.ts';
import { incarnationFile, incarnationsByClock, type Incarnations } from '../io/net/incarnation-file.ts';
import type { UdpMetrics } from '../io/net/udp-metrics.ts';
import { GossipTelemetry } from '../io/telemetry/gossip-telemetry.ts';
import type { HealthCheck, HealthRegistry } from '../io/telemetry/health.ts';
import type { Logging } from '../io/telemetry/logging.ts';

interface GossipParts {
  logging: Logging;
  udpMetrics: UdpMetrics;
  registry: Registry;
  health: HealthRegistry;
  version: string;
}

/** Undefined when it stays off, which is logged with the reason. */
export async function openGossip(config: NodeConfig, parts: GossipParts): Promise<GossipDriver | undefined> {
  const log = parts.logging.component('gossip');
  const listener = gossipListener(config);
  if (!listener.on) {
    log.info({ reason: listener.reason }, 'gossip is off');
    return undefined;
  }
  const { nodeId, clusterName, role, labels, zone, gossip, worker } = config;
  const { ceiling, keep } = incarnationsOf(config);
  const advertise = await advertisedHost(gossip.advertise, listener.address.host);
  const driver = await GossipDriver.open({
    host: nodeHost,
    nodeId,
    clusterName,
    listener,
    ...(advertise === undefined ? {} : { advertise }),
    details: {
      role,
      softwareVersion: parts.version,
      labels: [...labels],
      ...(zone === undefined ? {} : { zone }),
      ...(role === 'worker' ? { capacity: worker.concurrency, load: 0 } : {}),
    },
    ceiling,
    keep,
    random: new Random(randomInt(2 ** 47)),
    metrics: new GossipTelemetry(parts.registry),
    udpMetrics: parts.udpMetrics,
    log,
  });
  parts.health.probe('gossip', () => healthOf(driver));
  return driver;
}

/** A worker that has no directory needs none for this. */
function incarnationsOf({ nodeId, role, dataDir }: NodeConfig): Incarnations {
  const wallMs = Date.now();
  return role === 'coordinator' || existsSync(dataDir)
    ? incarnationFile(dataDir, nodeId, wallMs)
    : incarnationsByClock(wallMs);
}

/** Undefined: the address that it listens on. */
async function advertisedHost(advertise: string | undefined, listening: string): Promise<string | undefined> {
  if (advertise !== undefined) return (await lookup(advertise)).address;
  if (!isAnyAddress(listening)) return undefined;
  const addresses = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
  const outside = addresses.filter(({ internal, address }) => !internal && !/^fe80:/i.test(address));
  return (outside.find(({ family }) => family === 'IPv4') ?? outside[0])?.address;
}

function healthOf(driver: GossipDriver): HealthCheck {
  const { members, blocked } = driver.condition();
  const { alive, suspected } = members;
  const message = `${String(alive)} alive, ${String(suspected)} suspected`;
  if (!blocked) return { status: 'UP', message };
  return { status: 'DEGRADED', message: `datagrams do not come through; ${message}` };
}
