import { performance } from 'node:perf_hooks';
import type { Lane, Message } from '../../core/tlv/messages.ts';
import { laneOf } from '../../core/tlv/messages.ts';
import { CLOSED_BY_PEER, type Connection, type ConnectionOwner } from './connection.ts';
import { isLane, isRole, type HelloBody, type Role } from './hello.ts';

/** A node as reached over one link. */
export interface Peer {
  readonly nodeId: string;
  readonly role: Role;
  /** Of a coordinator: which disk it has. */
  readonly dataUuid?: string | undefined;
  /** Of a worker: its process. */
  readonly session?: string | undefined;
  /** As dialed, or where the control lane was accepted from. */
  readonly address: string;
  /** New for each link, so a message of an earlier link can be told apart; a renewed link goes on under the same. */
  readonly connectionId: number;
}

export interface LinkOwner {
  /** HELLO on a lane this side dialed; it answers by `admit` or `fail`. */
  hello(link: Link, connection: Connection, hello: HelloBody): void;
  up(link: Link): void;
  message(link: Link, message: Message): void;
  /** Exactly once. `wasUp` tells whether `up` came before. */
  down(link: Link, reason: string, wasUp: boolean): void;
}

/** Of the time that a leaving link has for what is on its way. */
const DRAIN_STEPS = 8;

let lastLinkId = 0;

/** Both lanes are to reach one process. */
function isSame(peer: Peer, { nodeId, dataUuid, session }: HelloBody): boolean {
  return peer.nodeId === nodeId && peer.dataUuid === dataUuid && peer.session === session;
}

/**
 * Two connections to one node, made by one side, that live and die together: losing one lane loses the link.
 * forming -> up -> (leaving: one side said GOAWAY, what the other sent before is still taken) -> down.
 *
 * A link that renews another keeps the order of messages: nothing of it is delivered before its predecessor is down.
 */
export class Link implements ConnectionOwner {
  readonly id = ++lastLinkId;
  readonly dialed: boolean;
  readonly #owner: LinkOwner;
  readonly #drainMsMax: number;
  #predecessor: Link | undefined;
  readonly #lanes = new Map<Lane, Connection>();
  readonly #admitted = new Set<Connection>();
  readonly #ended = new Set<Connection>();
  /** Lanes on which everything the peer sent has come. */
  readonly #emptied = new Set<Connection>();
  #state: 'forming' | 'up' | 'leaving' | 'down' = 'forming';
  #reason = '';
  #peer: Peer | undefined;
  #leaveTimer: NodeJS.Timeout | undefined;
  #upSinceMs = 0;

  constructor(owner: LinkOwner, dialed: boolean, drainMsMax: number, predecessor?: Link) {
    this.#owner = owner;
    this.dialed = dialed;
    this.#drainMsMax = drainMsMax;
    this.#predecessor = predecessor;
  }

  /** The link that this one renews, as long as it has to wait for it. */
  get predecessor(): Link | undefined {
    return this.#predecessor;
  }

  /** Whether nothing was lost on it: both ends said that they send no more, and all that was sent has come. */
  get handedOver(): boolean {
    return this.#emptied.size === 2;
  }

  /** Since it is up. */
  ageMs(nowMs: number): number {
    return this.#state === 'up' ? nowMs - this.#upSinceMs : 0;
  }

  get peer(): Peer | undefined {
    return this.#peer;
  }

  /** Up, and the peer still listens. */
  get usable(): boolean {
    return this.#state === 'up';
  }

