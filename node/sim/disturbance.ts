/**
 * One thing that goes wrong, for a while. It draws from a stream of its own, so that leaving one out (as the shrinker
 * does) moves no other.
 */
import type { Random } from '../../base/random.ts';
import { blocked, type Direction, type Partition } from './partitions.ts';
import type { Fault } from './plan.ts';
import type { SimCoordinator } from './sim-coordinator.ts';
import type { SimWorker } from './sim-worker.ts';
import type { World } from './world.ts';

const HOUR_MS = 3_600_000;
const SECOND_US = 1_000_000;
const REPLAYED_MAX = 50;

export class Disturbance {
  readonly #world: World;
  readonly #coordinators: readonly SimCoordinator[];
  readonly #workers: readonly SimWorker[];
  readonly #random: Random;
  /** Everything is being healed: what was begun must not be gone on with, nor be ended a second time. */
  readonly #isOver: () => boolean;

  constructor(
    world: World,
    coordinators: readonly SimCoordinator[],
    workers: readonly SimWorker[],
    random: Random,
    isOver: () => boolean,
  ) {
    this.#world = world;
    this.#coordinators = coordinators;
    this.#workers = workers;
    this.#random = random;
    this.#isOver = isOver;
  }

  cause(fault: Fault): void {
    const random = this.#random;
    const { network } = this.#world;
    const node = random.pick(this.#coordinators);
    switch (fault) {
      case 'crash':
        this.#crash(node);
        break;
      case 'crash in a write':
        node.crashInWrite = () => this.#crash(node);
        break;
      case 'crash after a vote':
        // Back at once: others of that term may still ask.
        for (const one of this.#coordinators) one.crashAfterVote = () => this.#crash(one, 20_000);
        break;
      case 'power loss':
        for (const one of this.#coordinators) this.#losePower(one);
        break;
      case 'crash, then power loss':
        // What the first left in the page cache only, the second takes away.
        this.#crash(node, 20_000);
        this.#later(random.integer(20_000, 60_000), () => this.#losePower(node));
        break;
      case 'rolling restart':
        this.#restartAll([...this.#coordinators]);
        break;
      case 'pause':
        node.process.pause(this.#durationUs(60));
        network.pausedFor(node.id);
        break;
      case 'slow loop':
        node.slowTurnUsMax = random.integer(20_000, SECOND_US);
        this.#later(this.#durationUs(20), () => (node.slowTurnUsMax = 0));
        break;
      case 'clock jump':
        node.clock.jump(random.integer(-HOUR_MS, HOUR_MS));
        break;
      case 'clock freeze':
        node.clock.freeze(this.#durationUs(20));
        break;
      case 'reset':
        network.reset(node.id, random.pick(this.#others(node.id)));
        break;
      case 'replay':
        network.replay(random.integer(1, REPLAYED_MAX), random);
        break;
      case 'slow network':
        this.#slowNetwork();
        break;
      case 'log stall':
      case 'state stall':
      case 'disk error':
      case 'full disk':
      case 'bit flip':
        this.#disturbDisk(fault, node);
        break;
      case 'isolate':
      case 'isolate leader':
      case 'split':
      case 'one way':
      case 'bridge':
      case 'ring':
      case 'flapping':
        this.#partition(fault, node);
        break;
      default:
        this.#disturbWorker(fault, random.pick(this.#workers));
    }
  }

  #disturbDisk(
    fault: 'log stall' | 'state stall' | 'disk error' | 'full disk' | 'bit flip',
    node: SimCoordinator,
  ): void {
    const { logDisk, stateDisk } = node;
    switch (fault) {
      case 'log stall':
        logDisk.flusher.stall(this.#durationUs(60), () => this.#crash(node));
        break;
      case 'state stall':
        stateDisk.flusher.stall(this.#durationUs(60));
        break;
      case 'disk error': {
        const disk = this.#random.chance(0.7) ? logDisk : stateDisk;
        disk.flusher.failNext(() => this.#crash(node));
        break;
      }
      case 'full disk':
        stateDisk.room = this.#random.chance(0.5) ? 'none' : 'none to install';
        this.#later(this.#durationUs(20), () => (stateDisk.room = 'enough'));
        break;
      case 'bit flip':
        if (!logDisk.flipBit(this.#random)) break;
        // Until an operator brings the entry back (from the mirror of the disk, say), the node is of no use.
        if (this.#random.chance(0.5)) this.#crash(node);
        this.#later(this.#durationUs(20), () => {
          logDisk.repair();
          this.#start(node);
        });
        break;
    }
  }

  #disturbWorker(fault: Extract<Fault, `worker ${string}`>, worker: SimWorker): void {
    const { network } = this.#world;
    switch (fault) {
      case 'worker crash':
        worker.crash();
        this.#later(this.#durationUs(15), () => this.#start(worker));
        break;
      case 'worker pause':
        worker.process.pause(this.#durationUs(60));
        network.pausedFor(worker.id);
        break;
      case 'worker cut': {
        const peers = this.#random.chance(0.5) ? this.#coordinators : [this.#random.pick(this.#coordinators)];
        this.#block(peers.flatMap(({ id }) => [[id, worker.id] as const, [worker.id, id] as const]));
        break;
      }
      case 'worker drain':
        worker.drain();
        this.#awaitLeft(worker, 20);
        break;
    }
  }

  /** A drained worker's process ends once it has reported everything, and comes back later. */
  #awaitLeft(worker: SimWorker, looks: number): void {
    this.#later(SECOND_US / 2, () => {
      if (worker.node?.left !== true && looks > 0) {
        this.#awaitLeft(worker, looks - 1);
        return;
      }
      if (worker.node?.left === true) this.#world.counters.add('worker left cleanly');
      worker.crash();
      this.#later(this.#durationUs(5), () => this.#start(worker));
    });
  }

  #start(process: SimWorker | SimCoordinator): void {
    if (!process.process.alive) process.boot();
  }

  #crash(node: SimCoordinator, downUsMax?: number): void {
    this.#down(node, downUsMax, () => node.crash());
  }

  #losePower(node: SimCoordinator): void {
    this.#down(node, undefined, () => node.losePower());
  }

  #down(node: SimCoordinator, downUsMax: number | undefined, end: () => void): void {
    // Asked for before, and come to pass after healing, when nothing would start it again.
    if (this.#isOver()) return;
    end();
    // Some are back before anybody has noticed.
    const shortUs = downUsMax ?? (this.#random.chance(0.3) ? 60_000 : undefined);
    const downUs = shortUs === undefined ? this.#durationUs(10) : this.#random.integer(1_000, shortUs);
    this.#later(downUs, () => this.#start(node));
  }

  /** One after the other, as an upgrade does it: whoever leads hands over first. */
  #restartAll([node, ...rest]: readonly SimCoordinator[]): void {
    if (node === undefined) return;
    const raft = node.coordinator?.raft;
    const target = raft?.membership.voters.find((id) => id !== node.id);
    if (raft?.role === 'leader' && target !== undefined) {
      const order = { kind: 'transferLeadership', requestId: 0, target } as const;
      node.administer(order);
    }
    this.#later(this.#random.integer(0, 500_000), () => {
      this.#crash(node, SECOND_US);
      this.#later(this.#random.integer(500_000, 3 * SECOND_US), () => this.#restartAll(rest));
    });
  }

  #slowNetwork(): void {
    const { network } = this.#world;
    network.plan = { ...network.plan, spike: 0.3, spikeUs: this.#random.integer(10_000, SECOND_US) };
    this.#later(this.#durationUs(10), () => {
      network.plan = {
        ...network.plan,
        spike: this.#world.plan.network.spike,
        spikeUs: this.#world.plan.network.spikeUs,
      };
    });
  }

