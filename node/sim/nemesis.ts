/** Makes things go wrong, at random times, each for a while; `heal()` ends it all. */
import { Random } from '../../base/random.ts';
import type { Fault } from './plan.ts';
import { CALM_NETWORK } from './plan.ts';
import type { SimCoordinator } from './sim-coordinator.ts';
import type { SimWorker } from './sim-worker.ts';
import type { World } from './world.ts';

const HOUR_MS = 3_600_000;
const SECOND_US = 1_000_000;

export class Nemesis {
  readonly #world: World;
  readonly #coordinators: readonly SimCoordinator[];
  readonly #workers: readonly SimWorker[];
  readonly #random: Random;
  #stopped = false;

  constructor(world: World, coordinators: readonly SimCoordinator[], workers: readonly SimWorker[]) {
    this.#world = world;
    this.#coordinators = coordinators;
    this.#workers = workers;
    this.#random = Random.stream(world.seed, 'nemesis');
  }

  start(): void {
    const { faults, faultGapUs } = this.#world.plan;
    if (faults.length === 0) return;
    this.#world.queue.after(this.#random.integer(0, 2 * faultGapUs), () => {
      if (this.#stopped) return;
      const fault = this.#random.pick(faults);
      this.#world.trace.note('', `fault: ${fault}`);
      this.#world.counters.add(`fault: ${fault}`);
      this.#cause(fault);
      this.start();
    });
  }

  /** No new faults. */
  stop(): void {
    this.#stopped = true;
  }

  /** Everything runs and is connected; `apart`: coordinators that stay down. */
  heal(apart: ReadonlySet<string>): void {
    const { network, plan } = this.#world;
    network.unblockAll();
    network.plan = { ...plan.network, ...CALM_NETWORK };
    for (const node of this.#coordinators) {
      node.logDisk.flusher.heal();
      node.stateDisk.flusher.heal();
      node.crashInWrite = undefined;
      node.crashAfterVote = undefined;
      node.process.resume();
      if (apart.has(node.id)) node.crash();
      else if (!node.process.alive) node.boot();
    }
    for (const worker of this.#workers) {
      worker.calm = true;
      worker.process.resume();
      if (worker.draining) worker.crash();
      if (!worker.process.alive) worker.boot();
    }
  }

  #cause(fault: Fault): void {
    const random = this.#random;
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
        for (const one of this.#coordinators) this.#crash(one);
        break;
      case 'pause':
        node.process.pause(this.#durationUs(20));
        this.#world.network.pausedFor(node.id);
        break;
      case 'reset':
        this.#world.network.reset(node.id, random.pick(this.#others(node.id)));
        break;
      case 'log stall':
        node.logDisk.flusher.stall(this.#durationUs(10));
        break;
      case 'state stall':
        node.stateDisk.flusher.stall(this.#durationUs(10));
        break;
      case 'clock jump':
        node.clock.jump(random.integer(-HOUR_MS, HOUR_MS));
        break;
      case 'slow network':
        this.#slowNetwork();
        break;
      case 'isolate':
      case 'isolate leader':
      case 'split':
      case 'one way':
      case 'bridge':
        this.#partition(fault, node);
        break;
      default:
        this.#disturbWorker(fault, random.pick(this.#workers));
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
        worker.process.pause(this.#durationUs(20));
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
    // Asked for before, and come to pass after healing, when nothing would start it again.
    if (this.#stopped) return;
    node.crash();
    // Some are back before anybody has noticed.
    const shortUs = downUsMax ?? (this.#random.chance(0.3) ? 60_000 : undefined);
    const downUs = shortUs === undefined ? this.#durationUs(10) : this.#random.integer(1_000, shortUs);
    this.#later(downUs, () => this.#start(node));
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

  #partition(fault: 'isolate' | 'isolate leader' | 'split' | 'one way' | 'bridge', picked: SimCoordinator): void {
    const random = this.#random;
    const ids = this.#coordinators.map(({ id }) => id);
    const leader = this.#coordinators.find(({ coordinator }) => coordinator?.raft.role === 'leader');
    const node = (fault === 'isolate leader' ? (leader ?? picked) : picked).id;
    const rest = ids.filter((id) => id !== node);
    const both = (from: string, to: string): (readonly [string, string])[] => [
      [from, to],
      [to, from],
    ];
    let pairs: (readonly [string, string])[];
    if (fault === 'split') {
      const half = ids.filter(() => random.chance(0.5));
      const other = ids.filter((id) => !half.includes(id));
      pairs = half.flatMap((from) => other.flatMap((to) => both(from, to)));
    } else if (fault === 'one way') {
      pairs = rest.filter(() => random.chance(0.6)).map((id) => (random.chance(0.5) ? [node, id] : [id, node]));
    } else if (fault === 'bridge') {
      // Two sides that both see one node.
      pairs = rest.flatMap((from, i) => rest.slice(i + 1).flatMap((to) => (i % 2 === 0 ? both(from, to) : [])));
    } else {
      pairs = rest.flatMap((id) => both(node, id));
      if (random.chance(0.3)) pairs.push(...this.#workers.flatMap(({ id }) => both(node, id)));
    }
    this.#block(pairs);
  }

  #block(pairs: readonly (readonly [string, string])[]): void {
    const { network } = this.#world;
    for (const [from, to] of pairs) network.block(from, to);
    this.#later(this.#durationUs(20), () => {
      for (const [from, to] of pairs) network.unblock(from, to);
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

  /** Ends what was begun, unless everything is being healed anyway. */
  #later(delayUs: number, run: () => void): void {
    this.#world.queue.after(delayUs, () => {
      if (!this.#stopped) run();
    });
  }
}
