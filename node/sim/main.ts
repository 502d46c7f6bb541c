/**
 * The simulator's program: `npm run sim -- [--seeds N] [--from S] [--minutes M] [--twice N] [--jobs N] [--json FILE]`,
 * `--swim` for the membership alone, `--members N` for its figures,
 * `--seed S [--verbose]` for one seed, `--shrink FILE` to reduce it to a scenario, `--scenario FILE` to replay that, `--mutants` for all planted bugs, `--mutant NAME` for one.
 */
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { plant } from './mutant-loader.ts';
import { MUTANTS } from './mutants.ts';
import type { EndedSeed } from './seeds-part.ts';
import { loadSimulation, type SimulationName } from './simulations.ts';
import { isSwimCheck } from './violation.ts';

const USAGE = `usage: npm run sim -- [FLAGS]
  --seeds N, --from S     run N seeds (default 1) from S on; --twice N of them twice, --minutes M at most, --json FILE,
                          in --jobs N processes (default: one for each core)
  --seed S [--verbose]    one seed, with all that happens in it
  --seed S --shrink FILE  reduce a seed that fails to a scenario; --scenario FILE replays it
  --mutants, --mutant M   look for planted bugs, all or one
  --swim [FLAGS]          the membership alone: its seeds, with the flags above, or its figures for 100 and 1,000 members
  --swim --members N      figures for that many (more sizes by commas); --hours H: at least so many member-hours a row`;

const TWICE_DEFAULT = 20;
const SHRINK_MINUTES = 5;
/** Most are found in the first ten; a few need a rare meeting of faults. */
const MUTANT_SEEDS = 3_000;
/** So many seeds reach every rare state, or the simulation has gone blind somewhere. */
const SEEDS_THAT_REACH_ALL = 300;

