import { spawn } from 'node:child_process';
import { join } from 'node:path';

export const ROOT_DIR = join(import.meta.dirname, '..');

/** A program run to its end; `output` keeps both streams in the order they came. */
export interface StepResult {
  name: string;
  ok: boolean;
  output: string;
  durationMs: number;
}

export interface Step {
  name: string;
  /** Arguments for this very Node, starting with the script. */
  args: readonly string[];
  env?: Record<string, string>;
  /** Shows the output while it comes, for steps that people wait for. */
  live?: boolean;
}

/** Runs one step with this Node from the project's root; never rejects: a program that cannot start has failed. */
export function runStep(step: Step): Promise<StepResult> {
  const startedMs = performance.now();
  const child = spawn(process.execPath, step.args, {
    cwd: ROOT_DIR,
    env: { ...process.env, ...step.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (text: string): void => {
    output += text;
    if (step.live === true) process.stdout.write(text);
  };
  child.stdout.setEncoding('utf8').on('data', keep);
  child.stderr.setEncoding('utf8').on('data', keep);
  return new Promise((resolve) => {
    const settle = (ok: boolean): void =>
      resolve({ name: step.name, ok, output, durationMs: performance.now() - startedMs });
    child.once('error', (error) => {
      keep(`${error.message}\n`);
      settle(false);
    });
    child.once('close', (code) => settle(code === 0));
  });
}

/** Starts at most `concurrency` steps at once and reports each in the order of the list. */
export async function runSteps(
  steps: readonly Step[],
  concurrency: number,
  report: (result: StepResult) => void,
): Promise<StepResult[]> {
  const running = new Map<number, Promise<StepResult>>();
  let next = 0;
  const startNext = (): void => {
    const step = steps[next];
    if (step === undefined) return;
    running.set(next, runStep(step).finally(startNext));
    next += 1;
  };
  for (let i = 0; i < concurrency; i += 1) startNext();
  const results: StepResult[] = [];
  for (let index = 0; index < steps.length; index += 1) {
    let result = running.get(index);
    while (result === undefined) {
      await Promise.race(running.values());
      result = running.get(index);
    }
    const done = await result;
    report(done);
    results.push(done);
  }
  return results;
}

export function seconds(durationMs: number): string {
  return `${(durationMs / 1_000).toFixed(1)} s`;
}

export function describeResult(result: StepResult): string {
  return `${result.ok ? 'ok    ' : 'FAILED'} ${result.name.padEnd(12)} ${seconds(result.durationMs).padStart(8)}`;
}
