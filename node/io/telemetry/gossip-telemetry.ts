import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { GossipCondition, GossipMetrics } from '../../metrics.ts';

const RTT_SECONDS = [0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];

type Over = 'datagram' | 'stream';

/** What gossip reports of itself, as `distric_gossip_*`. */
export class GossipTelemetry implements GossipMetrics {
  readonly #registry: Registry;
  readonly #sent: Counter<'msg_type' | 'over'>;
  readonly #received: Counter<'msg_type' | 'over'>;
  readonly #bytesSent: Counter;
  readonly #bytesReceived: Counter;
  readonly #events: Counter<'event'>;
  readonly #failures: Counter;
  readonly #accused: Counter;
  readonly #rtt: Histogram;
  readonly #still: Counter;

  constructor(registry: Registry) {
    const registers = [registry];
    const counter = (name: string, help: string): Counter =>
      new Counter({ name: `distric_gossip_${name}`, help, registers });
    this.#registry = registry;
    const labelNames = ['msg_type', 'over'] as const;
    this.#sent = new Counter({
      name: 'distric_gossip_messages_sent_total',
      help: 'Messages of gossip sent, as datagrams or over connections (stream).',
      labelNames,
      registers,
    });
    this.#received = new Counter({
      name: 'distric_gossip_messages_received_total',
      help: 'Messages of gossip received, as datagrams or over connections (stream).',
      labelNames,
      registers,
    });
    this.#bytesSent = counter('bytes_sent_total', 'Bytes of the frames of gossip sent in datagrams, before sealing.');
    this.#bytesReceived = counter('bytes_received_total', 'Bytes of the frames of gossip received in datagrams.');
    this.#events = new Counter({
      name: 'distric_gossip_member_events_total',
      help: 'Changes of members as this node saw them.',
      labelNames: ['event'],
      registers,
    });
    this.#failures = counter('failure_detections_total', 'Members that this node has found dead.');
    this.#accused = counter('refutations_total', 'Times that others suspected this node and it told them it is alive.');
    this.#rtt = new Histogram({
      name: 'distric_gossip_probe_rtt_seconds',
      help: 'From a probe sent as a datagram to its answer.',
      buckets: RTT_SECONDS,
      registers,
    });
    this.#still = counter('stood_still_seconds_total', 'Time for which this process stood still, as gossip noticed.');
  }

  gossipSent(kind: string, over: Over, byteCount: number): void {
    this.#sent.inc({ msg_type: kind, over });
    this.#bytesSent.inc(byteCount);
  }

  gossipReceived(kind: string, over: Over, byteCount: number): void {
    this.#received.inc({ msg_type: kind, over });
    this.#bytesReceived.inc(byteCount);
  }

  memberEvent(kind: 'join' | 'update' | 'suspect' | 'refute' | 'fail' | 'leave'): void {
    this.#events.inc({ event: kind });
    if (kind === 'fail') this.#failures.inc();
  }

  accused(): void {
    this.#accused.inc();
  }

  probed(seconds: number): void {
    this.#rtt.observe(seconds);
  }

  stoodStill(seconds: number): void {
    this.#still.inc(seconds);
  }

  observeGossip(condition: () => GossipCondition): void {
    const registers = [this.#registry];
    new Gauge({
      name: 'distric_gossip_members',
      help: 'Members by status, this node included.',
      labelNames: ['status'],
      registers,
      collect() {
        for (const [status, count] of Object.entries(condition().members)) this.set({ status }, count);
      },
    });
    new Gauge({
      name: 'distric_gossip_health_multiplier',
      help: '1 when this node is in good health; what it expects of others takes so many times as long.',
      registers,
      collect() {
        this.set(condition().healthFactor);
      },
    });
    new Gauge({
      name: 'distric_gossip_datagrams_blocked',
      help: '1 while members answer over connections only.',
      registers,
      collect() {
        this.set(condition().blocked ? 1 : 0);
      },
    });
  }
}
