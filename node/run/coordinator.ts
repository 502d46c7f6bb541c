/** A coordinator as a process part: its loop and ingress, joined to disk, network and HTTP. */
import { randomInt, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { NodeConfig } from '../../api/config.ts';
import { discoveryOf } from '../../api/discovery.ts';
import type { Address } from '../../base/address.ts';
import { assert } from '../../base/assert.ts';
import { Random } from '../../base/random.ts';
import { AccessLimits } from '../access-limits.ts';
import { isGossip } from '../core/swim/swim-ports.ts';
import { Ingress } from '../ingress.ts';
import { nodeHost } from '../io/host.ts';
import { AccessGuard, type AccessMetrics, digest } from '../io/http/access.ts';
import { ApiServer } from '../io/http/api-server.ts';
import { LmdbSnapshots } from '../io/lmdb/lmdb-snapshots.ts';
import { LogStore } from '../io/lmdb/log-store.ts';
import { StateDisk } from '../io/lmdb/state-disk.ts';
import { type MeasuredStore, StorageGauge } from '../io/lmdb/storage-gauge.ts';
import type { NetMetrics } from '../io/net/net-metrics.ts';
import type { GossipDriver } from '../io/net/gossip-driver.ts';
import { PeerNet } from '../io/net/peer-net.ts';
import type { HealthCheck, HealthRegistry } from '../io/telemetry/health.ts';
import type { Logging } from '../io/telemetry/logging.ts';
import type { NodeMetrics, StoreFill } from '../io/telemetry/node-metrics.ts';
import { KeyRing, TOUCH_INTERVAL_MS } from '../key-ring.ts';
import type { CoordinatorMetrics } from '../metrics.ts';
import { type CoordinatorConfig, LOG_KEPT } from '../coordinator-parts.ts';
import { Coordinator } from '../node.ts';
import type { CoordinatorPorts, Input, LoopLog, Reply } from '../ports.ts';
import { UNAPPLIED_BYTES_MAX } from '../proposals.ts';
import type { Kept } from '../sweeper.ts';
import { RefusalNotes } from '../refusal-notes.ts';
import { loadAdminKey } from './admin-key.ts';
import { BackupDesk } from './backup-desk.ts';
import { ClientPort } from './client-port.ts';
import { coordinatorsIn, eventSource } from './gossip-members.ts';
import { loopLog } from './logs.ts';
import { MemberLinks } from './member-links.ts';
import type { NodeTls } from './node-tls.ts';
import { ProfileWatch } from './profile-watch.ts';
import { seedsOf } from './seeds.ts';
import { readClocks, Turns } from './turns.ts';

/** Election and heartbeat timing; `fast` is the seed's. An election time-out is ten times a sound event-loop delay. */
const RAFT_PROFILES = {
  default: { electionMsMin: 1_000, electionMsMax: 2_000, heartbeatMs: 100 },
  fast: { electionMsMin: 150, electionMsMax: 300, heartbeatMs: 50 },
} as const;
const TICK_MS = 10;
/** How often a coordinator that knows no member looks for one. */
const SEEK_MS = 1_000;
const WORKER_LOSS_MS = 2_000;
/** A shutdown does not wait longer for requests in flight and the last commit. */
const STATE_COMMIT_WAIT_MS = 5_000;

export interface CoordinatorProcessParts {
  logging: Logging;
  metrics: CoordinatorMetrics;
  accessMetrics: AccessMetrics;
  netMetrics: NetMetrics;
  nodeMetrics: NodeMetrics;
  health: HealthRegistry;
  tls: NodeTls | undefined;
  /** Undefined where it is off. */
  gossip: GossipDriver | undefined;
  /** A failed write or a broken invariant: the process must not go on. */
  onFatal: (error: unknown) => void;
}

export interface CoordinatorAddresses {
  peer: string;
  http: string;
}

export class CoordinatorProcess {
  readonly #config: NodeConfig;
  readonly #parts: CoordinatorProcessParts;
  readonly #logStore: LogStore;
  readonly #stateDisk: StateDisk;
  readonly #snapshots: LmdbSnapshots;
  readonly #links: MemberLinks;
  readonly #net: PeerNet;
  readonly #clients: ClientPort;
  readonly #api: ApiServer;
  readonly #ingress: Ingress;
  readonly #coordinator: Coordinator;
  readonly #keyRing = new KeyRing(digest);
  readonly #accessLimits: AccessLimits;
  readonly #refusals: RefusalNotes;
  readonly #turns: Turns;
  /** Between the ingress and the core there are only messages: these two queues, emptied every turn. */
  #inbox: Input[] = [];
  #replies: Reply[] = [];
  readonly #profileWatch: ProfileWatch;
  #touchTimer: NodeJS.Timeout | undefined;
  #seekTimer: NodeJS.Timeout | undefined;
  #everReady = false;
  #toldRole = '';
  #stateCommitted: (() => void) | undefined;
  #handedOver: (() => void) | undefined;

  private constructor(
    config: NodeConfig,
    parts: CoordinatorProcessParts,
    { logStore, stateDisk, gauge }: { logStore: LogStore; stateDisk: StateDisk; gauge: StorageGauge },
  ) {
    this.#config = config;
    this.#parts = parts;
    this.#accessLimits = new AccessLimits(config.limits);
    this.#refusals = new RefusalNotes(this.#gateway());
    this.#logStore = logStore;
    this.#stateDisk = stateDisk;
    const log = loopLog(parts.logging);
    this.#snapshots = new LmdbSnapshots({
      disk: stateDisk,
      dir: join(config.dataDir, 'snapshots'),
      answer: (input) => this.#take(input),
      onFatal: (error) => this.#fail(error),
      noRoom: (bytes) => gauge.noRoom(bytes),
      log,
    });
    this.#links = new MemberLinks(config.nodeId, config.coordinators, config.join);
    this.#clients = this.#clientPort();
    this.#net = this.#peerNet();
    const { profile } = config.raft;
    const { eventLoopDelay } = parts.nodeMetrics;
    this.#profileWatch = new ProfileWatch(profile, RAFT_PROFILES[profile].electionMsMin, eventLoopDelay, log);
    const random = new Random(randomInt(2 ** 47));
    this.#coordinator = new Coordinator(
      coordinatorConfig(config, logStore.boot.dataUuid),
      {
        host: nodeHost,
        ports: this.#ports(log),
        metrics: parts.metrics,
        random,
        log: logStore,
        store: stateDisk.current,
        boot: logStore.boot,
        logBytes: () => (logStore.cutting ? 0 : logStore.usedBytes()),
        storage: (pendingBytes) => gauge.fullest(pendingBytes),
      },
      readClocks(),
    );
    this.#ingress = new Ingress({
      host: nodeHost,
      random: new Random(randomInt(2 ** 47)),
      metrics: parts.metrics,
      toCore: (input) => this.#take(input),
      clock: readClocks,
    });
    loadAdminKey(config.auth.adminKeyFile, this.#keyRing);
    this.#api = this.#openApi(gauge);
    parts.tls?.follow(this.#net, this.#api);
    this.#turns = new Turns({
      turn: () => this.#turn(),
      tick: () => this.#inbox.push({ kind: 'tick' }),
      tickMs: TICK_MS,
      onBug: parts.onFatal,
    });
    parts.health.probe('membership', () => this.#membershipHealth());
    parts.health.probe('raft', () => this.#raftHealth());
    parts.health.probe('storage', () => this.#storageHealth());
    parts.health.probe('workers_available', () => this.#workersHealth());
  }

  static async start(
    config: NodeConfig,
    parts: CoordinatorProcessParts,
  ): Promise<{ process: CoordinatorProcess; addresses: CoordinatorAddresses }> {
    const { nodeMetrics } = parts;
    const logStore = await LogStore.open(join(config.dataDir, 'log'), {
      mapBytesMax: config.limits.logMapBytesMax,
      queueBytesMax: config.limits.logQueueBytesMax,
      onFlush: nodeMetrics.logFlushed,
    });
    // The lock of the log guards the whole data directory.
    const stateDisk = await StateDisk.open(config.dataDir, {
      mapBytesMax: config.limits.stateMapBytesMax,
      onCommit: nodeMetrics.stateCommitted,
    }).catch(async (error: unknown) => {
      await logStore.close();
      throw error;
    });
    const log = {
      usedBytes: () => logStore.usedBytes(),
      fileBytes: () => logStore.fileBytes(),
      bytesMax: config.limits.logMapBytesMax,
    };
    const state = {
      usedBytes: () => stateDisk.current.usedBytes(),
      fileBytes: () => stateDisk.current.fileBytes(),
      bytesMax: config.limits.stateMapBytesMax,
    };
    const gauge = new StorageGauge(config.dataDir, log, state, config.limits.storageHardPercent / 100);
    nodeMetrics.observeStorage({ log: () => fillOf(log), state: () => fillOf(state), disk: () => gauge.disk() });
    const started = new CoordinatorProcess(config, parts, { logStore, stateDisk, gauge });
    try {
      return { process: started, addresses: await started.#listen() };
    } catch (error) {
      await started.stop();
      throw error;
    }
  }

  #peerNet(): PeerNet {
    const config = this.#config;
    const parts = this.#parts;
    return new PeerNet({
      self: {
        nodeId: config.nodeId,
        role: 'coordinator',
        clusterName: config.clusterName,
        dataUuid: this.#logStore.boot.dataUuid,
        clusterId: () => this.#coordinator.state.clusterId,
      },
      host: nodeHost,
      listen: config.peer,
      onMessage: ({ nodeId, dataUuid }, message) => {
        if (isGossip(message)) parts.gossip?.streamed(nodeId, message);
        else this.#take({ kind: 'message', from: nodeId, message, dataUuid });
      },
      onPeerUp: ({ nodeId, role, dataUuid }) => {
        parts.gossip?.linkUp(nodeId, role === 'coordinator');
        this.#take({ kind: 'peerUp', peer: nodeId, role, dataUuid });
      },
      onPeerDown: ({ nodeId, role }) => {
        parts.gossip?.linkDown(nodeId);
        this.#take({ kind: 'peerDown', peer: nodeId, role });
      },
      compression: config.peer.compression,
      coordinatorIds: this.#links.ids,
      strangers: true,
      ...parts.tls?.peerOptions,
      clients: this.#clients.door,
      metrics: parts.netMetrics,
      log: parts.logging.component('net'),
    });
  }

  #openApi(gauge: StorageGauge): ApiServer {
    const config = this.#config;
    const parts = this.#parts;
    return new ApiServer({
      gateway: this.#gateway(),
      access: new AccessGuard({
        mode: config.auth.mode,
        clusterName: config.clusterName,
        ring: this.#keyRing,
        metrics: parts.accessMetrics,
        limits: this.#accessLimits,
      }),
      refusals: this.#refusals,
      host: config.http.host,
      port: config.http.port,
      ...parts.tls?.apiOptions(this.#links.ids),
      limits: {
        itemBytesMax: config.limits.itemBytesMax,
        requestBytesMax: config.limits.requestBytesMax,
        itemsMax: config.limits.requestItemsMax,
      },
      timeouts: { drainMs: config.drainTimeoutMs },
      backup: new BackupDesk({
        gateway: this.#gateway(),
        disk: this.#stateDisk,
        dir: join(config.dataDir, 'snapshots'),
        clusterName: config.clusterName,
        bornWith: config.coordinators.map(({ id }) => id),
        noRoom: (bytes) => gauge.noRoom(bytes),
        log: loopLog(parts.logging),
      }),
      ...(parts.gossip === undefined ? {} : { events: eventSource(parts.gossip) }),
      log: parts.logging.component('http'),
      onBug: parts.onFatal,
    });
  }

  async #listen(): Promise<CoordinatorAddresses> {
    const peer = await this.#net.listen();
    const http = await this.#api.listen();
    this.#links.follow(this.#net, this.#coordinator.raft.membership);
    this.#joinGossip(peer, http);
    this.#seekTimer = setInterval(() => this.#seekMembers(), SEEK_MS).unref();
    this.#seekMembers();
    this.#touchTimer = setInterval(() => this.#touchKeys(), TOUCH_INTERVAL_MS).unref();
    this.#turns.schedule();
    return { peer: `${peer.host}:${String(peer.port)}`, http: `${http.host}:${String(http.port)}` };
  }

  /** Told to the others: where this node is reached, by the addresses that they have for it if there are such. */
  #joinGossip(peer: Address, http: Address): void {
    const { gossip } = this.#parts;
    if (gossip === undefined) return;
    const { nodeId, coordinators } = this.#config;
    const listed = coordinators.find(({ id }) => id === nodeId);
    const reached = (bound: Address): string => gossip.reachedAt(bound);
    const peerAddress = listed?.address ?? reached(peer);
    const httpAddress = listed?.httpAddress ?? reached(http);
    gossip.describe({ peerAddress, httpAddress });
    gossip.useStreams((to, message) => this.#net.send(to, message));
    gossip.listen({ news: (news) => this.#take({ kind: 'gossip', news }) });
  }

  /** Told of nobody, and of no place to look: where `discovery` and gossip say. */
  #seekMembers(): void {
    const { gossip } = this.#parts;
    const discovery = discoveryOf(this.#config);
    if (!this.#links.seeking || this.#config.join.length > 0) return;
    if (gossip !== undefined) this.#links.found(coordinatorsIn(gossip.members(), this.#config.nodeId));
    if (discovery !== undefined) void seedsOf(discovery, gossip).then((seeds) => this.#links.found(seeds));
    this.#turns.schedule();
  }

  /** So that workers find the leader by gossip, too. */
  #tellRole(): void {
    const { role: raftState, term: raftTerm } = this.#coordinator.raft;
    const told = `${raftState} ${String(raftTerm)}`;
    if (told === this.#toldRole) return;
    this.#toldRole = told;
    this.#parts.gossip?.describe({ raftState, raftTerm });
  }

  // ---- the loop ------------------------------------------------------------------------------------------------------

  #take(input: Input): void {
    this.#inbox.push(input);
    this.#turns.schedule();
  }

  #turn(): boolean {
    this.#ingress.flush();
    const inbox = this.#inbox;
    this.#inbox = [];
    const now = readClocks();
    for (const input of inbox) {
      this.#coordinator.step(input, now);
      if (input.kind === 'snapshotInstalled') this.#stateDisk.retire();
    }
    const more = this.#coordinator.turn(now);
    this.#links.follow(this.#net, this.#coordinator.raft.membership);
    this.#tellRole();
    if (this.#handedOver !== undefined && this.#isLedByAnother()) this.#handedOver();
    const replies = this.#replies;
    this.#replies = [];
    for (const reply of replies) {
      if (reply.kind === 'keys') this.#keyRing.setKeys(reply.keys);
      else this.#ingress.onReply(reply);
    }
    this.#clients.turn();
    return more;
  }

  /** Once a minute at most, whatever the keys are used for. */
  #touchKeys(): void {
    this.#ingress.touchKeys(this.#keyRing.takeUsed(), readClocks().wallMs);
  }

  #ports(log: LoopLog): CoordinatorPorts {
    return {
      send: (to, message) => this.#net.send(to, message),
      roundTripMs: (nodeId) => this.#net.roundTripMs(nodeId),
      persist: (write) => {
        this.#logStore.persist(write).then(
          () => this.#take({ kind: 'persisted', sequence: write.sequence }),
          (error: unknown) => this.#fail(error),
        );
      },
      commitState: (writes) => {
        this.#stateDisk.current.commit(writes).then(
          () => {
            this.#take({ kind: 'stateCommitted' });
            this.#stateCommitted?.();
          },
          (error: unknown) => this.#fail(error),
        );
      },
      reply: (reply) => this.#replies.push(reply),
      log,
      snapshots: this.#snapshots,
    };
  }

  /** What failed to reach the disk is never tried again: the process ends and starts from what is there. */
  #fail(error: unknown): void {
    this.#coordinator.halt();
    this.#turns.stop();
    this.#parts.onFatal(error);
  }

  #gateway() {
    return {
      submit: (...args: Parameters<Ingress['submit']>) => {
        this.#ingress.submit(...args);
        this.#turns.schedule();
      },
      command: (...args: Parameters<Ingress['command']>) => this.#ingress.command(...args),
      query: (...args: Parameters<Ingress['query']>) => this.#ingress.query(...args),
    };
  }

  #clientPort(): ClientPort {
    return new ClientPort({
      config: this.#config,
      gateway: this.#gateway(),
      identify: (keyText, wallMs) => this.#keyRing.identify(keyText, wallMs),
      limits: this.#accessLimits,
      refusals: this.#refusals,
      authFailed: (reason) => this.#parts.accessMetrics.authFailed(reason),
      metrics: this.#parts.netMetrics,
      log: this.#parts.logging.component('clients'),
      leaderId: () => this.#coordinator.leaderId,
      coordinators: () => this.#coordinator.members.addresses(),
    });
  }

  // ---- health and end ------------------------------------------------------------------------------------------------

  /** Ready once it has joined; from then on it stays ready: without a leader it answers 503 and serves stale reads. */
  #raftHealth(): HealthCheck {
    const { leaderId, state } = this.#coordinator;
    if (leaderId !== undefined && state.clusterId !== '') this.#everReady = true;
    if (leaderId !== undefined) return { status: this.#everReady ? 'UP' : 'DOWN', message: `leader ${leaderId}` };
    return { status: this.#everReady ? 'DEGRADED' : 'DOWN', message: 'no leader is known' };
  }

  /** Never DOWN: a full node still serves reads, and takes what makes room. */
  #storageHealth(): HealthCheck {
    const { own, level, reason } = this.#coordinator.storage;
    const { storageSoftPercent } = this.#config.limits;
    const message = `${own.what} ${(100 * own.share).toFixed(0)} % full`;
    if (level !== 'open') return { status: 'DEGRADED', message: `no messages are taken: ${reason}` };
    return { status: 100 * own.share < storageSoftPercent ? 'UP' : 'DEGRADED', message };
  }

  #membershipHealth(): HealthCheck {
    const { text } = this.#coordinator.members.standing;
    return text === undefined ? { status: 'UP' } : { status: 'DOWN', message: text };
  }

  #workersHealth(): HealthCheck {
    const count = this.#coordinator.state.workers.workers.size;
    if (count > 0) return { status: 'UP', message: `${String(count)} registered` };
    return { status: 'DEGRADED', message: 'no worker is registered' };
  }

  #isLedByAnother(): boolean {
    const { leaderId } = this.#coordinator;
    return leaderId !== undefined && leaderId !== this.#config.nodeId;
  }

  /** Hands the leadership on, answers what is in flight, commits the state, leaves the network, closes the disk. */
  async stop(): Promise<void> {
    // No new requests from here on; those in flight need a leader, this node or the next.
    const drained = Promise.all([this.#api.close(), this.#clients.drain()]);
    await this.#handOver();
    await drained;
    clearInterval(this.#touchTimer);
    clearInterval(this.#seekTimer);
    this.#profileWatch.close();
    this.#ingress.close();
    await this.#commitState();
    this.#turns.stop();
    this.#coordinator.halt();
    await this.#parts.gossip?.leave();
    await this.#net.close();
    await this.#logStore.close();
    await this.#snapshots.close();
    await this.#stateDisk.close();
  }

  /** So that nobody has to wait for an election time-out; if it comes to nothing, they do. */
  async #handOver(): Promise<void> {
    if (!this.#coordinator.handOver()) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, RAFT_PROFILES[this.#config.raft.profile].electionMsMax);
      this.#handedOver = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#turns.schedule();
    });
    this.#handedOver = undefined;
  }

  async #commitState(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, STATE_COMMIT_WAIT_MS);
      this.#stateCommitted = () => {
        clearTimeout(timer);
        resolve();
      };
      if (!this.#coordinator.commitNow()) this.#stateCommitted();
    });
  }
}