const { values: flags } = parseFlags({
  options: {
    seeds: { type: 'string' },
    from: { type: 'string' },
    seed: { type: 'string' },
    minutes: { type: 'string' },
    twice: { type: 'string' },
    jobs: { type: 'string' },
    json: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
    mutant: { type: 'string' },
    shrink: { type: 'string' },
    scenario: { type: 'string' },
    swim: { type: 'boolean', default: false },
    members: { type: 'string' },
    hours: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (flags.help) console.log(USAGE);
else if (flags.mutants) await allMutants();
else {
  // The bug is planted before anything of the product is loaded.
  if (flags.mutant !== undefined) await plantByName(flags.mutant);
  if (flags.scenario !== undefined) await replay(flags.scenario);
  else if (flags.shrink !== undefined && flags.seed !== undefined) await reduce(Number(flags.seed), flags.shrink);
  else if (flags.verbose && flags.seed !== undefined) await oneSeed(Number(flags.seed));
  else {
    const isFigures = flags.swim && flags.seeds === undefined && flags.seed === undefined && flags.mutant === undefined;
    if (!isFigures) await seeds();
    if (isFigures || flags.members !== undefined) await figures();
  }
}

/** Says in one line what is wrong with the flags. */
function parseFlags<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exit(2);
  }
}

async function plantByName(name: string): Promise<void> {
  const mutant = MUTANTS.find((one) => one.name === name);
  if (mutant === undefined)
    throw new Error(`there is no mutant ${name}; there are ${MUTANTS.map((one) => one.name).join(', ')}`);
  plant(mutant);
  const { askOnly } = await import('./violation.ts');
  askOnly(mutant.check);
}

function simulationName(): SimulationName {
  const mutant = MUTANTS.find(({ name }) => name === flags.mutant);
  return flags.swim || (mutant !== undefined && isSwimCheck(mutant.check)) ? 'swim' : 'cluster';
}

async function figures(): Promise<void> {
  const { printFigures } = await import('./swim/figure-table.ts');
  const sizes = flags.members?.split(',').map(Number);
  const isGood = printFigures({ sizes, hours: flags.hours === undefined ? undefined : Number(flags.hours) }, (line) =>
    console.log(line),
  );
  if (!isGood) process.exitCode = 1;
}

async function oneSeed(seed: number): Promise<void> {
  const { runSeed } = await loadSimulation(simulationName());
  const report = runSeed(seed, (line) => console.log(line));
  printFailure(report);
  if (report.failure !== undefined) process.exitCode = 1;
}

async function replay(file: string): Promise<void> {
  const { readScenario, runScenario } = await import('./scenario.ts');
  const report = runScenario(readScenario(file), flags.verbose ? (line) => console.log(line) : undefined);
  printFailure(report, `--scenario ${file}`);
  console.log(report.failure === undefined ? 'the scenario passes' : 'the scenario fails');
  if (report.failure !== undefined) process.exitCode = 1;
}

/** Reduces a failing seed for as long as `--minutes` says. */
async function reduce(seed: number, file: string): Promise<void> {
  const { shrink } = await import('./shrink.ts');
  const { writeScenario } = await import('./scenario.ts');
  const minutes = Number(flags.minutes ?? SHRINK_MINUTES);
  const shrunk = shrink(seed, minutes, (line) => console.log(line));
  if (shrunk === undefined) {
    console.log(`seed ${seed} does not fail`);
    return;
  }
  const { scenario, report } = shrunk;
  writeScenario(file, scenario);
  printFailure(report, `--scenario ${file}`);
  process.exitCode = 1;
}

async function seeds(): Promise<void> {
  const { runSeeds, describe } = await import('./run-seeds.ts');
  const { runSeedsInParallel } = await import('./seeds-in-parallel.ts');
  const simulation = await loadSimulation(simulationName());
  const { seed, from, minutes, mutant } = flags;
  const unbounded = minutes === undefined ? 1 : Number.MAX_SAFE_INTEGER / 2;
  const count = flags.seeds === undefined ? unbounded : Number(flags.seeds);
  const options = {
    from: Number(seed ?? from ?? 1),
    count: seed === undefined ? count : 1,
    twice: Number(flags.twice ?? TWICE_DEFAULT),
    minutes: minutes === undefined ? undefined : Number(minutes),
    stopAt: MUTANTS.find(({ name }) => name === mutant)?.check,
  };
  // A planted bug is in this process only.
  const jobs = mutant === undefined ? Math.min(options.count, Number(flags.jobs ?? availableParallelism())) : 1;
  const summary =
    jobs === 1
      ? runSeeds(simulation, options, printFailure)
      : await runSeedsInParallel(simulationName(), options, jobs, printFailure);
  for (const failure of summary.failures) {
    if (failure.check === 'determinism') console.log(`seed ${failure.seed} failed: determinism: ${failure.detail}`);
  }
  for (const line of describe(simulation, summary)) console.log(line);
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(summary, null, 2)}\n`);
  const isBlind =
    summary.seeds >= SEEDS_THAT_REACH_ALL && simulation.rareStates.some((name) => (summary.counts[name] ?? 0) === 0);
  if (summary.failures.length > 0 || (isBlind && mutant === undefined)) process.exitCode = 1;
}

function printFailure(report: EndedSeed, what = `--seed ${report.seed}`): void {
  const { seed, failure, traceHash, virtualSeconds } = report;
  if (failure === undefined) return;
  console.log(`seed ${seed} failed: ${failure.check} after ${virtualSeconds.toFixed(1)} s (trace ${traceHash})`);
  console.log(`  ${failure.detail}`);
  const mutant = flags.mutant === undefined ? '' : ` --mutant ${flags.mutant}`;
  console.log(`  replay: npm run sim -- ${flags.swim ? '--swim ' : ''}${what} --verbose${mutant}`);
}

async function allMutants(): Promise<void> {
  const { runMutants } = await import('./mutant-runs.ts');
  const limit = Number(flags.seeds ?? MUTANT_SEEDS);
  const results = await runMutants(limit, ({ mutant, seed, seconds, output }) => {
    const found = seed === undefined ? `NOT FOUND in ${limit} seeds` : `found at seed ${seed}`;
    console.log(`${mutant.name.padEnd(32)} ${mutant.check.padEnd(20)} ${found} (${seconds.toFixed(1)} s)`);
    if (seed === undefined) console.log(output.split('\n').slice(-6).join('\n'));
  });
  const found = results.filter(({ seed }) => seed !== undefined);
  if (flags.json !== undefined) {
    const rows = results.map(({ mutant, seed, seconds }) => ({
      name: mutant.name,
      check: mutant.check,
      seed: seed ?? null,
      seconds,
    }));
    writeFileSync(
      flags.json,
      `${JSON.stringify({ found: found.length, planted: results.length, mutants: rows }, null, 2)}\n`,
    );
  }
  console.log(`mutants ${found.length}/${results.length}`);
  if (found.length < results.length) process.exitCode = 1;
}
