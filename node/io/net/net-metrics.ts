import type { FrameErrorReason } from '../../core/tlv/frame.ts';
import type { MessageKind } from '../../core/tlv/messages.ts';
import type { Refusal } from './hello.ts';

/** Label `error_type` of `tcp_errors_total`. */
export type TcpErrorType =
  | FrameErrorReason
  | Refusal
  | 'accept_limit'
  | 'connect_failed'
  | 'connect_timeout'
  | 'hello_timeout'
  | 'held_limit'
  | 'idle_timeout'
  | 'protocol_error'
  | 'refused'
  | 'socket_error'
  | 'tls_failed'
  | 'unknown_message'
  | 'unread_limit';

/** Label `error_type` of `rpc_errors_total`. */
export type RpcErrorType =
  | 'frame_too_large'
  | 'malformed'
  | 'not_connected'
  | 'send_buffer_full'
  // Of calls: refused by the other end or for want of credit; no answer in time; given up; an answer after that.
  | 'refused'
  | 'queue_full'
  | 'deadline'
  | 'cancelled'
  | 'late'
  | 'connection_lost';

/** What the network driver reports; the metric each call belongs to is named with it. */
export interface NetMetrics {
  /** tcp_connections_total and tcp_connections_active, up. */
  connectionOpened(): void;
  /** tcp_connections_active, down. */
  connectionClosed(): void;
  /** tcp_bytes_sent_total */
  bytesSent(count: number): void;
  /** tcp_bytes_received_total */
  bytesReceived(count: number): void;
  /** tcp_errors_total{error_type} */
  tcpError(errorType: TcpErrorType): void;
  /** tcp_compression_saved_bytes_total: a payload went out packed, so many bytes smaller. */
  compressionSaved(byteCount: number): void;
  /** rpc_peer_rtt_seconds{peer} */
  roundTrip(nodeId: string, seconds: number): void;
  /** rpc_peer_rtt_seconds{peer}: that peer is gone. */
  roundTripForgotten(nodeId: string): void;
  /** rpc_calls_total{msg_type}: a message was handed to a socket. */
  rpcCall(messageKind: MessageKind): void;
  /** rpc_call_duration_seconds{msg_type}: from a call received to its answer handed to the socket. */
  rpcAnswered(messageKind: MessageKind, seconds: number): void;
  /** rpc_errors_total{msg_type,error_type} */
  rpcError(messageKind: MessageKind, errorType: RpcErrorType): void;
}

/** For programs that keep no metrics. */
export const NO_METRICS: NetMetrics = {
  connectionOpened: () => undefined,
  connectionClosed: () => undefined,
  bytesSent: () => undefined,
  bytesReceived: () => undefined,
  tcpError: () => undefined,
  compressionSaved: () => undefined,
  roundTrip: () => undefined,
  roundTripForgotten: () => undefined,
  rpcCall: () => undefined,
  rpcAnswered: () => undefined,
  rpcError: () => undefined,
};

/** Shape of pino's methods: fields first. */
export interface NetLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export const NO_LOG: NetLog = { debug: () => undefined, info: () => undefined, warn: () => undefined };
