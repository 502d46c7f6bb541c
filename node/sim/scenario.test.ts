import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { makePlan } from './plan.ts';
import { readScenario, runScenario, writeScenario } from './scenario.ts';
import { shrink } from './shrink.ts';
import { runPlan } from './simulation.ts';

const DIR = join(import.meta.dirname, 'scenarios');

describe('scenarios', () => {
  it.each(readdirSync(DIR))('%s goes well', (file) => {
    expect(runScenario(readScenario(join(DIR, file))).failure).toBeUndefined();
  });

  it('give the run that they were written for', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'distric-scenario-')), 'one.json');
    const plan = { ...makePlan(5), faultyUs: 10e6, onlyFaults: [0, 2] };
    writeScenario(file, { about: 'a test', seed: 5, plan });
    expect(runScenario(readScenario(file)).traceHash).toBe(runPlan(5, plan).traceHash);
  });
});

describe('plans', () => {
  it('leave out faults without moving the others', () => {
    const faultsOf = (onlyFaults?: number[]): string[] => {
      const lines: string[] = [];
      const plan = { ...makePlan(3), faultyUs: 30e6, changesMembers: false };
      runPlan(3, onlyFaults === undefined ? plan : { ...plan, onlyFaults }, (line) => lines.push(line));
      return lines.filter((line) => line.includes('fault: '));
    };
    const all = faultsOf();
    expect(all.length).toBeGreaterThan(4);
    expect(faultsOf([1, 3])).toEqual([all[1], all[3]]);
  });
});

describe('shrink()', () => {
  it('has nothing to reduce in a seed that goes well', () => {
    expect(shrink(1, 1, () => undefined)).toBeUndefined();
  });
});
