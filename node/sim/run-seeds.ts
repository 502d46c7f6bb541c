/** Runs seeds one after the other and sums up what they reached. */
import { Counters } from './counters.ts';
import type { Outcome, Simulated } from './outcome.ts';
import { runSeed } from './simulation.ts';
import type { Check } from './violation.ts';

export interface SeedsOptions {
  from: number;
  count: number;
  /** The first so many seeds run twice: both runs must be the same. */
  twice: number;
  /** Stop beginning seeds after this. */
  minutes: number | undefined;
  /** Stop at the first seed that this check fails. */
  stopAt: Check | undefined;
  /** Of several processes, this one takes every `jobs`th seed. Absent: all of them. */
  share?: { job: number; jobs: number };
}

export interface Failure {
  seed: number;
  check: Check | 'determinism';
  detail: string;
}

export interface Summary {
  seeds: number;
  /** So many of them ran twice. */
  twice: number;
  virtualSeconds: number;
  nodeSeconds: number;
  realSeconds: number;
  counts: Record<string, number>;
  failures: Failure[];
}

const RARE_STATES = [
  ...['leader elected', 'two leaders of different terms at once', 'log suffix replaced', 'connection idle'],
  ...[
    'crash lost log writes',
    'crash kept unflushed log writes',
    'crash lost a state commit',
    'crash kept an unflushed state commit',
  ],
  ...[
    'restart with entries to apply again',
    'same key twice at once',
    'client tries again',
    'outcome unknown to the client',
  ],
  ...[
    'read refused',
    'stale result',
    'task redispatched',
    'task retried',
    'task TIMED_OUT',
    'plugin hangs',
    'worker left cleanly',
    'drained worker handed back',
  ],
  ...['damaged entry found', 'power loss took log writes from the page cache', 'TIMEOUT_NOW lost'],
  ...['leader with a stalled disk deposed', 'learner promoted under a partition'],
  ...['joint membership committed', 'membership committed', 'leader removed'],
  ...['feature level raised', 'feature level raised in an upgrade', 'stopped as an earlier release'],
  ...['snapshot installed', 'snapshot installed with a joint membership in the log'],
  ...[
    'no room for a snapshot at its sender',
    'no room for a snapshot at its receiver',
    'no room to install a snapshot',
  ],
  ...['swept messages', 'swept instances'],
  ...['instance COMPLETED', 'instance FAILED', 'instance TIMED_OUT', 'instance CANCELLED'],
] as const;

/** Coordinators, workers and clients; that of the membership is in `swim/swim-seed.ts`. */
export const CLUSTER: Simulated = { runSeed, rareStates: RARE_STATES };

export function runSeeds({ runSeed }: Simulated, options: SeedsOptions, onSeed: (report: Outcome) => void): Summary {
  const startedMs = performance.now();
  const counters = new Counters();
  const { job, jobs } = options.share ?? { job: 0, jobs: 1 };
  const summary = { seeds: 0, twice: 0, virtualSeconds: 0, nodeSeconds: 0 };
  const failures: Failure[] = [];
  for (let seed = options.from + job; seed < options.from + options.count; seed += jobs) {
    if (options.minutes !== undefined && performance.now() - startedMs >= options.minutes * 60_000) break;
    const report = runSeed(seed);
    onSeed(report);
    summary.seeds++;
    summary.virtualSeconds += report.virtualSeconds;
    summary.nodeSeconds += report.nodeSeconds;
    for (const [name, count] of report.counts) counters.add(name, count);
    if (report.failure !== undefined) failures.push({ seed, ...report.failure });
    if (seed < options.from + options.twice) {
      const again = runSeed(seed);
      summary.twice++;
      summary.nodeSeconds += again.nodeSeconds;
      if (again.traceHash !== report.traceHash) {
        failures.push({
          seed,
          check: 'determinism',
          detail: `two runs differ: ${report.traceHash} and ${again.traceHash}`,
        });
      }
    }
    if (options.stopAt !== undefined && report.failure?.check === options.stopAt) break;
  }
  const realSeconds = (performance.now() - startedMs) / 1_000;
  return { ...summary, realSeconds, counts: Object.fromEntries(counters.counts), failures };
}

export function describe({ rareStates }: Simulated, summary: Summary): string[] {
  const { seeds, twice, virtualSeconds, nodeSeconds, realSeconds, counts, failures } = summary;
  const part = (names: readonly string[]): string => names.map((name) => `${name} ${counts[name] ?? 0}`).join(', ');
  const faults = Object.keys(counts)
    .filter((name) => name.startsWith('fault: '))
    .sort();
  const reached = rareStates.filter((name) => (counts[name] ?? 0) > 0);
  const missed = rareStates.filter((name) => (counts[name] ?? 0) === 0);
  const rate = Math.round(nodeSeconds / realSeconds);
  return [
    `faults: ${part(faults).replaceAll('fault: ', '')}`,
    `reached: ${part(reached)}`,
    ...(missed.length > 0 ? [`not reached: ${missed.join(', ')}`] : []),
    `${seeds} seeds (${twice} of them twice), ${Math.round(virtualSeconds)} simulated seconds, ${Math.round(nodeSeconds)} node-seconds in ` +
      `${realSeconds.toFixed(1)} s (${rate} node-seconds a second), ${failures.length} failed`,
  ];
}
