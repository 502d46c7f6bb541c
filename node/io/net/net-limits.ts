import type { Lane } from '../../core/tlv/messages.ts';

export interface NetLimits {
  /** Per connection: what is queued here and not yet taken by the kernel. Over it frames are dropped and counted. */
  sendBufferBytesMax: number;
  /**
   * What one turn of the event loop gives to a connection, and takes from it: about so much, then others come first.
   * Queued frames are written at the end of the turn, or as soon as they are this many bytes.
   */
  turnBytes: number;
  /** What strangers and clients (`callersMax` of rpc-server.ts) can't take of it is there for nodes. */
  acceptedConnectionsMax: number;
  /** Accepted connections whose other end has not said HELLO and been let in; and those of one IPv4 address or IPv6 /64. */
  strangersMax: number;
  strangersPerAddressMax: number;
  /** Payload limit of a connection that has not said HELLO yet. */
  helloBytesMax: number;
  connectMsMax: number;
  /** From connected to HELLO received, and from there to both lanes being usable. */
  helloMsMax: number;
  /** A connection that sent nothing for so long sends a KEEPALIVE. */
  keepAliveMs: Record<Lane, number>;
  /** How often the round trip of a control lane is measured; one PING is under way at a time. */
  pingMs: number;
  /** A connection that received nothing for so long is half open: it is closed. Some times the keep-alive. */
  idleMsMax: Record<Lane, number>;
  /** First and longest delay before dialing again; it doubles in between, and each is cut by up to half at random. */
  redialMsMin: number;
  redialMsMax: number;
  /** A link that lived so long makes the next delay the first one again. */
  redialResetMs: number;
  /**
   * A link so old is renewed by the end that dialed it, up to a quarter sooner at random; an accepted link that was not
   * renewed in half as long again is closed. 0: links may grow as old as they get.
   */
  linkAgeMsMax: number;
  /** What a closing connection may take to hand over what it has queued. */
  drainMsMax: number;
  /** Resolution of all time-outs above but the redial delays. */
  sweepMs: number;
}

export const NET_LIMITS: NetLimits = {
  sendBufferBytesMax: 32 * 1024 * 1024,
  turnBytes: 256 * 1024,
  acceptedConnectionsMax: 16_384,
  strangersMax: 2_048,
  strangersPerAddressMax: 256,
  helloBytesMax: 16 * 1024,
  connectMsMax: 5_000,
  helloMsMax: 5_000,
  keepAliveMs: { control: 1_000, bulk: 5_000 },
  pingMs: 1_000,
  idleMsMax: { control: 6_000, bulk: 20_000 },
  redialMsMin: 100,
  redialMsMax: 5_000,
  redialResetMs: 5_000,
  linkAgeMsMax: 0,
  drainMsMax: 2_000,
  sweepMs: 250,
};
