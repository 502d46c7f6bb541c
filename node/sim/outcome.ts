import type { Check } from './violation.ts';

/** What is left of a seed, of whichever simulation. */
export interface Outcome {
  seed: number;
  /** Over all that happened in it. */
  traceHash: string;
  virtualSeconds: number;
  nodeSeconds: number;
  counts: ReadonlyMap<string, number>;
  failure: { check: Check; detail: string } | undefined;
}

/** A simulation as it is run by seeds. */
export interface Simulated {
  runSeed: (seed: number, print?: (line: string) => void) => Outcome;
  /** States that a sound set of seeds reaches: what is never reached is not tested. */
  rareStates: readonly string[];
}
