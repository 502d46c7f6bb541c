/** One node: its telemetry, its role, and its end. */
import { createRequire } from 'node:module';
import type { NodeConfig } from '../../api/config.ts';
import { formatAddress } from '../../base/address.ts';
import { AccessTelemetry } from '../io/telemetry/access-telemetry.ts';
import { CoordinatorTelemetry } from '../io/telemetry/coordinator-telemetry.ts';
import { DatagramMetrics } from '../io/telemetry/datagram-metrics.ts';
import { HealthRegistry } from '../io/telemetry/health.ts';
import { Logging } from '../io/telemetry/logging.ts';
import { NetworkMetrics } from '../io/telemetry/network-metrics.ts';
import { NodeMetrics } from '../io/telemetry/node-metrics.ts';
import { ObservabilityServer } from '../io/telemetry/observability-server.ts';
import { WorkerTelemetry } from '../io/telemetry/worker-telemetry.ts';
import { CoordinatorProcess } from './coordinator.ts';
import { openGossip } from './gossip.ts';
import { NodeTls } from './node-tls.ts';
import { WorkerProcess } from './worker.ts';

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

export interface RunningNode {
  /** Drains and leaves; resolves with the exit code. */
  stop(reason: string): Promise<number>;
  /** Looks for new certificates now. */
  reload(): void;
  /** Addresses as bound, by purpose. */
  addresses: Record<string, string>;
}

/**
 * Starts the role of `config`. `workerAddress` is what a worker tells of itself in the cluster status.
 * `onFatal` is called when the node must not go on; by default the process ends with code 1.
 */
export async function startNode(
  config: NodeConfig,
  workerAddress: string,
  onFatal?: (error: unknown) => void,
): Promise<RunningNode> {
  const { nodeId, role } = config;
  const logging = new Logging({ ...config.log, nodeId });
  const log = logging.component('node');
  const nodeMetrics = new NodeMetrics({ nodeId, role, version });
  const netMetrics = new NetworkMetrics(nodeMetrics.registry);
  const health = new HealthRegistry();
  const fatal = (error: unknown): void => {
    const details = error instanceof Error ? { reason: error.message, stack: error.stack } : { reason: String(error) };
    log.fatal(details, 'this node cannot go on');
    logging.flush();
    if (onFatal === undefined) process.exit(1);
    else onFatal(error);
  };
  health.register(role);
  const observability = new ObservabilityServer({ ...config.metrics, registry: nodeMetrics.registry, health });
  const bound = await observability.listen();
  const addresses: Record<string, string> = { metrics: `${bound.host}:${String(bound.port)}` };
  const { registry } = nodeMetrics;
  const udpMetrics = new DatagramMetrics(registry);
  const gossip = await openGossip(config, { logging, udpMetrics, registry, health, version });
  if (gossip !== undefined) addresses['gossip'] = formatAddress(gossip.address.host, gossip.address.port);
  const tls = await NodeTls.open(config, { logging, nodeMetrics, health });
  const parts = { logging, netMetrics, nodeMetrics, health, tls, gossip, onFatal: fatal };
  const closeShared = async (): Promise<void> => {
    await gossip?.close();
    tls?.close();
    await observability.close();
    nodeMetrics.close();
  };
  let stopRole: () => Promise<void>;
  try {
    if (role === 'coordinator') {
      const metrics = new CoordinatorTelemetry(registry, nodeId);
      const accessMetrics = new AccessTelemetry(registry);
      const started = await CoordinatorProcess.start(config, { ...parts, metrics, accessMetrics });
      Object.assign(addresses, started.addresses);
      stopRole = () => started.process.stop();
    } else {
      const metrics = new WorkerTelemetry(registry);
      const started = await WorkerProcess.start(config, { ...parts, version, metrics, address: workerAddress });
      stopRole = () => started.stop();
    }
  } catch (error) {
    await closeShared();
    throw error;
  }
  health.set(role, 'UP');
  log.info({ role, version, ...addresses }, 'ready');
  const stop = async (reason: string): Promise<number> => {
    log.info({ reason }, 'stopping');
    health.set(role, 'DOWN', 'stopping');
    let code = 0;
    try {
      await stopRole();
    } catch (error) {
      log.error({ reason: error instanceof Error ? error.message : String(error) }, 'the shutdown was not clean');
      code = 1;
    }
    await closeShared();
    log.info({}, 'stopped');
    logging.flush();
    return code;
  };
  return { stop, addresses, reload: () => tls?.look() };
}
