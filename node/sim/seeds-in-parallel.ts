/** Deals the seeds out to processes, one for each core, and sums up what they report. */
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { Counters } from './counters.ts';
import type { SeedsOptions, Summary } from './run-seeds.ts';
import type { EndedSeed, Part, PartMessage } from './seeds-part.ts';
import type { SimulationName } from './simulations.ts';

type OnFailed = (report: EndedSeed) => void;

export async function runSeedsInParallel(
  simulation: SimulationName,
  options: SeedsOptions,
  jobs: number,
  onFailed: OnFailed,
): Promise<Summary> {
  const startedMs = performance.now();
  const parts = await Promise.all(
    Array.from({ length: jobs }, (_, job) =>
      runPart({ simulation, options: { ...options, share: { job, jobs } } }, onFailed),
    ),
  );
  const counters = new Counters();
  for (const { counts } of parts) for (const [name, count] of Object.entries(counts)) counters.add(name, count);
  const sum = (of: (part: Summary) => number): number => parts.reduce((total, part) => total + of(part), 0);
  return {
    seeds: sum(({ seeds }) => seeds),
    twice: sum(({ twice }) => twice),
    virtualSeconds: sum(({ virtualSeconds }) => virtualSeconds),
    nodeSeconds: sum(({ nodeSeconds }) => nodeSeconds),
    realSeconds: (performance.now() - startedMs) / 1_000,
    counts: Object.fromEntries(counters.counts),
    failures: parts.flatMap(({ failures }) => failures).sort((a, b) => a.seed - b.seed),
  };
}

function runPart(part: Part, onFailed: OnFailed): Promise<Summary> {
  const child = fork(join(import.meta.dirname, 'seeds-part.ts'));
  child.send(part);
  return new Promise((resolve, reject) => {
    let summary: Summary | undefined;
    child.on('message', (message: PartMessage) => {
      if ('failed' in message) onFailed(message.failed);
      else summary = message.summary;
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (summary !== undefined) resolve(summary);
      else reject(new Error(`a process of the simulator ended without a result: ${String(signal ?? code)}`));
    });
  });
}
