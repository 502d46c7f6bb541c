/** What SWIM asks of its driver, and what it tells. */
import type { MemberDetails, Message } from '../tlv/messages.ts';

/** How a message goes or came: as a datagram to `host:port`, or over the connection that there is to a peer. */
export type Route = { over: 'datagram'; address: string } | { over: 'stream'; peer: string };

type GossipKind = 'PING' | 'ACK' | 'PING_REQ' | 'STATE' | 'NACK' | 'PUSH_PULL';
export type GossipMessage = Extract<Message, { kind: GossipKind }>;

const GOSSIP_KINDS: Readonly<Record<GossipKind, true>> = {
  PING: true,
  ACK: true,
  PING_REQ: true,
  STATE: true,
  NACK: true,
  PUSH_PULL: true,
};

/** What names its sender: PING and ACK without one only measure a round trip. */
export function isGossip(message: Message): message is GossipMessage {
  return Object.hasOwn(GOSSIP_KINDS, message.kind) && (message as GossipMessage).body.from !== undefined;
}

export interface MemberView {
  readonly id: string;
  readonly incarnation: number;
  readonly status: 'alive' | 'suspected' | 'failed' | 'left';
  readonly details: MemberDetails | undefined;
  /** So long the status is what it is. */
  readonly forMs: number;
}

export type SwimEvent =
  /** `fail` by a suspicion that ran out here; `refute`: a suspected member is alive. */
  | { kind: 'join' | 'update' | 'suspect' | 'refute' | 'fail' | 'leave'; member: MemberView }
  /** Members answer over connections only: datagrams do not come through. Nobody is accused for that. */
  | { kind: 'datagramsBlocked' | 'datagramsFlow' }
  /** This process stood still for so long. */
  | { kind: 'stoodStill'; ms: number }
  /** Others suspected this member, which has said that it is alive. */
  | { kind: 'accused'; incarnation: number }
  /** Another process goes by the id of this one, with datagrams at that address. */
  | { kind: 'idTaken'; address: string };

export interface SwimPorts {
  /** What gets lost is lost silently. */
  send(route: Route, message: GossipMessage): void;
  /** Keep the number durably, then call `persisted` with it. */
  persist(ceiling: number): void;
  event(event: SwimEvent): void;
}