  /** Something has come on the control lane within that time. */
  heardWithin(ms: number): boolean {
    return (this.#lanes.get('control')?.silentMs ?? Infinity) < ms;
  }

  get isDown(): boolean {
    return this.#state === 'down';
  }

  has(lane: Lane): boolean {
    return this.#lanes.has(lane);
  }

  isLane(lane: Lane, connection: Connection): boolean {
    return this.#lanes.get(lane) === connection;
  }

  add(lane: Lane, connection: Connection): void {
    this.#lanes.set(lane, connection);
    connection.owner = this;
  }

  /** The HELLO of a lane is good; with both lanes' the link is up. */
  admit(connection: Connection, hello: HelloBody, address: string): void {
    if (this.#state !== 'forming' || !isLane(hello.lane) || !isRole(hello.role)) return;
    if (this.#peer !== undefined && !isSame(this.#peer, hello)) {
      this.fail('lanes_reach_different_nodes');
      return;
    }
    const before = this.#predecessor?.peer;
    if (before?.nodeId !== hello.nodeId || this.#predecessor?.isDown === true) this.#predecessor = undefined;
    const connectionId = this.#predecessor === undefined ? this.id : (before?.connectionId ?? this.id);
    const { nodeId, role, dataUuid, session } = hello;
    const process = { ...(dataUuid === undefined ? {} : { dataUuid }), ...(session === undefined ? {} : { session }) };
    this.#peer ??= { nodeId, role, address, connectionId, ...process };
    connection.hold(hello.lane);
    this.#admitted.add(connection);
    if (this.#admitted.size < 2) return;
    this.#state = 'up';
    this.#upSinceMs = performance.now();
    this.#owner.up(this);
    if (this.#predecessor === undefined) this.proceed();
    else for (const lane of this.#lanes.values()) lane.holdToEnd();
  }

  /** Its predecessor is down: delivers what has come meanwhile. */
  proceed(): void {
    this.#predecessor = undefined;
    if (this.#state !== 'up' && this.#state !== 'leaving') return;
    for (const lane of this.#lanes.values()) if (!this.#ended.has(lane)) lane.release();
  }

  send(message: Message): boolean {
    const connection = this.#state === 'up' ? this.#lanes.get(laneOf(message)) : undefined;
    return connection?.send(message) ?? false;
  }

  /** Sends no more, and takes what the peer sends until it has heard that. */
  retire(reason: string): void {
    if (this.#state !== 'up') return;
    this.#leave(reason);
    for (const connection of this.#lanes.values()) connection.sayGoAway(reason);
  }

  /** Ends it from this side: what is queued is handed over. */
  leave(reason: string): void {
    this.#end(reason, (connection) => {
      connection.goAway(reason);
    });
  }

  /** Ends it at once. */
  fail(reason: string): void {
    this.#end(reason, (connection) => {
      connection.destroy(reason);
    });
  }

  hello(connection: Connection, hello: HelloBody): void {
    this.#owner.hello(this, connection, hello);
  }

  message(_connection: Connection, message: Message): void {
    this.#owner.message(this, message);
  }

  goAway(connection: Connection, reason: string): void {
    if (this.#state === 'up') this.#leave(reason);
    if (this.#state !== 'leaving') {
      this.fail(reason);
      return;
    }
    this.#emptied.add(connection);
    connection.end(reason);
  }

  closed(connection: Connection, reason: string): void {
    if (this.#state !== 'leaving') {
      this.fail(reason);
      return;
    }
    if (reason === CLOSED_BY_PEER) this.#emptied.add(connection);
    this.#ended.add(connection);
    if (this.#ended.size === this.#lanes.size) this.fail(this.#reason);
  }

  #leave(reason: string): void {
    this.#state = 'leaving';
    this.#reason = reason;
    this.#waitToDrain(DRAIN_STEPS);
  }

  /** In steps, so that a process that was paused still takes what came meanwhile before it gives up. */
  #waitToDrain(steps: number): void {
    this.#leaveTimer = setTimeout(() => {
      if (steps === 1) this.fail(this.#reason);
      else this.#waitToDrain(steps - 1);
    }, this.#drainMsMax / DRAIN_STEPS);
  }

  #end(reason: string, endConnection: (connection: Connection) => void): void {
    if (this.#state === 'down') return;
    const wasUp = this.#state !== 'forming';
    this.#state = 'down';
    clearTimeout(this.#leaveTimer);
    for (const connection of this.#lanes.values()) if (!this.#ended.has(connection)) endConnection(connection);
    this.#owner.down(this, reason, wasUp);
  }
}
