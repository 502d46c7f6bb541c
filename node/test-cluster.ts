/** Coordinators and workers joined in memory, for tests: the shipping loops over drivers that a test can stop. */
import { ANONYMOUS } from '../api/access.ts';
import { assert } from '../base/assert.ts';
import { encodeText, type Host } from '../base/host.ts';
import { Random } from '../base/random.ts';
import type { SequencedWrite } from './core/raft/outbox.ts';
import { TestDisk } from './core/raft/test-group.ts';
import { FEATURE_LEVEL } from './core/state/feature-level.ts';
import { MemoryStore } from './core/state/memory-store.ts';
import { type Body, decodeMessage, encodeMessage, type Message } from './core/tlv/messages.ts';
import { Ingress } from './ingress.ts';
import type { CoordinatorMetrics, WorkerMetrics } from './metrics.ts';
import type { CoordinatorConfig } from './coordinator-parts.ts';
import { Coordinator } from './node.ts';
import type { CoordinatorPorts, Input, LoopLog, Now, SnapshotPort } from './ports.ts';
import type { Command, CommandOutcome, Consistency, ItemOutcome, Query, QueryOutcome } from './requests.ts';
import type { Fullness } from './storage-watch.ts';
import { type WorkerConfig, type WorkerInput, WorkerNode, type WorkerPorts } from './worker.ts';

const TICK_MS = 10;
const WALL_OFFSET_MS = 1_700_000_000_000;
export const WORKER_LOSS_MS = 2_000;
export const ACTIVE_INSTANCES_MAX = 20;

const ignore = (): undefined => undefined;
export const silentLog: LoopLog = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** Counts calls by method name; `count` for those that count something themselves. */
export class CountingMetrics {
  readonly counts = new Map<string, number>();

  add(name: string, count = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + count);
  }

  of(name: string): number {
    return this.counts.get(name) ?? 0;
  }

  readonly coordinator: CoordinatorMetrics = {
    messagesReceived: (count) => this.add('received', count),
    messagesAccepted: (count) => this.add('accepted', count),
    messagesRefused: (code, count) => this.add(`refused ${code}`, count),
    ruleEvaluation: (count) => this.add('evaluated', count),
    tasksRunning: ignore,
    tasksReady: ignore,
    taskEnded: (_type, status) => this.add(`task ${status}`),
    taskAssigned: () => this.add('assigned'),
    taskRetried: () => this.add('retried'),
    taskRedispatched: () => this.add('redispatched'),
    workerLossesSuspended: (suspended) => this.add(`losses ${suspended ? 'suspended' : 'resumed'}`),
    resultStale: () => this.add('stale'),
    instanceStarted: () => this.add('started'),
    instanceEnded: (_workflow, status) => this.add(`instance ${status}`),
    instancesActive: ignore,
    raftState: (role, term) => this.add(`${role} in term ${String(term)}`),
    leaderChanged: () => this.add('leader changes'),
    raftProgress: ignore,
    commitLatency: () => this.add('committed'),
    stateHashMismatch: () => this.add('hash mismatch'),
    swept: (table, count) => this.add(`swept ${table}`, count),
    snapshotWithoutRoom: (side) => this.add(`no room at the ${side}`),
    storageLevel: (level) => this.add(`storage ${level}`),
  };

  readonly worker: WorkerMetrics = {
    taskStarted: () => this.add('task started'),
    taskFinished: (_type, status) => this.add(`finished ${status}`),
    slots: ignore,
    connected: ignore,
  };
}

interface ClusterOptions {
  config?: Partial<CoordinatorConfig>;
  snapshots?: SnapshotPort;
  /** Feature levels of coordinators that are of an earlier release. */
  levels?: Map<string, number>;
}

interface Flying {
  from: string;
  to: string;
  message: Message;
}

