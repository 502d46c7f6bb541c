/** A coordinator process: the shipping loop and ingress over simulated clock, disk and network. */
import { ANONYMOUS } from '../../api/access.ts';
import { encodeCommand } from '../command-codec.ts';
import { Random } from '../../base/random.ts';
import type { SequencedWrite } from '../core/raft/outbox.ts';
import { FEATURE_LEVEL, FEATURE_LEVEL_FIRST, FeatureLevelError } from '../core/state/feature-level.ts';
import type { Writes } from '../core/state/store.ts';
import type { Message } from '../core/tlv/messages.ts';
import { Ingress } from '../ingress.ts';
import { nodeHost } from '../io/host.ts';
import { Coordinator } from '../node.ts';
import type { Input, PeerRole, Reply, SnapshotInput, SnapshotPort } from '../ports.ts';
import type { Command, Gateway } from '../requests.ts';
import type { Observer } from './observer.ts';
import type { SimClock } from './sim-clock.ts';
import { SimLogDisk, SimStateDisk } from './sim-disk.ts';
import type { Endpoint } from './sim-network.ts';
import { SimProcess } from './sim-process.ts';
import { coordinatorMetrics, loopLog } from './sim-telemetry.ts';
import type { World } from './world.ts';

const TICK_US = 20_000;
const WORKER_LOSS_MS = 2_000;
/** Inputs gather for up to this long before the turn that takes them. */
const TURN_DELAY_US_MAX = 300;
const VOTE_CRASH_US_MAX = 5_000;
const SLOW_TURN_US_MAX = 40_000;
/** What the product says of an entry whose checksum is wrong. */
const DAMAGE = 'on disk is intact';
const SNAPSHOT_PIECE_BYTES = 16 * 1024;
/** Over both limits: messages are refused, and task work waits. */
const FULL_SHARE = 0.95;
const NO_ROOM = 'the simulated disk is full';
/** At each restart. */
const UPGRADE_CHANCE = 0.4;
/** Until an operator has installed the release that a node asks for. */
const INSTALL_US_MAX = 5_000_000;

type OrderKind = 'changeMembers' | 'transferLeadership' | 'orderDrain' | 'endDrain';

/** Of an operator's orders: no request of an ingress. */
const ORDER_ID = Number.MAX_SAFE_INTEGER;

interface Running {
  coordinator: Coordinator;
  ingress: Ingress;
  inbox: Input[];
  replies: Reply[];
  turnScheduled: boolean;
}

export class SimCoordinator implements Endpoint {
  readonly id: string;
  readonly role = 'coordinator';
  readonly process: SimProcess;
  readonly clock: SimClock;
  logDisk: SimLogDisk;
  stateDisk: SimStateDisk;
  readonly #world: World;
  #voters: readonly string[];
  readonly #observers: readonly Observer[];
  readonly #random: Random;
  #running: Running | undefined;
  #disks = 1;
  /** That its release supports. */
  featureLevel: number = FEATURE_LEVEL;
  readonly wasEarlier: boolean;
  readonly #logDisks = new Map<string, SimLogDisk>();
  /** Called once when this process is gone: connections to it break. */
  readonly onGone = new Set<() => void>();
  /** Set: called at a random moment of its next write. */
  crashInWrite: (() => void) | undefined;
  /** Set: called just after it has given its next vote. */
  crashAfterVote: (() => void) | undefined;
  /** Set: turns of the loop come up to this late. */
  slowTurnUsMax = 0;
  /** Its last turn was told the time. */
  ticked = false;

  constructor(world: World, id: string, voters: readonly string[], clock: SimClock, observers: readonly Observer[]) {
    const { seed, queue, plan, counters } = world;
    this.#world = world;
    this.id = id;
    this.#voters = voters;
    this.clock = clock;
    this.#observers = observers;
    this.#random = Random.stream(seed, `process:${id}`);
    this.process = new SimProcess(queue);
    this.logDisk = new SimLogDisk(queue, Random.stream(seed, `log disk:${id}`), plan.logDisk, counters);
    this.stateDisk = new SimStateDisk(queue, Random.stream(seed, `state disk:${id}`), plan.stateDisk, counters);
    this.#logDisks.set(this.dataUuid, this.logDisk);
    this.wasEarlier = Random.stream(seed, `release:${id}`).chance(plan.earlierRelease ?? 0);
    if (this.wasEarlier) this.featureLevel = FEATURE_LEVEL_FIRST;
  }

