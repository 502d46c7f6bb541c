/** How soon all members know of a death: ours beside hashicorp/memberlist, in the same run. */
import { join } from 'node:path';
import type { BenchRun } from './bench-run.ts';
import { runProgram } from './children.ts';
import { measureMemberlist } from './peers/memberlist.ts';
import { atMost, comparison, figure, type Row } from './report.ts';
import type { SwimPlan, SwimResult } from './swim-plan.ts';

const MEMBERS = 100;
const KILLS = 20;
const QUICK_KILLS = 5;
const EVERY_MS = 1_000;
const SEED = 20_260_113;
const KNOWN_MS_MAX = 5_000;
const LIMIT_MS = 5 * 60_000;

export async function measureSwim(run: BenchRun): Promise<Row[]> {
  const kills = run.options.quick ? QUICK_KILLS : KILLS;
  const plan: SwimPlan = { members: MEMBERS, kills, everyMs: EVERY_MS, seed: SEED };
  run.progress(`swim, ${String(MEMBERS)} members, ${String(kills)} of them killed`);
  const ours = await measureOurs(plan);
  const theirs = run.options.peer === 'none' ? undefined : await measurePeer(run, plan);
  const name = `swim, ${String(MEMBERS)} members, a death known to all`;
  const peer = (share: number) =>
    theirs === undefined
      ? undefined
      : { name: 'memberlist, LAN defaults', value: quantile(theirs.knownToAllMs, share) };
  return [
    comparison(`${name}, p50`, quantile(ours.knownToAllMs, 0.5), 'ms', peer(0.5)),
    comparison(`${name}, p99`, quantile(ours.knownToAllMs, 0.99), 'ms', peer(0.99)),
    atMost(`${name}, p99, as it must be`, quantile(ours.knownToAllMs, 0.99), 'ms', KNOWN_MS_MAX),
    atMost(`swim, ${String(MEMBERS)} members, found dead and alive`, ours.falseDeaths, 'members', 0),
    ...(theirs === undefined ? [] : [figure('the same of memberlist', theirs.falseDeaths, 'members')]),
  ];
}

async function measureOurs(plan: SwimPlan): Promise<SwimResult> {
  const program = join(import.meta.dirname, 'load', 'swim-members.ts');
  const output = await runProgram(process.execPath, [program, JSON.stringify(plan)], { timeoutMs: LIMIT_MS });
  return JSON.parse(output) as SwimResult;
}

async function measurePeer(run: BenchRun, plan: SwimPlan): Promise<SwimResult | undefined> {
  try {
    run.progress('the same with memberlist');
    return await measureMemberlist(plan, (line) => run.progress(line));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    run.fail(`left out: memberlist, which needs Go and its module proxy (--peers none measures without it): ${reason}`);
    return undefined;
  }
}

/** The smallest value that a share of all are not above. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Infinity;
}
