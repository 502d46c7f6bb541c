import { formatAddress } from '../../../base/address.ts';
import type { Message } from '../../core/tlv/messages.ts';
import { nodeHost } from '../host.ts';
import type { Peer } from './link.ts';
import type { NetLimits } from './net-limits.ts';
import type { NetMetrics } from './net-metrics.ts';
import { PeerNet, type PeerNetOptions } from './peer-net.ts';

/** A PeerNet on loopback for tests, that writes down all it reports and lets a test wait for it. */
export class TestNode {
  readonly net: PeerNet;
  readonly nodeId: string;
  readonly received: { from: string; message: Message }[] = [];
  /** `up n2`, `down n2: reason` in order. */
  readonly events: string[] = [];
  /** Per peer: as last reported up. */
  readonly peers = new Map<string, Peer>();
  readonly counts = new Map<string, number>();
  readonly warnings: string[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(nodeId: string, options: Partial<PeerNetOptions> & { limits?: Partial<NetLimits> } = {}) {
    this.nodeId = nodeId;
    const count = (name: string, by?: number): void => {
      this.note(name, by);
    };
    this.net = new PeerNet({
      self: { nodeId, role: 'coordinator', clusterName: 'test' },
      host: nodeHost,
      listen: { host: '127.0.0.1', port: 0 },
      onMessage: (peer, message) => {
        this.received.push({ from: peer.nodeId, message });
        this.#changed();
      },
      onPeerUp: (peer) => {
        this.peers.set(peer.nodeId, peer);
        this.events.push(`up ${peer.nodeId}`);
        this.#changed();
      },
      onPeerDown: (peer, reason) => {
        this.peers.delete(peer.nodeId);
        this.events.push(`down ${peer.nodeId}: ${reason}`);
        this.#changed();
      },
      metrics: countingMetrics(count, (name) => this.counts.delete(name)),
      log: {
        debug: () => undefined,
        info: () => undefined,
        warn: (fields, message) => {
          this.warnings.push(`${message} ${JSON.stringify(fields)}`);
          this.#changed();
        },
      },
      ...options,
      limits: { redialMsMin: 5, redialMsMax: 20, sweepMs: 10, ...options.limits },
    });
  }

  note(name: string, by = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + by);
    this.#changed();
  }

  count(name: string): number {
    return this.counts.get(name) ?? 0;
  }

  async listen(): Promise<string> {
    const { host, port } = await this.net.listen();
    return formatAddress(host, port);
  }

  isUp(other: TestNode): boolean {
    return this.peers.has(other.nodeId);
  }

  /** Resolves once `condition` holds; it is looked at after each report of this node. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!condition()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  #changed(): void {
    for (const look of [...this.#waiting]) look();
  }
}

/** Every report as a named count. */
export function countingMetrics(
  count: (name: string, by?: number) => void,
  forget: (name: string) => void = () => undefined,
): NetMetrics {
  return {
    connectionOpened: () => {
      count('opened');
      count('active');
    },
    connectionClosed: () => {
      count('active', -1);
    },
    bytesSent: (bytes) => {
      count('sent', bytes);
    },
    bytesReceived: (bytes) => {
      count('received', bytes);
    },
    compressionSaved: (bytes) => {
      count('saved', bytes);
    },
    roundTrip: (nodeId) => {
      count(`rtt ${nodeId}`);
    },
    roundTripForgotten: (nodeId) => {
      forget(`rtt ${nodeId}`);
    },
    tcpError: (errorType) => {
      count(`tcp ${errorType}`);
    },
    rpcCall: (kind) => {
      count(`rpc ${kind}`);
    },
    rpcAnswered: (kind) => {
      count(`answered ${kind}`);
    },
    rpcError: (kind, errorType) => {
      count(`rpc ${kind} ${errorType}`);
    },
  };
}