  /** Which disk it has. */
  get dataUuid(): string {
    return `disk ${this.#disks} of ${this.id}`;
  }

  /** The process is gone, and what it had on its disk as well: it comes back with an empty one. */
  loseDisk(): void {
    this.crash();
    const { seed, queue, plan, counters } = this.#world;
    const of = `${this.id}:${++this.#disks}`;
    // Who was born alone must come back with `join` (docs/members.md), or it would be born again.
    if (this.#voters.length === 1) this.#voters = [];
    this.logDisk = new SimLogDisk(queue, Random.stream(seed, `log disk:${of}`), plan.logDisk, counters);
    this.stateDisk = new SimStateDisk(queue, Random.stream(seed, `state disk:${of}`), plan.stateDisk, counters);
    this.#logDisks.set(this.dataUuid, this.logDisk);
    counters.add('fault: disk lost');
  }

  /** The log disk of that name, a lost one as it was then; the one of now for a name that nobody has recorded. */
  logDiskOf(dataUuid: string | undefined): SimLogDisk {
    return (dataUuid === undefined ? undefined : this.#logDisks.get(dataUuid)) ?? this.logDisk;
  }

  get coordinator(): Coordinator | undefined {
    return this.#running?.coordinator;
  }

  get unanswered(): number {
    return this.#running?.ingress.unanswered ?? 0;
  }

  boot(): void {
    const { trace } = this.#world;
    this.process.start();
    const { incarnation } = this.process;
    if (this.featureLevel < FEATURE_LEVEL && incarnation > 1 && this.#random.chance(UPGRADE_CHANCE)) {
      this.featureLevel = FEATURE_LEVEL;
    }
    trace.note(this.id, `start ${incarnation}`);
    // The boot record is written and flushed, and everything before it.
    this.logDisk.sync();
    this.stateDisk.open();
    if (this.#mayStop(() => this.#start())) this.#tick();
  }

  #start(): void {
    const { seed, counters, network } = this.#world;
    const { incarnation } = this.process;
    const metrics = coordinatorMetrics(counters);
    const inbox: Input[] = [];
    const replies: Reply[] = [];
    const coordinator = new Coordinator(
      this.#config(),
      {
        host: nodeHost,
        ports: this.#ports(replies),
        metrics,
        random: Random.stream(seed, `loop:${this.id}:${incarnation}`),
        log: this.logDisk,
        store: this.stateDisk.store,
        boot: this.logDisk.boot,
        logBytes: () => this.logDisk.bytes,
        storage: () => ({ what: 'disk', share: this.stateDisk.room === 'none' ? FULL_SHARE : 0 }),
      },
      this.clock.now(),
    );
    const ingress = new Ingress({
      host: nodeHost,
      random: Random.stream(seed, `ingress:${this.id}:${incarnation}`),
      metrics,
      toCore: (input) => this.#take(input),
      clock: () => this.clock.now(),
    });
    this.#running = { coordinator, ingress, inbox, replies, turnScheduled: false };
    this.#watchApply(coordinator);
    for (const observer of this.#observers) observer.onBoot?.(this);
    network.started(this.id);
  }

  crash(): void {
    if (!this.process.alive) return;
    this.#end('crash');
    this.logDisk.crash();
    this.stateDisk.crash();
  }

  losePower(): void {
    this.#end('power loss');
    this.logDisk.losePower();
    this.stateDisk.losePower();
  }

  /** Whatever is being done to this process ends. */
  heal(): void {
    this.logDisk.flusher.heal();
    this.stateDisk.flusher.heal();
    this.logDisk.repair();
    this.stateDisk.room = 'enough';
    this.clock.heal();
    this.crashInWrite = undefined;
    this.crashAfterVote = undefined;
    this.slowTurnUsMax = 0;
    this.process.resume();
    if (this.featureLevel === FEATURE_LEVEL) return;
    this.featureLevel = FEATURE_LEVEL;
    this.crash();
  }

  #end(why: string): void {
    if (!this.process.alive) return;
    this.#world.trace.note(this.id, why);
    this.process.stop();
    this.#running = undefined;
    this.crashInWrite = undefined;
    this.crashAfterVote = undefined;
    this.#world.network.stopped(this.id);
    const gone = [...this.onGone];
    this.onGone.clear();
    for (const notify of gone) notify();
  }

  /** A node stops with an error that says so when its disk is damaged, or its release too early: false. */
  #mayStop(run: () => void): boolean {
    try {
      run();
      return true;
    } catch (error) {
      if (error instanceof FeatureLevelError && this.featureLevel < FEATURE_LEVEL) {
        this.#world.counters.add('stopped as an earlier release');
        this.#upgrade();
        return false;
      }
      if (!(error instanceof Error) || !error.message.includes(DAMAGE) || !this.logDisk.damaged) throw error;
      this.#world.counters.add('damaged entry found');
      this.crash();
      return false;
    }
  }

  #upgrade(): void {
    this.crash();
    this.featureLevel = FEATURE_LEVEL;
    this.#world.queue.after(this.#random.integer(1_000, INSTALL_US_MAX), () => {
      if (!this.process.alive) this.boot();
    });
  }

  /** A front end of this process calls its gateway; false when the process is not there. */
  call(use: (gateway: Gateway) => void): boolean {
    if (!this.process.alive) return false;
    this.process.deliver(() => {
      if (this.#running === undefined) return;
      use(this.#running.ingress);
      this.#scheduleTurn();
    });
    return true;
  }

  /** An operator's order, if the process is there. */
  administer(command: Extract<Command, { kind: OrderKind }>): void {
    const { kind: commandKind, bytes } = encodeCommand(nodeHost, command, ANONYMOUS);
    const input: Input = { kind: 'propose', requestId: ORDER_ID, commandKind, command: bytes };
    this.process.deliver(() => this.#take(input));
  }

  /** For the checks after the end: takes in what is there without waiting for the scheduled turn. */
  turnNow(): void {
    if (this.#running !== undefined) this.#turn(this.#running);
  }

  onMessage(from: string, message: Message, dataUuid: string | undefined): void {
    for (const observer of this.#observers) observer.onReceive?.(this, from, message);
    this.#take({ kind: 'message', from, message, dataUuid });
  }

  onPeerUp(peer: string, role: PeerRole, dataUuid: string | undefined): void {
    this.#take({ kind: 'peerUp', peer, role, dataUuid });
  }

  onPeerDown(peer: string, role: PeerRole): void {
    this.#take({ kind: 'peerDown', peer, role });
  }

  #config() {
    const { plan } = this.#world;
    return {
      raft: { nodeId: this.id, dataUuid: this.dataUuid, ...plan.timing },
      voters: this.#voters,
      clusterName: 'simulated',
      newClusterId: `made by ${this.id}`,
      coordinators: this.#voters.map((id) => ({ id, address: `${id}:1` })),
      activeInstancesMax: 10_000,
      workerLossMs: WORKER_LOSS_MS,
      logKept: plan.logKept,
      featureLevel: this.featureLevel,
      ...(plan.retention === undefined ? {} : { retention: plan.retention }),
    };
  }

  #ports(replies: Reply[]) {
    return {
      send: (to: string, message: Message) => {
        for (const observer of this.#observers) observer.onSend?.(this, to, message);
        // A candidate votes for itself.
        const isVote =
          message.kind === 'REQUEST_VOTE' || (message.kind === 'REQUEST_VOTE_RESPONSE' && message.body.granted);
        if (isVote && this.crashAfterVote !== undefined && this.#random.chance(0.5)) {
          this.#world.queue.after(this.#random.integer(0, VOTE_CRASH_US_MAX), this.crashAfterVote);
          this.crashAfterVote = undefined;
        }
        return this.#world.network.send(this.id, to, message);
      },
      persist: (write: SequencedWrite) => {
        for (const observer of this.#observers) observer.onPersist?.(this, write);
        const { incarnation } = this.process;
        this.logDisk.persist(write, () => {
          this.#durable(incarnation, { kind: 'persisted', sequence: write.sequence });
        });
        this.#crashIfAsked(this.logDisk.flusher.plan.flushUsMax);
      },
      commitState: (writes: Writes) => {
        const { incarnation } = this.process;
        this.stateDisk.commit(writes, () => this.#durable(incarnation, { kind: 'stateCommitted' }));
      },
      reply: (reply: Reply) => void replies.push(reply),
      log: loopLog(this.#world.trace, this.id),
      snapshots: this.#snapshotPort(),
    };
  }

  /** Over the state disk: reading and putting aside take a while, replacing the state is a write among its writes. */
  #snapshotPort(): SnapshotPort {
    const { snapshots } = this.stateDisk;
    const { flushUsMax } = this.#world.plan.stateDisk;
    const later = (answer: () => SnapshotInput | undefined): void => {
      this.process.deliverAfter(this.#random.integer(100, flushUsMax), () => {
        const input = answer();
        if (input !== undefined) this.#take(input);
      });
    };
    /** Further pieces of it may still come. */
    let refusedId: string | undefined;
    const refuse = (snapshotId: string): void => {
      refusedId = snapshotId;
      later(() => ({ kind: 'snapshotRefused', snapshotId, noRoom: NO_ROOM }));
    };
    return {
      take: (snapshotId) => {
        later(() => {
          if (this.stateDisk.room === 'none') return { kind: 'snapshotNotTaken', snapshotId, noRoom: NO_ROOM };
          const taken = snapshots.take(snapshotId);
          return taken === undefined
            ? { kind: 'snapshotNotTaken', snapshotId }
            : { kind: 'snapshotTaken', snapshotId, ...taken };
        });
      },
      read: (snapshotId, offset, bytesMax) => {
        // Small pieces, or no state of a simulation had more than one.
        later(() => {
          const piece = snapshots.read(snapshotId, offset, Math.min(bytesMax, SNAPSHOT_PIECE_BYTES));
          return piece === undefined ? undefined : { kind: 'snapshotRead', snapshotId, offset, ...piece };
        });
      },
      drop: (snapshotId) => snapshots.drop(snapshotId),
      keep: (snapshotId, offset, bytes) => {
        if (offset === 0) refusedId = undefined;
        if (refusedId === snapshotId) return;
        if (this.stateDisk.room === 'none') {
          refuse(snapshotId);
          return;
        }
        const kept = snapshots.keep(snapshotId, offset, bytes);
        later(() => ({ kind: 'snapshotKept', snapshotId, offset: kept }));
      },
      install: (snapshotId, anchor) => {
        if (this.stateDisk.room !== 'enough') {
          this.#world.counters.add('no room to install a snapshot');
          refuse(snapshotId);
          return;
        }
        const { incarnation } = this.process;
        this.#world.counters.add('snapshot installed');
        this.stateDisk.install(snapshotId, anchor, () => {
          this.#durable(incarnation, { kind: 'snapshotInstalled', snapshotId, store: this.stateDisk.store });
        });
        this.#crashIfAsked(this.stateDisk.flusher.plan.flushUsMax);
      },
      abandon: (snapshotId) => snapshots.abandon(snapshotId),
    };
  }

  #crashIfAsked(flushUsMax: number): void {
    if (this.crashInWrite === undefined) return;
    const crash = this.crashInWrite;
    this.crashInWrite = undefined;
    this.#world.queue.after(this.#random.integer(0, 2 * flushUsMax), crash);
  }

  /** A completion of the disk, for the incarnation that wrote. */
  #durable(incarnation: number, input: Input): void {
    if (incarnation !== this.process.incarnation) return;
    this.process.deliver(() => this.#take(input));
  }

  #watchApply(coordinator: Coordinator): void {
    const { state } = coordinator;
    const apply = state.apply.bind(state);
    const reload = state.reload.bind(state);
    state.reload = (store) => {
      reload(store);
      for (const observer of this.#observers) observer.onInstall?.(this);
    };
    state.apply = (entry) => {
      const applied = apply(entry);
      for (const observer of this.#observers) observer.onApply?.(this, entry, applied.events);
      return applied;
    };
  }

  #tick(): void {
    this.process.deliverAfter(TICK_US, () => {
      this.#take({ kind: 'tick' });
      this.#tick();
    });
  }

  #take(input: Input): void {
    this.#running?.inbox.push(input);
    this.#scheduleTurn();
  }

  #scheduleTurn(): void {
    const running = this.#running;
    if (running === undefined || running.turnScheduled) return;
    running.turnScheduled = true;
    const slow = this.#random.chance(0.001) ? SLOW_TURN_US_MAX : TURN_DELAY_US_MAX;
    this.process.deliverAfter(this.#random.integer(0, Math.max(slow, this.slowTurnUsMax)), () => {
      running.turnScheduled = false;
      this.#mayStop(() => {
        if (this.#turn(running)) this.#scheduleTurn();
      });
    });
  }

  /** As the node's driver does it: all inputs so far, one turn, then what it says to the ingress. */
  #turn(running: Running): boolean {
    const { coordinator, ingress, inbox, replies } = running;
    ingress.flush();
    const now = this.clock.now();
    this.ticked = inbox.some(({ kind }) => kind === 'tick');
    for (const input of inbox.splice(0)) coordinator.step(input, now);
    const more = coordinator.turn(now);
    for (const observer of this.#observers) observer.onTurn?.(this);
    for (const reply of replies.splice(0)) ingress.onReply(reply);
    return more;
  }
}
