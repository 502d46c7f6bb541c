import { KEPT_HEADER_BYTES_MAX, KEPT_HEADERS_MAX } from '../../../api/kept-headers.ts';
import { MESSAGE_ITEM_BYTES_MAX, MESSAGE_REQUEST_BYTES_MAX } from '../../../api/message.ts';

/** Every bound of the REST server in one place; the configuration may lower or raise the first three. */
export interface ApiLimits {
  /** One message, bytes of JSON text. */
  itemBytesMax: number;
  /** One request body, bytes. */
  requestBytesMax: number;
  /** Messages in one array or NDJSON body. */
  itemsMax: number;
  /** One rule or workflow document, bytes of YAML or JSON. */
  documentBytesMax: number;
  /** Bytes of all request bodies that are being received or answered. */
  heldBytesMax: number;
  /** Requests that are being received or answered; pipelining makes this more than connections. */
  heldRequestsMax: number;
  connectionsMax: number;
  /** What the receiver of a backup takes in `backupPaceMs`, or it is cut off: the copy of the state takes up room. */
  backupBytesMin: number;
  /** Who listens to events at once, and the bytes of them that one may leave unread. */
  eventListenersMax: number;
  eventBytesUnreadMax: number;
  /** Headers kept with a message. */
  keptHeadersMax: number;
  keptHeaderBytesMax: number;
}

export const API_LIMITS: ApiLimits = {
  itemBytesMax: MESSAGE_ITEM_BYTES_MAX,
  requestBytesMax: MESSAGE_REQUEST_BYTES_MAX,
  itemsMax: 20_000,
  documentBytesMax: 512 * 1024,
  heldBytesMax: 256 * 1024 * 1024,
  heldRequestsMax: 16_384,
  connectionsMax: 4_096,
  backupBytesMin: 4 * 1024 * 1024,
  eventListenersMax: 64,
  eventBytesUnreadMax: 1024 * 1024,
  keptHeadersMax: KEPT_HEADERS_MAX,
  keptHeaderBytesMax: KEPT_HEADER_BYTES_MAX,
};

export interface ApiTimeouts {
  /** From the first byte of a connection's next request to the end of its headers. */
  headersMs: number;
  /** From the first byte of a request to its last: a client that drips its body is cut off. */
  requestMs: number;
  /** Silence allowed between two requests of a connection. */
  keepAliveMs: number;
  /** How long the cluster may take to answer before the client is told that the outcome is unknown. */
  answerMs: number;
  /** A backup's receiver is cut off that takes less than `backupBytesMin` in so long. */
  backupPaceMs: number;
  /** A listener to events hears at least something so often, and has to come back after so long. */
  eventKeepAliveMs: number;
  eventStreamMs: number;
  /** How long close() waits for requests in flight before it cuts their connections. */
  drainMs: number;
}

export const API_TIMEOUTS: ApiTimeouts = {
  headersMs: 10_000,
  requestMs: 60_000,
  keepAliveMs: 72_000,
  answerMs: 30_000,
  backupPaceMs: 60_000,
  eventKeepAliveMs: 15_000,
  eventStreamMs: 15 * 60_000,
  drainMs: 20_000,
};

/** Longest path parameter, still percent-encoded. */
export const PARAM_CHARS_MAX = 256;
export const HEADER_BYTES_MAX = 16 * 1024;
/** Retry-After of retryable refusals, in seconds: an election takes about a second. */
export const RETRY_AFTER_S = 1;
