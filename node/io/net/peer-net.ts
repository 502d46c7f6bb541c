import type { AddressInfo, Server, Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { type Address } from '../../../base/address.ts';
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import type { Lane, Message } from '../../core/tlv/messages.ts';
import { Connection, type ConnectionOwner, type NetContext } from './connection.ts';
import { Dialer } from './dialer.ts';
import { FEATURES, offeredFeatures, type CompressionMode } from './features.ts';
import { FlushQueue } from './flush-queue.ts';
import {
  certified,
  clientRefusal,
  helloOf,
  helloRefusal,
  isLane,
  type HelloBody,
  type Refusal,
  type Self,
} from './hello.ts';
import { LimitedLog } from './limited-log.ts';
import { Link, type LinkOwner, type Peer } from './link.ts';
import { NET_LIMITS, type NetLimits } from './net-limits.ts';
import type { NetLog, NetMetrics } from './net-metrics.ts';
import { RoundTrips } from './round-trips.ts';
import { Strangers } from './strangers.ts';
import { Sweeper } from './sweeper.ts';
import { addressOf, tcpTransport, type Transport } from './transport.ts';

/** Keep-alives that a process may miss before another one may have its id. */
const RIVAL_KEEP_ALIVES = 3;

export interface PeerNetOptions {
  self: Self;
  host: Host;
  listen?: Address;
  /** Never before `onPeerUp` of that node, never after its `onPeerDown`. */
  onMessage(peer: Peer, message: Message): void;
  /** Both lanes to that node are usable. */
  onPeerUp(peer: Peer): void;
  /** The link that was in use is lost, and messages on it may be; `onPeerUp` follows at once if there is another. */
  onPeerDown(peer: Peer, reason: string): void;
  metrics: NetMetrics;
  log: NetLog;
  limits?: Partial<NetLimits>;
  /** Whether payloads on the bulk lane are packed, where the other end agrees; default off. */
  compression?: CompressionMode;
  transport?: Transport;
  /** The coordinators of the cluster, if they are known: no other node is taken for one. */
  coordinatorIds?: ReadonlySet<string>;
  /** That list may be behind the cluster's: coordinators that are not in it are let in. Default false. */
  strangers?: boolean;
  /** Gets each accepted connection of a client, its HELLO answered; without it clients are refused. */
  clients?: ClientDoor;
}

export interface ClientDoor {
  /** False when it was refused. */
  accept(connection: Connection, hello: HelloBody): boolean;
  /** Ends what was accepted longer ago than that. */
  endOlderThan(ageMsMax: number): void;
}

/**
 * Messages between nodes: two TCP connections per pair and direction of dialing, so that a large entry on the bulk lane
 * never delays a heartbeat on the control lane. Delivery is at most once and in order per lane.
 */
export class PeerNet {
  readonly #options: PeerNetOptions;
  readonly #context: NetContext;
  readonly #dialers = new Map<string, Dialer>();
  /** The newest accepted link per node, forming or up. */
  readonly #accepted = new Map<string, Link>();
  /** Links that are up, per node; the first is the one in use: dialed ones come before accepted ones. */
  readonly #links = new Map<string, Link[]>();
  readonly #linkOwner: LinkOwner;
  readonly #greeter: ConnectionOwner;
  readonly #sweeper: Sweeper;
  readonly #strangers: Strangers;
  #server: Server | undefined;
  #closing = false;

  constructor(options: PeerNetOptions) {
    this.#options = options;
    const limits = { ...NET_LIMITS, ...options.limits };
    const { host, metrics } = options;
    const log = new LimitedLog(options.log);
    this.#strangers = new Strangers(limits);
    this.#context = {
      host,
      transport: options.transport ?? tcpTransport,
      limits,
      metrics,
      log,
      features: offeredFeatures(options.compression ?? 'off'),
      roundTrips: new RoundTrips(metrics),
      flushQueue: new FlushQueue(),
      connections: new Set(),
    };
    this.#linkOwner = {
      hello: () => undefined,
      up: (link) => {
        this.#linkUp(link);
      },
      message: (link, message) => {
        if (link.peer !== undefined) this.#options.onMessage(link.peer, message);
      },
      down: (link, reason, wasUp) => {
        this.#linkDown(link, reason, wasUp);
      },
    };
    this.#greeter = {
      hello: (connection, hello) => {
        this.#greet(connection, hello);
      },
      message: () => undefined,
      goAway: (connection, reason) => {
        connection.end(reason);
      },
      closed: () => undefined,
    };
    this.#sweeper = new Sweeper(this.#context.connections, limits.sweepMs, () => this.#endOldLinks());
  }

  /** Binds the `listen` address; port 0 takes a free one. Rejects with the system's error. */
  async listen(): Promise<Address> {
    const address = this.#options.listen;
    assert(address !== undefined && this.#server === undefined, 'listen is called once, with an address configured');
    const { metrics, log, limits } = this.#context;
    const server = this.#context.transport.createServer(
      (socket) => {
        this.#accept(socket);
      },
      (address, reason) => {
        metrics.tcpError('tls_failed');
        // A port check connects and leaves: that is no news.
        const level = reason === 'ECONNRESET' ? 'debug' : 'warn';
        log[level]({ address, reason }, 'connection refused: the TLS handshake failed');
      },
    );
    this.#server = server;
    server.maxConnections = limits.acceptedConnectionsMax;
    server.on('connection', (socket: Socket) => {
      const surplus = this.#strangers.take(socket);
      if (surplus === undefined) return;
      metrics.tcpError('accept_limit');
      log.warn({ address: addressOf(surplus) }, 'connection closed: too many have not said who they are');
      surplus.destroy();
    });
    server.on('drop', () => {
      metrics.tcpError('accept_limit');
      log.warn({ acceptedConnectionsMax: limits.acceptedConnectionsMax }, 'connection refused: too many');
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(address.port, address.host, () => {
        server.off('error', reject);
        server.on('error', (error) => {
          metrics.tcpError('socket_error');
          log.warn({ reason: error.message }, 'listening socket failed');
        });
        resolve();
      });
    });
    const bound = server.address() as AddressInfo;
    return { host: bound.address, port: bound.port };
  }

  /** Keeps a link to `address` (`host:port`) until `undial`. Throws DistricError INVALID_REQUEST for what is no address. */
  dial(address: string, expectedNodeId?: string): void {
    if (this.#closing || this.#dialers.has(address)) return;
    const { self, coordinatorIds, strangers } = this.#options;
    const expectations = { nodeId: expectedNodeId, coordinatorIds, strangers };
    this.#dialers.set(address, new Dialer(this.#context, self, address, expectations, this.#linkOwner));
  }

  /** Renews every link that this end dialed, so that its certificates are those of now. No message is lost by it. */
  renew(): void {
    for (const dialer of this.#dialers.values()) dialer.renew();
  }

  undial(address: string): void {
    const dialer = this.#dialers.get(address);
    this.#dialers.delete(address);
    dialer?.stop('undialed');
  }

  /** False when the message was dropped and counted: no link to that node is up, or its send buffer is full. */
  send(nodeId: string, message: Message): boolean {
    const link = this.#links.get(nodeId)?.find((one) => one.usable);
    if (link !== undefined) return link.send(message);
    this.#context.metrics.rpcError(message.kind, 'not_connected');
    return false;
  }

  /** Smoothed time of a message to that node and its answer; undefined until measured over the link in use. */
  roundTripMs(nodeId: string): number | undefined {
    return this.#context.roundTrips.ms(nodeId);
  }

  /** Writes what is queued now instead of at the end of the tick. */
  flush(): void {
    this.#context.flushQueue.flush();
  }

  /** Stops to accept and dial, hands over what is queued (at most `drainMsMax`), and resolves with all sockets closed. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    const { server, connections } = { server: this.#server, connections: this.#context.connections };
    const serverClosed = new Promise<void>((resolve) => {
      if (server === undefined) resolve();
      else
        server.close(() => {
          resolve();
        });
    });
    this.#context.transport.abandon();
    for (const dialer of this.#dialers.values()) dialer.stop('shutting_down');
    this.#dialers.clear();
    for (const link of [...this.#accepted.values()]) link.leave('shutting_down');
    for (const connection of connections) connection.goAway('shutting_down');
    await Promise.all([serverClosed, ...Array.from(connections, (connection) => connection.whenClosed())]);
    this.#sweeper.stop();
  }

  #accept(socket: Socket): void {
    const connection = new Connection(this.#context, this.#greeter, socket, addressOf(socket), false);
    if (this.#closing) connection.destroy('shutting_down');
  }

  /** HELLO on an accepted connection: refuse it, or answer it and join it to the node's link. */
  #greet(connection: Connection, hello: HelloBody): void {
    const { self, clients, coordinatorIds, strangers } = this.#options;
    const { identity } = connection;
    if (hello.role === 'client' && clients !== undefined) {
      const refusal = clientRefusal(self, hello, identity);
      if (refusal === undefined) {
        connection.send({ kind: 'HELLO', body: helloOf(self, 'bulk', this.#context.features) });
        if (clients.accept(connection, hello)) this.#strangers.known(connection.address);
      } else this.#refuse(connection, hello, refusal);
      return;
    }
    const refusal = helloRefusal(self, hello, { identity, coordinatorIds, strangers });
    if (refusal !== undefined || !isLane(hello.lane)) {
      this.#refuse(connection, hello, refusal ?? 'bad_hello');
      return;
    }
    const rival = this.#rivalOf(hello);
    if (rival !== undefined) {
      const text = `id_in_use: another ${hello.role} goes by the id ${hello.nodeId}, from ${rival}`;
      connection.refuse('id_in_use', { nodeId: hello.nodeId, role: hello.role, other: rival }, text);
      return;
    }
    const link = this.#linkFor(hello.nodeId, hello.lane, hello.features.includes(FEATURES.renewal));
    link.add(hello.lane, connection);
    connection.send({ kind: 'HELLO', body: helloOf(self, hello.lane, this.#context.features) });
    this.#strangers.known(connection.address);
    link.admit(connection, hello, connection.address);
  }

  /** Where another process is connected from under this id, if it is alive: they would replace each other for ever. */
  #rivalOf({ nodeId, session }: HelloBody): string | undefined {
    const { keepAliveMs } = this.#context.limits;
    const other = this.#accepted.get(nodeId);
    const rival = [other, other?.predecessor].find((link) => link?.peer?.session !== undefined);
    if (session === undefined || rival?.peer === undefined || rival.peer.session === session) return undefined;
    return rival.usable && rival.heardWithin(RIVAL_KEEP_ALIVES * keepAliveMs.control) ? rival.peer.address : undefined;
  }

  /** The link of an accepted connection: the one that lacks this lane, or a new one. */
  #linkFor(nodeId: string, lane: Lane, isRenewal: boolean): Link {
    const there = this.#accepted.get(nodeId);
    if (there?.has(lane) === false) return there;
    // One that is up may itself still wait for its predecessor: then it hands over in its turn.
    const latest = there?.usable === true ? there : (there?.predecessor ?? there);
    const predecessor = isRenewal && latest?.usable === true ? latest : undefined;
    // The node dials anew, so what is here is a half-open rest of before, but for the links that are to hand over.
    for (const link of new Set([there, latest, latest?.predecessor])) {
      if (link !== undefined && link !== predecessor && link !== predecessor?.predecessor) link.leave('replaced');
    }
    const link = new Link(this.#linkOwner, false, this.#context.limits.drainMsMax, predecessor);
    this.#accepted.set(nodeId, link);
    return link;
  }

  /** Who dialed such a link should have renewed it; whoever does not gets no longer life by it. */
  #endOldLinks(): void {
    const { linkAgeMsMax } = this.#context.limits;
    if (linkAgeMsMax === 0) return;
    const nowMs = performance.now();
    for (const link of [...this.#accepted.values()]) {
      if (link.ageMs(nowMs) > linkAgeMsMax * 1.5) link.leave('too_old');
    }
    this.#options.clients?.endOlderThan(linkAgeMsMax);
  }

  #refuse(connection: Connection, { nodeId, role, clusterName }: HelloBody, reason: Refusal): void {
    connection.refuse(reason, { nodeId, role, clusterName, ...certified(connection) });
  }

  #linkUp(link: Link): void {
    const peer = link.peer;
    assert(peer !== undefined, 'a link that is up knows its peer');
    const links = this.#links.get(peer.nodeId) ?? [];
    this.#links.set(peer.nodeId, links);
    links.push(link);
    links.sort((a, b) => Number(b.dialed) - Number(a.dialed) || a.id - b.id);
    const { nodeId, role, address } = peer;
    this.#context.log.debug({ nodeId, role, address, dialed: link.dialed }, 'link up');
    if (links.length === 1) this.#options.onPeerUp(peer);
  }

  #linkDown(link: Link, reason: string, wasUp: boolean): void {
    const peer = link.peer;
    if (peer === undefined) return;
    if (this.#accepted.get(peer.nodeId) === link) {
      if (link.predecessor?.usable === true) this.#accepted.set(peer.nodeId, link.predecessor);
      else this.#accepted.delete(peer.nodeId);
    }
    if (!wasUp) return;
    this.#context.log.debug({ nodeId: peer.nodeId, address: peer.address, reason }, 'link down');
    const links = this.#links.get(peer.nodeId) ?? [];
    const index = links.indexOf(link);
    links.splice(index, 1);
    if (links.length === 0) {
      this.#links.delete(peer.nodeId);
      this.#context.roundTrips.forget(peer.nodeId);
    }
    const successor = links.find((one) => one.predecessor === link);
    const goesOn = successor !== undefined && link.handedOver;
    if (index === 0 && !goesOn) {
      this.#options.onPeerDown(peer, reason);
      const next = links[0]?.peer;
      if (next !== undefined) this.#options.onPeerUp(next);
    }
    // What was sent on it is lost, so its successor must not go on after the link before it as if nothing were.
    if (successor !== undefined && !link.handedOver) link.predecessor?.fail(reason);
    successor?.proceed();
  }
}
