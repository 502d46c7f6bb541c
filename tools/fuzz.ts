/** `npm run fuzz -- frames`: broken frames through reader and decoder, more of them than a test has time for. */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { createReport, figure, writeReport, type Row } from '../bench/report.ts';
import { fuzzFrames } from '../node/core/tlv/frame-fuzz.ts';
import { nodeHost } from '../node/io/host.ts';

const USAGE = `npm run fuzz -- frames [options]

  --runs N     how many frames (default 1,000,000)
  --seed S     repeats what an earlier run did (default: drawn, and printed)
  --first R    the run to begin with: one failure alone is --first R --runs 1
  --json FILE  write the outcome as JSON too`;

const RUNS = 1_000_000;
const STEP_RUNS = 50_000;
const SEED_MAX = 2 ** 31;

function wholeNumber(option: string, text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error(`--${option} is a whole number, not ${String(text)}`);
}

function main(): boolean {
  const options = { runs: { type: 'string' }, seed: { type: 'string' }, first: { type: 'string' } } as const;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { ...options, json: { type: 'string' }, help: { type: 'boolean' } },
  });
  if (values.help === true || positionals.length !== 1 || positionals[0] !== 'frames') {
    console.log(USAGE);
    return values.help === true;
  }
  const runs = wholeNumber('runs', values.runs, RUNS);
  const seed = wholeNumber('seed', values.seed, randomInt(SEED_MAX));
  const first = wholeNumber('first', values.first, 0);
  console.log(`${runs} frames, seed ${seed}`);
  const outcomes = new Map<string, number>();
  let failure: string | undefined;
  const startedMs = performance.now();
  for (let run = first; run < first + runs && failure === undefined; run += STEP_RUNS) {
    try {
      const some = fuzzFrames(nodeHost, { seed, firstRun: run, runs: Math.min(STEP_RUNS, first + runs - run) });
      for (const [outcome, count] of some) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + count);
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error);
    }
  }
  const rows: Row[] = [...outcomes].sort(([, a], [, b]) => b - a).map(([name, count]) => figure(name, count, 'frames'));
  for (const { name, value } of rows) console.log(`${String(value).padStart(10)}  ${name}`);
  console.log(
    failure === undefined ? `typed errors only, in ${Math.round(performance.now() - startedMs)} ms` : failure,
  );
  const report = createReport(rows, failure === undefined ? 0 : 1);
  if (values.json !== undefined) writeReport(values.json, { ...report, seed });
  return report.ok;
}

process.exitCode = main() ? 0 : 1;
