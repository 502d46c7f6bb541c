/** An operator who drains workers and takes that back, at random. */
import { Random } from '../../base/random.ts';
import type { Roster } from './roster.ts';
import type { World } from './world.ts';

const ORDER_GAP_US = 4_000_000;
const GRACE_MS_MAX = 4_000;
/** After the faults: from one try to take back what is left to the next. */
const TAKE_BACK_US = 1_000_000;

export class FleetAdmin {
  readonly #world: World;
  readonly #roster: Roster;
  readonly #workers: readonly string[];
  readonly #random: Random;
  #stopped = false;

  constructor(world: World, roster: Roster, workers: readonly string[]) {
    this.#world = world;
    this.#roster = roster;
    this.#workers = workers;
    this.#random = Random.stream(world.seed, 'fleet admin');
  }

  start(): void {
    if (!this.#world.plan.drainsWorkers) return;
    this.#world.queue.after(this.#random.integer(0, 2 * ORDER_GAP_US), () => {
      if (this.#stopped) return;
      this.#order();
      this.start();
    });
  }

  /** No new orders, and those that stand are taken back, as often as it takes. */
  stop(): void {
    this.#stopped = true;
    this.#takeBack();
  }

  /** Workers that are drained as the leader has it. */
  get drained(): string[] {
    return [...(this.#roster.leader?.coordinator?.state.workers.drains.keys() ?? [])];
  }

  #order(): void {
    const random = this.#random;
    const workerId = random.pick(this.#workers);
    const isDrain = random.chance(0.6);
    const graceMs = random.integer(0, GRACE_MS_MAX);
    this.#world.trace.note('', `${isDrain ? 'drain' : 'undrain'} ${workerId}`);
    this.#roster.leader?.administer(
      isDrain ? { kind: 'orderDrain', workerId, graceMs } : { kind: 'endDrain', workerId },
    );
  }

  #takeBack(): void {
    if (!this.#world.plan.drainsWorkers) return;
    for (const workerId of this.drained) this.#roster.leader?.administer({ kind: 'endDrain', workerId });
    this.#world.queue.after(TAKE_BACK_US, () => this.#takeBack());
  }
}