export class TestCoordinator {
  readonly disk: TestDisk;
  readonly store: MemoryStore;
  readonly metrics = new CountingMetrics();
  readonly inputs: Input[] = [];
  /** Texts that it logged as warnings. */
  readonly warnings: string[] = [];
  readonly core: Coordinator;
  readonly ingress: Ingress;
  /** True: what is given to the disk is not flushed. */
  diskStalled = false;
  readonly #unflushed: SequencedWrite[] = [];
  /** What a test makes it believe of its storage. */
  fullness: Fullness = { what: 'disk', share: 0 };
  logBytes = (): number => 0;
  /** Commits of the state so far. */
  stateCommits = 0;

  /** `before`: what ran here until it crashed. */
  constructor(cluster: TestCluster, id: string, before?: TestCoordinator) {
    const { host } = cluster;
    this.disk = before?.disk ?? new TestDisk();
    this.store = before?.store ?? new MemoryStore();
    const ports: CoordinatorPorts = {
      send: (to, message) => cluster.send(id, to, message),
      persist: (write) => {
        this.#unflushed.push(write);
        if (!this.diskStalled) this.resumeDisk();
      },
      commitState: (writes) => {
        this.store.commit(writes);
        this.stateCommits++;
        this.inputs.push({ kind: 'stateCommitted' });
      },
      reply: (reply) => this.ingress.onReply(reply),
      log: { ...silentLog, warn: (_fields, text) => void this.warnings.push(text) },
      ...(cluster.own.snapshots === undefined ? {} : { snapshots: cluster.own.snapshots }),
    };
    const parts = {
      host,
      ports,
      metrics: this.metrics.coordinator,
      random: Random.stream(7, id),
      log: this.disk,
      store: this.store,
      boot: { hardState: this.disk.hardState, firstIndex: this.disk.firstIndex, lastIndex: this.disk.lastIndex },
      storage: () => this.fullness,
      logBytes: () => this.logBytes(),
    };
    const raft = { nodeId: id, electionMsMin: 300, electionMsMax: 600, heartbeatMs: 50 };
    const config = {
      raft,
      voters: cluster.voters,
      clusterName: 'test',
      newClusterId: `cluster of ${id}`,
      coordinators: cluster.voters.map((voter) => ({ id: voter, address: `${voter}:1` })),
      activeInstancesMax: ACTIVE_INSTANCES_MAX,
      workerLossMs: WORKER_LOSS_MS,
      featureLevel: cluster.own.levels?.get(id) ?? FEATURE_LEVEL,
      ...cluster.own.config,
    };
    this.ingress = new Ingress({
      host,
      random: Random.stream(8, id),
      metrics: this.metrics.coordinator,
      toCore: (input) => this.inputs.push(input),
      clock: () => cluster.now,
    });
    this.core = new Coordinator(config, parts, cluster.now);
  }

  resumeDisk(): void {
    this.diskStalled = false;
    for (const write of this.#unflushed.splice(0)) {
      this.disk.apply(write);
      this.inputs.push({ kind: 'persisted', sequence: write.sequence });
    }
  }
}

export class TestWorker {
  readonly metrics = new CountingMetrics();
  readonly inputs: WorkerInput[] = [];
  readonly node: WorkerNode;
  /** Attempts begun, in order; nothing ends by itself. */
  readonly begun: Body<'TASK_ASSIGN'>[] = [];
  readonly cancelled: number[] = [];

  constructor(cluster: TestCluster, config: WorkerConfig) {
    const ports: WorkerPorts = {
      send: (to, message) => cluster.send(config.workerId, to, message),
      run: (assignment) => this.begun.push(assignment),
      cancel: ({ token }) => this.cancelled.push(token),
      log: silentLog,
    };
    this.node = new WorkerNode(config, ports, this.metrics.worker);
  }