function fillOf({ usedBytes, bytesMax }: MeasuredStore): StoreFill {
  return { usedBytes: usedBytes(), bytesMax };
}

function keptOf({ ageMs, countMax }: NodeConfig['retention']['messages']): Kept {
  return { ageMs, count: countMax };
}

function coordinatorConfig(config: NodeConfig, dataUuid: string): CoordinatorConfig {
  const { logMapBytesMax, stateMapBytesMax, storageSoftPercent, storageHardPercent } = config.limits;
  const voters = config.coordinators.map(({ id }) => id);
  assert(voters.includes(config.nodeId) || voters.length === 0, 'the configuration lists this coordinator, or none');
  return {
    raft: { nodeId: config.nodeId, dataUuid, ...RAFT_PROFILES[config.raft.profile] },
    voters,
    minVotersForWrites: config.bootstrap.minVoters || Math.max(1, voters.length),
    clusterName: config.clusterName,
    newClusterId: randomUUID(),
    coordinators: config.coordinators,
    activeInstancesMax: config.limits.activeInstancesMax,
    workerLossMs: WORKER_LOSS_MS,
    strategy: config.dispatch.strategy,
    ...(config.zone === undefined ? {} : { zone: config.zone }),
    retention: { messages: keptOf(config.retention.messages), instances: keptOf(config.retention.instances) },
    storageLimits: { soft: storageSoftPercent / 100, hard: storageHardPercent / 100 },
    // Half of what lies between the limits, at their defaults.
    unappliedBytesMax: Math.min(UNAPPLIED_BYTES_MAX, Math.min(logMapBytesMax, stateMapBytesMax) / 20),
    logKept: { ...LOG_KEPT, bytesMax: Math.min(LOG_KEPT.bytesMax, logMapBytesMax / 2) },
  };
}
