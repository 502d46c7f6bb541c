import { Counter, type Registry } from 'prom-client';

/** The datagram driver's reports (`UdpMetrics` of node/io/net) as `udp_*`. */
export class DatagramMetrics {
  readonly #sent: Counter;
  readonly #received: Counter;
  readonly #bytesSent: Counter;
  readonly #bytesReceived: Counter;
  readonly #sendErrors: Counter;
  readonly #dropped: Counter<'reason'>;

  constructor(registry: Registry) {
    const registers = [registry];
    const counter = (name: string, help: string): Counter => new Counter({ name, help, registers });
    this.#sent = counter('udp_packets_sent_total', 'Datagrams handed to the system.');
    this.#received = counter('udp_packets_received_total', 'Datagrams received, whatever became of them.');
    this.#bytesSent = counter('udp_bytes_sent_total', 'Bytes of the datagrams sent.');
    this.#bytesReceived = counter('udp_bytes_received_total', 'Bytes of the datagrams received.');
    this.#sendErrors = counter('udp_send_errors_total', 'Datagrams that the system refused to send.');
    this.#dropped = new Counter({
      name: 'udp_packets_dropped_total',
      help: 'Datagrams dropped by this node, on their way out or in.',
      labelNames: ['reason'],
      registers,
    });
  }

  packetSent(byteCount: number): void {
    this.#sent.inc();
    this.#bytesSent.inc(byteCount);
  }

  packetReceived(byteCount: number): void {
    this.#received.inc();
    this.#bytesReceived.inc(byteCount);
  }

  sendFailed(): void {
    this.#sendErrors.inc();
  }

  packetDropped(reason: string): void {
    this.#dropped.inc({ reason });
  }
}
