/**
 * A run by an explicit plan, kept in a file: what the shrinker made of a failing seed. It stays in the tree after the
 * bug is gone (node/sim/scenarios), and runs with every test.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Plan } from './plan.ts';
import { runPlan, type SeedReport } from './simulation.ts';

export interface Scenario {
  /** What went wrong in it once. */
  about: string;
  seed: number;
  plan: Plan;
}

export function readScenario(file: string): Scenario {
  return JSON.parse(readFileSync(file, 'utf8')) as Scenario;
}

export function writeScenario(file: string, scenario: Scenario): void {
  writeFileSync(file, `${JSON.stringify(scenario, null, 2)}\n`);
}

export function runScenario({ seed, plan }: Scenario, print?: (line: string) => void): SeedReport {
  return runPlan(seed, plan, print);
}