  /** Ends the attempt that began `n`-th. */
  finish(n: number, status = 'ok', output?: Uint8Array): void {
    const attempt = this.begun[n];
    assert(attempt !== undefined, `attempt ${String(n)} has begun`);
    const { instanceId, taskId, token } = attempt;
    const rest = output === undefined ? {} : { output };
    const result = { instanceId, taskId, token, status, ...rest, ...(status === 'ok' ? {} : { error: status }) };
    this.inputs.push({ kind: 'finished', result });
  }
}

export class TestCluster {
  readonly host: Host;
  readonly voters: readonly string[];
  readonly own: ClusterOptions;
  readonly coordinators = new Map<string, TestCoordinator>();
  readonly workers = new Map<string, TestWorker>();
  /** Links that exist, as `a>b`, both directions. */
  readonly #links = new Set<string>();
  #wire: Flying[] = [];
  /** Frames for which this holds are refused by the sender's buffer. */
  bufferFull: (from: string, to: string, message: Message) => boolean = () => false;
  /** Every frame that was sent. */
  readonly sent: Flying[] = [];
  nowMs = 1_000;

  /** `own`: of every coordinator, beside what all tests share. */
  constructor(host: Host, voters: readonly string[], own: ClusterOptions = {}) {
    this.host = host;
    this.voters = voters;
    this.own = own;
    for (const id of voters) this.coordinators.set(id, new TestCoordinator(this, id));
    for (const a of voters) for (const b of voters) if (a < b) this.connect(a, b);
  }

  get now(): Now {
    return { monotonicMs: this.nowMs, wallMs: WALL_OFFSET_MS + this.nowMs };
  }

  at(id: string): TestCoordinator {
    const node = this.coordinators.get(id);
    assert(node !== undefined, `${id} is a coordinator`);
    return node;
  }

  addWorker(workerId: string, types: readonly string[], capacity = 2, more: Partial<WorkerConfig> = {}): TestWorker {
    const named = types.map((name) => ({ name, version: '1' }));
    const session = `${workerId}-1`;
    const worker = new TestWorker(this, { workerId, session, capacity, address: 'here', types: named, ...more });
    this.workers.set(workerId, worker);
    for (const id of this.voters) this.connect(workerId, id);
    return worker;
  }

  /** What was not flushed or committed is gone, with everything in memory. */
  crash(id: string): void {
    this.isolate(id);
    this.coordinators.set(id, new TestCoordinator(this, id, this.at(id)));
    this.rejoin(id);
  }

  // ---- network -----------------------------------------------------------------------------------------------------

  connect(a: string, b: string): void {
    if (this.#links.has(`${a}>${b}`)) return;
    this.#links.add(`${a}>${b}`).add(`${b}>${a}`);
    this.#tell(a, 'peerUp', b);
    this.#tell(b, 'peerUp', a);
  }

  disconnect(a: string, b: string): void {
    if (!this.#links.delete(`${a}>${b}`)) return;
    this.#links.delete(`${b}>${a}`);
    this.#wire = this.#wire.filter(({ from, to }) => !(from === a && to === b) && !(from === b && to === a));
    this.#tell(a, 'peerDown', b);
    this.#tell(b, 'peerDown', a);
  }

  /** Cuts every link of `id`. */
  isolate(id: string): void {
    for (const other of [...this.coordinators.keys(), ...this.workers.keys()]) this.disconnect(id, other);
  }

  rejoin(id: string): void {
    for (const other of [...this.voters, ...this.workers.keys()]) if (other !== id) this.connect(id, other);
  }

  #tell(id: string, kind: 'peerUp' | 'peerDown', peer: string): void {
    const role = this.coordinators.has(peer) || this.voters.includes(peer) ? 'coordinator' : 'worker';
    this.coordinators.get(id)?.inputs.push({ kind, peer, role });
    this.workers.get(id)?.inputs.push({ kind, peer });
  }

  send(from: string, to: string, message: Message): boolean {
    if (!this.#links.has(`${from}>${to}`) || this.bufferFull(from, to, message)) return false;
    const { code, payload } = encodeMessage(this.host, message);
    const decoded = decodeMessage(this.host, code, payload);
    assert(decoded !== undefined, 'a message of ours is known');
    this.#wire.push({ from, to, message: decoded });
    this.sent.push({ from, to, message: decoded });
    return true;
  }

  // ---- time --------------------------------------------------------------------------------------------------------

  /** One turn of every loop: what is on the wire arrives, every driver answers. */
  turn(): void {
    const wire = this.#wire;
    this.#wire = [];
    for (const { from, to, message } of wire) {
      this.coordinators.get(to)?.inputs.push({ kind: 'message', from, message });
      this.workers.get(to)?.inputs.push({ kind: 'message', from, message });
    }
    for (const { core, ingress, inputs } of this.coordinators.values()) {
      ingress.flush();
      for (const input of inputs.splice(0)) core.step(input, this.now);
      core.turn(this.now);
    }
    for (const { node, inputs } of this.workers.values()) {
      for (const input of inputs.splice(0)) node.step(input, this.now);
      node.turn(this.now);
    }
  }

  run(ms: number): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs;) {
      this.nowMs += TICK_MS;
      for (const { inputs } of this.coordinators.values()) inputs.push({ kind: 'tick' });
      for (const { inputs } of this.workers.values()) inputs.push({ kind: 'tick' });
      this.turn();
    }
  }

