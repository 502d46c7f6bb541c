/** Makes things go wrong, at random times, each for a while; `heal()` ends it all. */
import { Random } from '../../base/random.ts';
import { Disturbance } from './disturbance.ts';
import { CALM_NETWORK } from './plan.ts';
import type { SimCoordinator } from './sim-coordinator.ts';
import type { SimWorker } from './sim-worker.ts';
import type { World } from './world.ts';

export class Nemesis {
  readonly #world: World;
  readonly #coordinators: readonly SimCoordinator[];
  readonly #workers: readonly SimWorker[];
  readonly #random: Random;
  #stopped = false;
  #count = 0;

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
      this.#next();
      this.start();
    });
  }

  #next(): void {
    const { seed, plan, trace, counters } = this.#world;
    const fault = this.#random.pick(plan.faults);
    const number = this.#count++;
    if (plan.onlyFaults?.includes(number) === false) return;
    trace.note('', `fault: ${fault}`, `(${number})`);
    counters.add(`fault: ${fault}`);
    const random = Random.stream(seed, `fault ${number}`);
    new Disturbance(this.#world, this.#coordinators, this.#workers, random, () => this.#stopped).cause(fault);
  }

  /** No new faults, and nothing more of those there were. */
  stop(): void {
    this.#stopped = true;
  }

  /** How many faults there were, those left out among them. */
  get count(): number {
    return this.#count;
  }

  /** Everything runs and is connected; `apart`: coordinators that stay down. */
  heal(apart: ReadonlySet<string>): void {
    const { network, plan } = this.#world;
    network.unblockAll();
    network.plan = { ...plan.network, ...CALM_NETWORK };
    for (const node of this.#coordinators) {
      node.heal();
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
}
