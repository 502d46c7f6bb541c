import { performance } from 'node:perf_hooks';
import { formatAddress, parseAddress } from '../../../base/address.ts';
import type { Host } from '../../../base/host.ts';
import { CALL_LIMITS, type CallLimits } from '../../core/rpc/call-table.ts';
import { Connection, type NetContext } from './connection.ts';
import { offeredFeatures, VERSIONS } from './features.ts';
import { FlushQueue } from './flush-queue.ts';
import { NET_LIMITS, type NetLimits } from './net-limits.ts';
import type { NetLog, NetMetrics } from './net-metrics.ts';
import { RoundTrips } from './round-trips.ts';
import { Sweeper } from './sweeper.ts';
import { RpcClient, type RpcClientHooks } from './rpc-client.ts';
import { tcpTransport, type Transport } from './transport.ts';

export interface CallerNetOptions {
  host: Host;
  /** How this caller is named in the logs of those it calls. */
  name: string;
  /** Empty: whatever cluster answers. */
  clusterName: string;
  authorization?: string | undefined;
  metrics: NetMetrics;
  log: NetLog;
  limits?: Partial<NetLimits>;
  callLimits?: Partial<CallLimits>;
  transport?: Transport;
}

/** Calls have deadlines to a resolution of this. */
const SWEEP_MS = 50;

/** Connections that ask, to any number of nodes. */
export class CallerNet {
  readonly #options: CallerNetOptions;
  readonly #context: NetContext;
  readonly #clients = new Set<RpcClient>();
  readonly #sweeper: Sweeper;

  constructor(options: CallerNetOptions) {
    this.#options = options;
    const { host, metrics, log } = options;
    this.#context = {
      host,
      transport: options.transport ?? tcpTransport,
      limits: { ...NET_LIMITS, sweepMs: SWEEP_MS, ...options.limits },
      metrics,
      log,
      features: offeredFeatures('off'),
      roundTrips: new RoundTrips(metrics),
      flushQueue: new FlushQueue(),
      connections: new Set(),
    };
    this.#sweeper = new Sweeper(this.#context.connections, this.#context.limits.sweepMs, () => {
      const nowMs = performance.now();
      for (const client of this.#clients) client.sweep(nowMs);
    });
  }

  /** Starts to connect to `host:port`; see `opened` of the result. Throws INVALID_REQUEST for what is no address. */
  dial(address: string, hooks: Partial<RpcClientHooks> = {}): RpcClient {
    const { transport } = this.#context;
    const { name, clusterName, authorization, callLimits } = this.#options;
    const parsed = parseAddress(address);
    const ours: RpcClientHooks = {
      closed: (client, reason) => {
        this.#clients.delete(client);
        hooks.closed?.(client, reason);
      },
      told: (client, message) => hooks.told?.(client, message),
    };
    const limits = { ...CALL_LIMITS, ...callLimits };
    const client = new RpcClient(
      this.#context,
      ours,
      (owner) => {
        const socket = transport.connect(parsed);
        return new Connection(this.#context, owner, socket, formatAddress(parsed.host, parsed.port), true);
      },
      limits,
    );
    this.#clients.add(client);
    client.connection.send({
      kind: 'HELLO',
      body: {
        nodeId: name,
        role: 'client',
        clusterName,
        lane: 'bulk',
        features: this.#context.features,
        versionMin: VERSIONS.min,
        versionMax: VERSIONS.max,
        ...(authorization === undefined ? {} : { authorization }),
      },
    });
    return client;
  }

  /** Ends all connections, whatever is under way on them, and resolves when they are closed. */
  async close(): Promise<void> {
    const connections = [...this.#context.connections];
    for (const connection of connections) connection.goAway('closed');
    await Promise.all(connections.map((connection) => connection.whenClosed()));
    this.#sweeper.stop();
  }
}
