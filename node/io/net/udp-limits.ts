export interface UdpLimits {
  /** Datagrams handed to the system per second, and at once after a rest. */
  sendsPerSecond: number;
  sendBurst: number;
  /** What the system has not sent yet; over it datagrams are dropped. */
  sendQueueBytesMax: number;
  /** Datagrams taken from one address, and from all together: before anything is decrypted. */
  sourcePerSecond: number;
  sourceBurst: number;
  receivesPerSecond: number;
  receiveBurst: number;
  /** Addresses whose rate is kept. */
  sourcesMax: number;
}

/**
 * A member of a cluster of 1,000 sends and receives a few dozen datagrams a second. Opening one takes about 5 µs, so
 * that a flood costs a tenth of a second per second at most.
 */
export const UDP_LIMITS: UdpLimits = {
  sendsPerSecond: 5_000,
  sendBurst: 1_000,
  sendQueueBytesMax: 1024 * 1024,
  sourcePerSecond: 500,
  sourceBurst: 250,
  receivesPerSecond: 20_000,
  receiveBurst: 4_000,
  sourcesMax: 4_096,
};
