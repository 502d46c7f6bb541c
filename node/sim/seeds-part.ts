/** A process that runs a share of the seeds and sends what came of them to the one that started it (seeds-in-parallel.ts). */
import { runSeeds, type SeedsOptions, type Summary } from './run-seeds.ts';
import type { SeedReport } from './simulation.ts';

export type EndedSeed = Pick<SeedReport, 'seed' | 'failure' | 'traceHash' | 'virtualSeconds'>;
export type PartMessage = { failed: EndedSeed } | { summary: Summary };

process.once('message', (options: SeedsOptions) => {
  const send = (message: PartMessage): void => void process.send?.(message);
  const summary = runSeeds(options, ({ seed, failure, traceHash, virtualSeconds }) => {
    if (failure !== undefined) send({ failed: { seed, failure, traceHash, virtualSeconds } });
  });
  // Closing the channel gives up what is still on its way.
  process.send?.({ summary } satisfies PartMessage, undefined, undefined, () => process.disconnect());
});