  /** Runs until `condition` holds; fails after `ms`. */
  until(condition: () => boolean, ms = 20_000): void {
    for (const endMs = this.nowMs + ms; !condition();) {
      assert(this.nowMs < endMs, 'it came about in time');
      this.run(TICK_MS);
    }
  }

  /** The coordinator that leads and serves, elected if there is none yet. */
  leader(): string {
    // One that was cut off may not know yet that it was replaced.
    const serving = (): string | undefined =>
      [...this.coordinators]
        .filter(([, { core }]) => core.serving && core.state.clusterId !== '')
        .sort(([, a], [, b]) => b.core.raft.term - a.core.raft.term)[0]?.[0];
    this.until(() => serving() !== undefined);
    const id = serving();
    assert(id !== undefined, 'a leader serves');
    return id;
  }

  followers(): string[] {
    const leader = this.leader();
    return this.voters.filter((id) => id !== leader);
  }

  // ---- requests ----------------------------------------------------------------------------------------------------

  /** Hands in messages; their outcomes, once all are there. */
  submit(id: string, values: readonly Record<string, unknown>[], key?: string): { outcomes?: readonly ItemOutcome[] } {
    const answer: { outcomes?: readonly ItemOutcome[] } = {};
    const items = values.map((value) => ({
      value,
      payload: encodeText(this.host, JSON.stringify(value)),
      ...(key === undefined ? {} : { idempotencyKey: key }),
    }));
    this.at(id).ingress.submit(items, 'scope', (outcomes) => {
      assert(answer.outcomes === undefined, 'an answer comes once');
      answer.outcomes = outcomes;
    });
    return answer;
  }

  command(id: string, command: Command): { outcome?: CommandOutcome } {
    const answer: { outcome?: CommandOutcome } = {};
    this.at(id).ingress.command(command, ANONYMOUS, (outcome) => {
      assert(answer.outcome === undefined, 'an answer comes once');
      answer.outcome = outcome;
    });
    return answer;
  }

  /** A command that must succeed. */
  change(command: Command): void {
    const answer = this.command(this.leader(), command);
    this.until(() => answer.outcome !== undefined);
    assert(answer.outcome !== undefined && 'result' in answer.outcome, `${command.kind} succeeds`);
  }

  query(id: string, query: Query, consistency: Consistency = 'linearizable'): { outcome?: QueryOutcome } {
    const answer: { outcome?: QueryOutcome } = {};
    this.at(id).ingress.query(query, consistency, (outcome) => {
      assert(answer.outcome === undefined, 'an answer comes once');
      answer.outcome = outcome;
    });
    return answer;
  }
}
