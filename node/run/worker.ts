/** A worker as a process part: its loop, joined to the network and the plugin host. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { NodeConfig } from '../../api/config.ts';
import { discoveryOf } from '../../api/discovery.ts';
import { reservedSlots } from '../../api/reservations.ts';
import { nodeHost } from '../io/host.ts';
import type { GossipDriver } from '../io/net/gossip-driver.ts';
import type { NetMetrics } from '../io/net/net-metrics.ts';
import { PeerNet } from '../io/net/peer-net.ts';
import type { HealthCheck, HealthRegistry } from '../io/telemetry/health.ts';
import { MachineUsage } from '../io/telemetry/machine-usage.ts';
import type { Logging } from '../io/telemetry/logging.ts';
import { type AttemptResult, PluginHost } from '../io/worker/plugin-host.ts';
import type { WorkerMetrics } from '../metrics.ts';
import { isGossip } from '../core/swim/swim-ports.ts';
import type { Body } from '../core/tlv/messages.ts';
import { type WorkerInput, WorkerNode, type WorkerPorts } from '../worker.ts';
import { CoordinatorLinks } from './coordinator-links.ts';
import { leaderIn } from './gossip-members.ts';
import { loopLog } from './logs.ts';
import type { NodeTls } from './node-tls.ts';
import { readClocks, Turns } from './turns.ts';

const TICK_MS = 100;
/** Least time from one load that is told by gossip to the next, and how many steps there are to it. */
const LOAD_TOLD_MS = 10_000;
const LOAD_STEPS = 4;
/** A drain looks this often whether everything is reported. */
const DRAIN_POLL_MS = 50;
/** To tell the leader that what was still running is given back. */
const LEAVE_MS_MAX = 1_000;
/** For plugins to react to the abort of their signal when the drain time is over. */
const ABORT_GRACE_MS = 2_000;

export interface WorkerProcessParts {
  logging: Logging;
  metrics: WorkerMetrics;
  netMetrics: NetMetrics;
  health: HealthRegistry;
  tls: NodeTls | undefined;
  /** Undefined where it is off. */
  gossip: GossipDriver | undefined;
  version: string;
  onFatal: (error: unknown) => void;
  /** Where this worker is told of in the cluster status, `host:port`. */
  address: string;
}

export class WorkerProcess {
  readonly #config: NodeConfig;
  readonly #parts: WorkerProcessParts;
  readonly #plugins: PluginHost;
  readonly #net: PeerNet;
  readonly #worker: WorkerNode;
  readonly #turns: Turns;
  readonly #links: CoordinatorLinks;
  readonly #usage = new MachineUsage();
  #inbox: WorkerInput[] = [];
  #loadToldMs = -Infinity;
  #loadTold = 0;