  #partition(fault: Partition, picked: SimCoordinator): void {
    const leader = this.#coordinators.find(({ coordinator }) => coordinator?.raft.role === 'leader');
    const node = fault === 'isolate leader' ? (leader ?? picked) : picked;
    const ids = this.#coordinators.map(({ id }) => id);
    const workers = this.#workers.map(({ id }) => id);
    const directions = blocked(fault, node.id, ids, workers, this.#random);
    if (fault === 'flapping') this.#flap(directions, this.#random.integer(4, 30));
    else this.#block(directions);
  }

  /** Comes and goes, faster than anybody notices, or just so that somebody does. */
  #flap(directions: readonly Direction[], changes: number): void {
    const { network } = this.#world;
    for (const [from, to] of directions) {
      if (changes % 2 === 0) network.block(from, to);
      else network.unblock(from, to);
    }
    if (changes === 0) for (const [from, to] of directions) network.unblock(from, to);
    else this.#later(this.#random.integer(20_000, 2 * SECOND_US), () => this.#flap(directions, changes - 1));
  }

  #block(directions: readonly Direction[]): void {
    const { network } = this.#world;
    for (const [from, to] of directions) network.block(from, to);
    this.#later(this.#durationUs(20), () => {
      for (const [from, to] of directions) network.unblock(from, to);
    });
  }

  #others(id: string): string[] {
    return [...this.#coordinators, ...this.#workers].map((one) => one.id).filter((other) => other !== id);
  }

  /** Mostly short, at most `secondsMax`. */
  #durationUs(secondsMax: number): number {
    const share = this.#random.fraction();
    return Math.floor(100_000 + share * share * secondsMax * SECOND_US);
  }

  #later(delayUs: number, run: () => void): void {
    this.#world.queue.after(delayUs, () => {
      if (!this.#isOver()) run();
    });
  }
}
