/** One seed: a cluster, its clients and its faults in virtual time, with every check on. */
import { Random } from '../../base/random.ts';
import { isJoint, membershipOf, members } from '../core/raft/membership.ts';
import { FEATURE_LEVEL } from '../core/state/feature-level.ts';
import { Admin } from './admin.ts';
import { checkContent, checkHistory } from './checks/final-checks.ts';
import { History } from './checks/history.ts';
import { ElectionChecks } from './checks/election-checks.ts';
import { RaftChecks } from './checks/raft-checks.ts';
import { StateChecks } from './checks/state-checks.ts';
import { Client } from './client.ts';
import { FleetAdmin } from './fleet-admin.ts';
import { TASK_TYPES } from './documents.ts';
import { Nemesis } from './nemesis.ts';
import { makePlan, type Plan } from './plan.ts';
import type { Outcome } from './outcome.ts';
import { Roster } from './roster.ts';
import { SimClock } from './sim-clock.ts';
import { SimCoordinator } from './sim-coordinator.ts';
import { SimWorker } from './sim-worker.ts';
import { demand, Violation } from './violation.ts';
import { Workload } from './workload.ts';
import { makeWorld, type World } from './world.ts';

/** After healing, a majority alone must serve within this, and everything be at rest within that. */
const MAJORITY_US = 30_000_000;
const REST_US = 240_000_000;
const LEAVE_US = 20_000_000;
/** Longer than the longest election time-out. */
const CALM_US = 5_000_000;
const LOOK_US = 250_000;
/** More events than any sound run has: the simulation itself spins. */
const EVENTS_MAX = 3_000_000;

export interface SeedReport extends Outcome {
  events: number;
  /** How many faults it had, those left out among them. */
  faults: number;
}

export function runSeed(seed: number, print?: (line: string) => void): SeedReport {
  return runPlan(seed, makePlan(seed), print);
}

/** The same, by a plan that need not be the seed's own. */
export function runPlan(seed: number, plan: Plan, print?: (line: string) => void): SeedReport {
  const world = makeWorld(seed, plan, print);
  if (print !== undefined) print(JSON.stringify(plan));
  const simulation = new Simulation(world);
  let failure: SeedReport['failure'];
  try {
    simulation.run();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    failure =
      error instanceof Violation
        ? { check: error.check, detail: error.message }
        : { check: 'assertion', detail: error.stack ?? error.message };
    world.trace.note('', `FAILED ${failure.check}: ${failure.detail}`);
  }
  const virtualSeconds = world.queue.nowUs / 1e6;
  return {
    seed,
    traceHash: world.trace.hash,
    virtualSeconds,
    nodeSeconds: virtualSeconds * (plan.coordinators + plan.spares + plan.workers),
    events: world.queue.count,
    counts: world.counters.counts,
    faults: simulation.faults,
    failure,
  };
}

class Simulation {
  readonly #world: World;
  readonly #raft: RaftChecks;
  readonly #state: StateChecks;
  readonly #history: History;
  readonly #coordinators: readonly SimCoordinator[];
  readonly #roster: Roster;
  readonly #admin: Admin;
  readonly #fleet: FleetAdmin;
  readonly #workers: readonly SimWorker[];
  readonly #client: Client;
  readonly #workload: Workload;
  readonly #nemesis: Nemesis;
  readonly #random: Random;

