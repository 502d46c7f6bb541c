/** What a seed is made of: sizes, timings, and which faults exist at all in it (swarm testing, Groce et al. 2012). */
import { Random } from '../../base/random.ts';
import type { RetentionLimits } from '../sweeper.ts';
import type { NetworkPlan } from './sim-network.ts';
import { PARTITIONS } from './partitions.ts';
import type { DiskPlan } from './sim-disk.ts';

export const FAULTS = [
  ...(['crash', 'crash in a write', 'crash after a vote', 'power loss', 'crash, then power loss'] as const),
  ...(['rolling restart', 'pause', 'slow loop', 'clock jump', 'clock freeze'] as const),
  ...(['log stall', 'state stall', 'disk error', 'full disk', 'bit flip'] as const),
  ...PARTITIONS,
  ...(['reset', 'replay', 'slow network'] as const),
  ...(['worker crash', 'worker pause', 'worker cut', 'worker drain'] as const),
] as const;
export type Fault = (typeof FAULTS)[number];

/** Virtual time with faults on. */
const FAULTY_US = 120_000_000;

export interface Plan {
  faultyUs: number;
  coordinators: number;
  workers: number;
  timing: { electionMsMin: number; electionMsMax: number; heartbeatMs: number };
  faults: readonly Fault[];
  faultGapUs: number;
  /** Of a scenario: only these of the faults there would be happen, counted from 0. */
  onlyFaults?: readonly number[];
  network: NetworkPlan;
  logDisk: DiskPlan;
  stateDisk: DiskPlan;
  /** Monotonic clocks run up to this share too fast or too slow. */
  drift: number;
  skewMs: number;
  /** Mean time between messages and between reads. */
  messageGapUs: number;
  readGapUs: number;
  workerCapacity: number;
  taskMsMax: number;
  /** Only a majority is healed first, and must make progress without the rest. */
  majorityFirst: boolean;
  /** An operator changes the members; so many more coordinators stand by. */
  changesMembers: boolean;
  spares: number;
  /** An operator drains workers, and takes that back. */
  drainsWorkers: boolean;
  logKept: { entriesTrigger: number; entriesKept: number; bytesMax: number };
  /** This share of the coordinators begins as an earlier release, and is upgraded at some restart. Absent: 0. */
  earlierRelease?: number;
  /** Absent: everything is kept. */
  retention?: RetentionLimits;
}

export const CALM_NETWORK = { spike: 0, spikeUs: 0, loss: 0, duplicate: 0, reorder: 0 } as const;

/** The profiles of the node, and one that makes elections collide. */
const DEFAULT_TIMING = { electionMsMin: 1_000, electionMsMax: 2_000, heartbeatMs: 100 };
const FAST_TIMINGS = [
  { electionMsMin: 150, electionMsMax: 300, heartbeatMs: 50 },
  // Often, not always: with less than a few ticks of difference two voters could campaign against each other for ever.
  { electionMsMin: 200, electionMsMax: 250, heartbeatMs: 50 },
];

export function makePlan(seed: number): Plan {
  const random = Random.stream(seed, 'plan');
  const coordinators = random.pick([1, 3, 3, 3, 3, 5, 5, 7]);
  const isFast = random.chance(0.3);
  const rare = (): number => (random.chance(0.5) ? 0 : random.pick([0.002, 0.02, 0.1]));
  const isWide = !isFast && random.chance(0.2);
  const workerCapacity = random.pick([1, 2, 8]);
  const flushUsMax = random.pick([500, 3_000, 20_000]);
  const plan: Plan = {
    faultyUs: FAULTY_US,
    coordinators,
    workers: random.integer(1, 3),
    timing: isFast ? random.pick(FAST_TIMINGS) : DEFAULT_TIMING,
    faults: FAULTS.filter(() => random.chance(0.6)),
    faultGapUs: random.pick([1_000_000, 3_000_000, 8_000_000]),
    network: {
      delayUsMin: isWide ? 5_000 : 50,
      delayUsMax: isWide ? 60_000 : random.pick([300, 3_000]),
      spike: random.pick([0, 0.001, 0.02]),
      spikeUs: random.pick([20_000, 500_000]),
      loss: rare(),
      duplicate: random.pick([0, 0.01, 0.3]),
      reorder: rare(),
    },
    logDisk: { flushUsMin: 100, flushUsMax },
    stateDisk: { flushUsMin: 200, flushUsMax: flushUsMax * 2 },
    drift: random.pick([0, 0.01, 0.2]),
    skewMs: random.pick([0, 500, 60_000]),
    messageGapUs: random.pick(workerCapacity === 1 || isWide ? [600_000, 1_500_000] : [200_000, 500_000, 1_500_000]),
    readGapUs: random.pick([150_000, 400_000]),
    workerCapacity,
    taskMsMax: random.pick([50, 500, 2_000]),
    majorityFirst: random.chance(0.5),
    drainsWorkers: Random.stream(seed, 'fleet plan').chance(0.3),
    ...membersPlan(Random.stream(seed, 'members plan'), coordinators),
    earlierRelease: Random.stream(seed, 'releases plan').pick([0, 0, 0.5, 1]),
  };
  const retention = Random.stream(seed, 'retention plan');
  return retention.chance(0.3) ? forgetful(retention, plan) : plan;
}

/**
 * By age, by number, or by both; messages may go before the instances they made. The age of a message is told by the
 * clock of whoever took it: in a simulation that keeps seconds, where others keep days, clocks must be right.
 */
function forgetful(random: Random, plan: Plan): Plan {
  const kept = () => ({
    ageMs: random.pick([15_000, 30_000, 60_000]),
    count: random.pick([0, 20, Number.MAX_SAFE_INTEGER]),
  });
  return {
    ...plan,
    faults: plan.faults.filter((fault) => fault !== 'clock jump' && fault !== 'clock freeze'),
    drift: Math.min(plan.drift, 0.01),
    skewMs: Math.min(plan.skewMs, 500),
    retention: { messages: kept(), instances: kept() },
  };
}

function membersPlan(random: Random, coordinators: number): Pick<Plan, 'changesMembers' | 'spares' | 'logKept'> {
  const changesMembers = random.chance(0.5);
  const spares = changesMembers ? (coordinators < 5 ? random.integer(1, 3) : 1) : 0;
  const entriesKept = random.pick([1, 10, 50]);
  const entriesTrigger = entriesKept + random.pick([5, 50, 500]);
  const bytesMax = random.pick([20_000, 1_000_000_000]);
  return { changesMembers, spares, logKept: { entriesTrigger, entriesKept, bytesMax } };
}
