/** A process that runs a share of the seeds and sends what came of them to the one that started it (seeds-in-parallel.ts). */
import type { Outcome } from './outcome.ts';
import { runSeeds, type SeedsOptions, type Summary } from './run-seeds.ts';
import { loadSimulation, type SimulationName } from './simulations.ts';

export type EndedSeed = Pick<Outcome, 'seed' | 'failure' | 'traceHash' | 'virtualSeconds'>;
export type PartMessage = { failed: EndedSeed } | { summary: Summary };
export interface Part {
  simulation: SimulationName;
  options: SeedsOptions;
}

process.once('message', (part: Part) => void run(part));

async function run({ simulation, options }: Part): Promise<void> {
  const send = (message: PartMessage): void => void process.send?.(message);
  const summary = runSeeds(
    await loadSimulation(simulation),
    options,
    ({ seed, failure, traceHash, virtualSeconds }) => {
      if (failure !== undefined) send({ failed: { seed, failure, traceHash, virtualSeconds } });
    },
  );
  // Closing the channel gives up what is still on its way.
  process.send?.({ summary } satisfies PartMessage, undefined, undefined, () => process.disconnect());
}
