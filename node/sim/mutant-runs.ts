/** Runs the simulator on every planted bug, each in processes of its own, until it is found. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { MUTANTS, type Mutant } from './mutants.ts';

const CONCURRENCY = 2;

export interface MutantResult {
  mutant: Mutant;
  /** Undefined: not found. */
  seed: number | undefined;
  output: string;
  seconds: number;
}

/** Seeds 1, 2, 3 … up to `seeds`, with only the mutant's own check on. */
export function runMutant(mutant: Mutant, seeds: number): Promise<MutantResult> {
  const startedMs = performance.now();
  const program = join(import.meta.dirname, 'main.ts');
  const args = [program, '--mutant', mutant.name, '--seeds', String(seeds), '--twice', '0'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
  return new Promise((resolve) => {
    const settle = (): void => {
      const line = output.split('\n').find((one) => one.includes(` failed: ${mutant.check} after`));
      const seed = line === undefined ? undefined : Number(/^seed (\d+) /.exec(line)?.[1]);
      resolve({ mutant, seed, output, seconds: (performance.now() - startedMs) / 1_000 });
    };
    child.once('error', settle);
    child.once('close', settle);
  });
}

export async function runMutants(seeds: number, report: (result: MutantResult) => void): Promise<MutantResult[]> {
  const waiting = [...MUTANTS];
  const results: MutantResult[] = [];
  const work = async (): Promise<void> => {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const result = await runMutant(mutant, seeds);
      results.push(result);
      report(result);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return results;
}
