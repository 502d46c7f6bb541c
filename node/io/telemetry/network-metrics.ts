import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

const DURATION_BUCKETS_S = [0.000_1, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];

/** The network driver's reports (`NetMetrics` of node/io/net) as `tcp_*` and `rpc_*`. */
export class NetworkMetrics {
  readonly #active: Gauge;
  readonly #connections: Counter;
  readonly #sent: Counter;
  readonly #received: Counter;
  readonly #errors: Counter<'error_type'>;
  readonly #calls: Counter<'msg_type'>;
  readonly #rpcErrors: Counter<'msg_type' | 'error_type'>;
  readonly #saved: Counter;
  readonly #roundTrips: Gauge<'peer'>;
  readonly #durations: Histogram<'msg_type'>;
  /** One child per message kind, of which there are a few dozen: looking a label up costs more than counting. */
  readonly #callsByKind = new Map<string, Counter.Internal>();
  readonly #durationsByKind = new Map<string, Histogram.Internal<'msg_type'>>();

  constructor(registry: Registry) {
    const registers = [registry];
    this.#active = new Gauge({
      name: 'tcp_connections_active',
      help: 'Open TCP connections between nodes.',
      registers,
    });
    this.#connections = new Counter({
      name: 'tcp_connections_total',
      help: 'TCP connections opened, both ways.',
      registers,
    });
    this.#sent = new Counter({ name: 'tcp_bytes_sent_total', help: 'Bytes sent to other nodes.', registers });
    this.#received = new Counter({
      name: 'tcp_bytes_received_total',
      help: 'Bytes received from other nodes.',
      registers,
    });
    this.#errors = new Counter({
      name: 'tcp_errors_total',
      help: 'Connections that failed or were closed for a reason.',
      labelNames: ['error_type'],
      registers,
    });
    this.#saved = new Counter({
      name: 'tcp_compression_saved_bytes_total',
      help: 'Bytes that payloads were smaller on the wire, by compression.',
      registers,
    });
    this.#roundTrips = new Gauge({
      name: 'rpc_peer_rtt_seconds',
      help: 'Smoothed round trip to each connected node.',
      labelNames: ['peer'],
      registers,
    });
    this.#calls = new Counter({
      name: 'rpc_calls_total',
      help: 'Messages handed to a connection.',
      labelNames: ['msg_type'],
      registers,
    });
    this.#durations = new Histogram({
      name: 'rpc_call_duration_seconds',
      help: 'From a call received to its answer handed to the connection.',
      labelNames: ['msg_type'],
      buckets: DURATION_BUCKETS_S,
      registers,
    });
    this.#rpcErrors = new Counter({
      name: 'rpc_errors_total',
      help: 'Messages that could not be sent or read.',
      labelNames: ['msg_type', 'error_type'],
      registers,
    });
  }

  connectionOpened(): void {
    this.#connections.inc();
    this.#active.inc();
  }

  connectionClosed(): void {
    this.#active.dec();
  }

  bytesSent(count: number): void {
    this.#sent.inc(count);
  }

  bytesReceived(count: number): void {
    this.#received.inc(count);
  }

  tcpError(errorType: string): void {
    this.#errors.inc({ error_type: errorType });
  }

  compressionSaved(byteCount: number): void {
    this.#saved.inc(byteCount);
  }

  roundTrip(nodeId: string, seconds: number): void {
    this.#roundTrips.set({ peer: nodeId }, seconds);
  }

  roundTripForgotten(nodeId: string): void {
    this.#roundTrips.remove({ peer: nodeId });
  }

  rpcCall(messageKind: string): void {
    let child = this.#callsByKind.get(messageKind);
    if (child === undefined) {
      child = this.#calls.labels(messageKind);
      this.#callsByKind.set(messageKind, child);
    }
    child.inc();
  }

  rpcAnswered(messageKind: string, seconds: number): void {
    let child = this.#durationsByKind.get(messageKind);
    if (child === undefined) {
      child = this.#durations.labels(messageKind);
      this.#durationsByKind.set(messageKind, child);
    }
    child.observe(seconds);
  }

  rpcError(messageKind: string, errorType: string): void {
    this.#rpcErrors.inc({ msg_type: messageKind, error_type: errorType });
  }
}
