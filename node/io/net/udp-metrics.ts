/** Label `reason` of `udp_packets_dropped_total`. */
export type UdpDropReason =
  | 'forged'
  | 'malformed'
  | 'no_port'
  | 'not_loopback'
  | 'not_sealed'
  | 'receive_rate'
  | 'replayed'
  | 'send_queue_full'
  | 'send_rate'
  | 'source_rate'
  | 'too_large'
  | 'unexpected'
  | 'unknown_key';

/** What the datagram driver reports; the metric each call belongs to is named with it. */
export interface UdpMetrics {
  /** udp_packets_sent_total and udp_bytes_sent_total */
  packetSent(byteCount: number): void;
  /** udp_packets_received_total and udp_bytes_received_total, whatever becomes of the packet */
  packetReceived(byteCount: number): void;
  /** udp_send_errors_total: the system refused it. */
  sendFailed(): void;
  /** udp_packets_dropped_total{reason}: here, on its way out or in. */
  packetDropped(reason: UdpDropReason): void;
}