  private constructor(config: NodeConfig, parts: WorkerProcessParts, plugins: PluginHost) {
    this.#config = config;
    this.#parts = parts;
    this.#plugins = plugins;
    const coordinatorIds = new Set<string>();
    const discovery = discoveryOf(config);
    const session = randomUUID();
    this.#net = new PeerNet({
      self: { nodeId: config.nodeId, role: 'worker', clusterName: config.clusterName, session },
      host: nodeHost,
      onMessage: (peer, message) => {
        if (isGossip(message)) parts.gossip?.streamed(peer.nodeId, message);
        else if (message.kind === 'CLUSTER_VIEW') this.#links.told(message.body.coordinators);
        else this.#take({ kind: 'message', from: peer.nodeId, message });
      },
      onPeerUp: ({ nodeId, role }) => {
        parts.gossip?.linkUp(nodeId, role === 'coordinator');
        this.#links.up(nodeId);
        this.#take({ kind: 'peerUp', peer: nodeId });
      },
      onPeerDown: ({ nodeId }) => {
        parts.gossip?.linkDown(nodeId);
        this.#links.down(nodeId);
        this.#take({ kind: 'peerDown', peer: nodeId });
      },
      coordinatorIds,
      // Found by others than the configuration, they are not known before they say who they are.
      strangers: discovery !== undefined,
      ...parts.tls?.peerOptions,
      compression: config.peer.compression,
      metrics: parts.netMetrics,
      log: parts.logging.component('net'),
    });
    const { gossip } = parts;
    const { coordinators: configured } = config;
    this.#links = new CoordinatorLinks({ configured, discovery, gossip, net: this.#net, ids: coordinatorIds });
    const types = plugins.types.map(({ name, version, configSchema }) => ({
      name,
      version,
      ...(configSchema === undefined ? {} : { configSchema }),
    }));
    this.#worker = new WorkerNode(
      {
        workerId: config.nodeId,
        session,
        capacity: config.worker.concurrency,
        address: parts.address,
        types,
        zone: config.zone,
        labels: config.labels,
        softwareVersion: parts.version,
        reserved: reservedSlots(config),
      },
      this.#ports(),
      parts.metrics,
    );
    parts.tls?.follow(this.#net);
    this.#turns = new Turns({
      turn: () => this.#turn(),
      tick: () => this.#inbox.push({ kind: 'tick' }),
      tickMs: TICK_MS,
      onBug: parts.onFatal,
    });
  }

  static async start(config: NodeConfig, parts: WorkerProcessParts): Promise<WorkerProcess> {
    const pluginLog = parts.logging.component('plugins');
    const plugins = await PluginHost.start({
      pluginDirs: config.worker.pluginDirs,
      processes: config.worker.pluginProcesses,
      slots: config.worker.concurrency,
      memoryMb: config.worker.memoryMb,
      log: {
        debug: (text, fields) => pluginLog.debug(fields ?? {}, text),
        info: (text, fields) => pluginLog.info(fields ?? {}, text),
        warn: (text, fields) => pluginLog.warn(fields ?? {}, text),
        error: (text, fields) => pluginLog.error(fields ?? {}, text),
      },
    });
    const started = new WorkerProcess(config, parts, plugins);
    parts.health.probe('leader', () => started.#leaderHealth());
    parts.health.probe('plugins', () => started.#pluginsHealth());
    started.#joinGossip();
    started.#links.start();
    return started;
  }

  /** Gossip may know the leader where no coordinator in reach does. */
  #joinGossip(): void {
    const { gossip } = this.#parts;
    gossip?.useStreams((to, message) => this.#net.send(to, message));
    let termTold = -1;
    gossip?.listen({
      news: ({ members }) => {
        const hint = leaderIn(members);
        if (hint === undefined || hint.term <= termTold) return;
        termTold = hint.term;
        this.#take({ kind: 'leaderNamed', leader: hint.id });
      },
    });
  }

  /** Seldom and roughly: all nodes of the cluster are told. */
  #tellLoad(nowMs: number): void {
    if (nowMs - this.#loadToldMs < LOAD_TOLD_MS) return;
    const load = Math.round((LOAD_STEPS * this.#worker.running) / this.#config.worker.concurrency) / LOAD_STEPS;
    if (load === this.#loadTold) return;
    this.#loadToldMs = nowMs;
    this.#loadTold = load;
    this.#parts.gossip?.describe({ load });
  }

  #take(input: WorkerInput): void {
    this.#inbox.push(input);
    this.#turns.schedule();
  }

  #turn(): boolean {
    const inbox = this.#inbox;
    this.#inbox = [];
    const now = readClocks();
    for (const input of inbox) this.#worker.step(input, now);
    this.#worker.turn(now);
    this.#tellLoad(now.monotonicMs);
    return false;
  }

  #leaderHealth(): HealthCheck {
    const leader = this.#worker.registeredWith;
    if (leader === undefined) return { status: 'DOWN', message: 'not registered with a leader' };
    return { status: 'UP', message: `registered with ${leader}` };
  }

  #pluginsHealth(): HealthCheck {
    const { types, loadErrors } = this.#plugins;
    if (loadErrors.length === 0) return { status: 'UP', message: `${String(types.length)} task types` };
    return { status: 'DEGRADED', message: `not loaded: ${loadErrors.map(({ file }) => file).join(', ')}` };
  }

  #ports(): WorkerPorts {
    return {
      send: (to, message) => this.#net.send(to, message),
      run: (assignment) => {
        this.#plugins.run(assignment, (result) => this.#finished(assignment, result));
      },
      usage: () => this.#usage.take(),
      cancel: ({ instanceId, taskId, token }) => this.#plugins.cancel(instanceId, taskId, token),
      log: loopLog(this.#parts.logging),
    };
  }

  #finished({ instanceId, taskId, token }: Body<'TASK_ASSIGN'>, result: AttemptResult): void {
    const { status, output, error } = result;
    const details = { ...(output === undefined ? {} : { output }), ...(error === undefined ? {} : { error }) };
    this.#take({ kind: 'finished', result: { instanceId, taskId, token, status, ...details } });
  }

  /** False when it has not within that time. */
  async #hasLeft(msMax: number): Promise<boolean> {
    const deadlineMs = performance.now() + msMax;
    while (!this.#worker.left && performance.now() < deadlineMs) await delay(DRAIN_POLL_MS);
    return this.#worker.left;
  }

  /** Takes no new tasks, lets running ones finish within the drain time, reports, gives back the rest, and leaves. */
  async stop(): Promise<void> {
    this.#take({ kind: 'drain' });
    if (!(await this.#hasLeft(this.#config.drainTimeoutMs))) {
      this.#take({ kind: 'handBack' });
      await this.#hasLeft(LEAVE_MS_MAX);
    }
    this.#turns.stop();
    this.#links.stop();
    await Promise.all([this.#plugins.close(ABORT_GRACE_MS), this.#parts.gossip?.leave()]);
    await this.#net.close();
  }
}
