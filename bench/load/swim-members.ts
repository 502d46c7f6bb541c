/**
 * Members of our SWIM in one process, each with its own UDP socket, and three of them with TCP connections to all others
 * as coordinators have them. Some are killed, without a word; tells for each how long it took until all others knew.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { formatAddress } from '../../base/address.ts';
import { Random } from '../../base/random.ts';
import { isGossip } from '../../node/core/swim/swim-ports.ts';
import { nodeHost } from '../../node/io/host.ts';
import { GossipDriver } from '../../node/io/net/gossip-driver.ts';
import { NO_LOG, NO_METRICS } from '../../node/io/net/net-metrics.ts';
import { PeerNet } from '../../node/io/net/peer-net.ts';
import type { GossipMetrics } from '../../node/metrics.ts';
import type { SwimPlan, SwimResult } from '../swim-plan.ts';

const HUBS = 3;
const LOOPBACK = { host: '127.0.0.1', port: 0 };
const LIMIT_MS = 120_000;
const POLL_MS = 10;

const NO_UDP_METRICS = {
  packetSent: () => undefined,
  packetReceived: () => undefined,
  sendFailed: () => undefined,
  packetDropped: () => undefined,
};
const NO_GOSSIP_METRICS: GossipMetrics = {
  gossipSent: () => undefined,
  gossipReceived: () => undefined,
  memberEvent: () => undefined,
  accused: () => undefined,
  probed: () => undefined,
  stoodStill: () => undefined,
  observeGossip: () => undefined,
};

interface Member {
  id: string;
  driver: GossipDriver;
  net: PeerNet;
  /** When it heard of whose death. */
  heard: Map<string, number>;
}

async function startMember(number: number, hubs: readonly string[]): Promise<Member & { address: string | undefined }> {
  const id = `m${String(number)}`;
  const isHub = number < HUBS;
  const role = isHub ? 'coordinator' : 'worker';
  const driver = await GossipDriver.open({
    host: nodeHost,
    nodeId: id,
    clusterName: 'bench',
    listener: { on: true, address: LOOPBACK },
    details: { role, softwareVersion: '1', labels: [] },
    ceiling: 0,
    keep: () => Promise.resolve(),
    random: new Random(number + 1),
    metrics: NO_GOSSIP_METRICS,
    udpMetrics: NO_UDP_METRICS,
    log: NO_LOG,
  });
  const net = new PeerNet({
    self: { nodeId: id, role, clusterName: 'bench' },
    host: nodeHost,
    ...(isHub ? { listen: LOOPBACK } : {}),
    onMessage: (peer, message) => {
      if (isGossip(message)) driver.streamed(peer.nodeId, message);
    },
    onPeerUp: (peer) => driver.linkUp(peer.nodeId, peer.role === 'coordinator'),
    onPeerDown: (peer) => driver.linkDown(peer.nodeId),
    strangers: true,
    metrics: NO_METRICS,
    log: NO_LOG,
  });
  driver.useStreams((to, message) => net.send(to, message));
  const heard = new Map<string, number>();
  driver.listen({
    event: ({ kind, member }) => {
      if (kind === 'fail') heard.set(member.id, performance.now());
    },
  });
  const bound = isHub ? await net.listen() : undefined;
  for (const address of hubs) net.dial(address);
  return { id, driver, net, heard, address: bound === undefined ? undefined : formatAddress(bound.host, bound.port) };
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${String(LIMIT_MS)} ms: ${what}`);
    await delay(POLL_MS);
  }
}

async function measure({ members: count, kills, everyMs, seed }: SwimPlan): Promise<SwimResult> {
  const members: Member[] = [];
  const hubs: string[] = [];
  for (let number = 0; number < count; number++) {
    const { address, ...member } = await startMember(number, hubs);
    members.push(member);
    if (address !== undefined) hubs.push(address);
  }
  const isWhole = ({ driver }: Member): boolean => driver.condition().members.alive === count;
  await until('all know all', () => members.every(isWhole));
  // Whoever joined last still has much to tell.
  await delay(5_000);
  const random = new Random(seed);
  const others = members.slice(HUBS);
  const killed = new Map<string, number>();
  while (killed.size < kills) {
    const [victim] = others.splice(random.integer(0, others.length - 1), 1);
    if (victim === undefined) break;
    killed.set(victim.id, performance.now());
    await Promise.all([victim.driver.close(), victim.net.close()]);
    await delay(everyMs);
  }
  const survivors = [...members.slice(0, HUBS), ...others];
  await until('all know of all deaths', () =>
    survivors.every(({ heard }) => [...killed.keys()].every((id) => heard.has(id))),
  );
  const falseDeaths = survivors.reduce((sum, { heard }) => sum + heard.size - killed.size, 0);
  const knownToAllMs = Array.from(
    killed,
    ([id, atMs]) => Math.max(...survivors.map(({ heard }) => heard.get(id) ?? Infinity)) - atMs,
  );
  return { knownToAllMs, falseDeaths };
}

const plan = JSON.parse(process.argv[2] ?? '') as SwimPlan;
console.log(JSON.stringify(await measure(plan)));
process.exit(0);