  constructor(world: World) {
    const { seed, plan, queue, counters, network } = world;
    this.#world = world;
    this.#random = Random.stream(seed, 'simulation');
    this.#raft = new RaftChecks(counters, () => network.cut);
    const ids = Array.from({ length: plan.coordinators + plan.spares }, (_, i) => `c${i + 1}`);
    const voters = ids.slice(0, plan.coordinators);
    this.#state = new StateChecks(counters, membershipOf(voters));
    this.#history = new History(queue, this.#state);
    const clock = (): SimClock => {
      const rate = 1 + plan.drift * (2 * this.#random.fraction() - 1);
      return new SimClock(queue, rate, this.#random.integer(-plan.skewMs, plan.skewMs));
    };
    const checks = [this.#raft, new ElectionChecks(counters, plan.timing.electionMsMax), this.#state];
    this.#coordinators = ids.map((id) => new SimCoordinator(world, id, voters, clock(), checks));
    this.#workers = Array.from({ length: plan.workers }, (_, i) => {
      // The first worker can do everything; the others most of it.
      const types = TASK_TYPES.filter(() => i === 0 || this.#random.chance(0.7));
      const onTask = this.#state.onTask.bind(this.#state);
      return new SimWorker(world, `w${i + 1}`, types, clock(), onTask);
    });
    for (const one of [...this.#coordinators, ...this.#workers]) network.add(one);
    this.#roster = new Roster(this.#coordinators, membershipOf(voters));
    this.#admin = new Admin(world, this.#roster);
    const workers = this.#workers.map(({ id }) => id);
    this.#fleet = new FleetAdmin(world, this.#roster, workers);
    this.#raft.watch(this.#roster);
    this.#state.watch(this.#coordinators);
    this.#client = new Client(world, this.#roster, Random.stream(seed, 'client'), this.#history);
    this.#workload = new Workload(world, this.#client, this.#history);
    this.#nemesis = new Nemesis(world, this.#coordinators, this.#workers);
  }

  get faults(): number {
    return this.#nemesis.count;
  }

  run(): void {
    const { trace, plan } = this.#world;
    for (const one of [...this.#coordinators, ...this.#workers]) one.boot();
    this.#workload.start();
    this.#nemesis.start();
    this.#admin.start();
    this.#fleet.start();
    this.#runUntil(plan.faultyUs, () => false);
    this.#nemesis.stop();
    this.#admin.stop();
    this.#fleet.stop();
    if (plan.majorityFirst && this.#coordinators.length > 1) this.#majorityAlone();
    trace.note('', 'heal');
    this.#nemesis.heal(new Set());
    this.#workload.stop();
    this.#workload.probe(this.#roster);
    this.#demandWithin(REST_US, () => this.#unrest());
    this.#check();
    this.#stayCalm();
    for (const worker of this.#workers) worker.drain();
    this.#demandWithin(LEAVE_US, () => {
      const held = this.#workers.filter(({ node }) => node?.left !== true).map(({ id }) => id);
      return held.length === 0 ? undefined : `${held.join()} cannot leave: results are not acknowledged`;
    });
  }

  /** Nothing goes wrong any more, so nobody has a reason to campaign: not even who was removed and does not know it. */
  #stayCalm(): void {
    const before = this.#roster.leader?.coordinator?.raft.term;
    this.#runUntil(this.#world.queue.nowUs + CALM_US, () => false);
    const after = this.#roster.leader?.coordinator?.raft.term;
    demand(before === after, 'stableLeader', () => `term ${String(before)} has become ${String(after)}`);
  }

  /** A random majority must do without the others. */
  #majorityAlone(): void {
    this.#world.trace.note('', 'heal a majority');
    const apart = new Set<string>();
    for (let tries = 0; tries < 2 * this.#coordinators.length; tries++) {
      const { id } = this.#random.pick(this.#coordinators);
      if (this.#roster.decides((other) => other !== id && !apart.has(other))) apart.add(id);
    }
    this.#nemesis.heal(apart);
    const before = this.#history.acknowledged.length;
    this.#demandWithin(MAJORITY_US, () => {
      // An order that was still on its way may have changed who a majority is.
      const isOne = this.#roster.decides((id) => !apart.has(id));
      return this.#history.acknowledged.length > before || !isOne
        ? undefined
        : `a majority without ${[...apart].join()} takes no message`;
    });
  }

  #check(): void {
    const nodes = this.#roster.members.filter((node) => !this.#roster.isLost(node));
    checkContent(nodes);
    this.#history.check();
    for (const node of nodes) checkHistory(node, this.#history);
  }

  /** What is not at rest yet; undefined when everything is. */
  #unrest(): string | undefined {
    const leader = this.#coordinators.find(({ coordinator }) => coordinator?.serving === true)?.coordinator;
    if (leader === undefined) return 'no coordinator leads';
    const { lastIndex } = leader.raft.log;
    if (isJoint(leader.raft.membership)) return 'a change of the members is not settled';
    const ids = members(leader.raft.membership);
    // A member whose disk was lost and that nobody replaced holds the level down, as any that is away.
    const mayRaise = !this.#coordinators.some((node) => ids.includes(node.id) && this.#roster.isLost(node));
    for (const node of this.#coordinators) {
      const { id, coordinator, unanswered } = node;
      if (unanswered > 0) return `${id} owes ${unanswered} answers`;
      if (!ids.includes(id) || this.#roster.isLost(node)) continue;
      const applied = coordinator?.state.appliedIndex;
      if (applied !== lastIndex) return `${id} is at ${String(applied)} of ${lastIndex}`;
      const level = coordinator?.state.featureLevel;
      if (mayRaise && level !== FEATURE_LEVEL) return `${id} has feature level ${String(level)}`;
    }
    const { unfinished, open } = this.#client;
    if (unfinished > 0 || open > 0) return `clients wait: ${unfinished} messages, ${open} calls`;
    const { instances, workers } = leader.state;
    if (workers.drains.size > 0) return `${[...workers.drains.keys()].join()} are drained`;
    if (instances.active.size > 0)
      return `${instances.active.size} instances run: ${[...instances.active.keys()].join()}`;
    for (const { id, node } of this.#workers) {
      if (node === undefined || node.registeredWith !== leader.leaderId || !workers.workers.has(id))
        return `${id} is not registered`;
      if (node.running > 0) return `${id} runs attempts that nobody waits for`;
    }
    return undefined;
  }

  #demandWithin(limitUs: number, missing: () => string | undefined): void {
    const untilUs = this.#world.queue.nowUs + limitUs;
    this.#runUntil(untilUs, () => missing() === undefined);
    const left = missing();
    demand(left === undefined, 'progress', () => `${limitUs / 1e6} s after healing: ${String(left)}`);
  }

  #runUntil(untilUs: number, isDone: () => boolean): void {
    const { queue } = this.#world;
    let lookUs = queue.nowUs;
    while (queue.runNext(untilUs)) {
      if (queue.count > EVENTS_MAX) throw new Violation('progress', 'events without end');
      if (queue.nowUs < lookUs) continue;
      if (isDone()) return;
      lookUs = queue.nowUs + LOOK_US;
    }
  }
}
