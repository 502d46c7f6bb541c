/**
 * Reduces a failing seed: whatever can be left out or made simpler while the same check still fails. Each fault draws
 * from a stream of its own, so leaving one out moves no other.
 */
import { CALM_NETWORK, makePlan, type Plan } from './plan.ts';
import type { Scenario } from './scenario.ts';
import { runPlan, type SeedReport } from './simulation.ts';

export interface Shrunk {
  scenario: Scenario;
  report: SeedReport;
}

/** Undefined: the seed does not fail. */
export function shrink(seed: number, minutes: number, tell: (line: string) => void): Shrunk | undefined {
  const first = runPlan(seed, makePlan(seed));
  if (first.failure === undefined) return undefined;
  const shrinker = new Shrinker(seed, makePlan(seed), first, performance.now() + minutes * 60_000, tell);
  shrinker.run();
  const { plan, report } = shrinker;
  return { scenario: { about: report.failure?.detail.split('\n')[0] ?? '', seed, plan }, report };
}

class Shrinker {
  readonly #seed: number;
  readonly #untilMs: number;
  readonly #tell: (line: string) => void;
  plan: Plan;
  report: SeedReport;

  constructor(seed: number, plan: Plan, report: SeedReport, untilMs: number, tell: (line: string) => void) {
    this.#seed = seed;
    this.plan = plan;
    this.report = report;
    this.#untilMs = untilMs;
    this.#tell = tell;
  }

  run(): void {
    this.#cutTime();
    this.#dropFaults();
    for (const simpler of SIMPLIFICATIONS) this.#try(simpler(this.plan));
    this.#cutTime();
    this.#dropFaults();
  }

  #try(change: Partial<Plan>): boolean {
    if (performance.now() >= this.#untilMs) return false;
    const plan = { ...this.plan, ...change };
    const report = runPlan(this.#seed, plan);
    if (report.failure?.check !== this.report.failure?.check) return false;
    this.plan = plan;
    this.report = report;
    this.#tell(`still fails with ${JSON.stringify(change)}`);
    return true;
  }

  /** Nothing after the failure matters; what fails only at rest may do so after fewer faults. */
  #cutTime(): void {
    const failedUs = Math.ceil(this.report.virtualSeconds) * 1e6;
    if (failedUs < this.plan.faultyUs) this.#try({ faultyUs: failedUs });
    while (this.plan.faultyUs > 4e6 && this.#try({ faultyUs: Math.floor(this.plan.faultyUs / 2) }));
  }

  /** Halves, quarters … single ones (Zeller's delta debugging, without its complements). */
  #dropFaults(): void {
    const numbers = Array.from({ length: this.report.faults }, (_, i) => i);
    let kept = [...(this.plan.onlyFaults ?? numbers)].filter((number) => number < this.report.faults);
    for (let size = Math.ceil(kept.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      for (let from = 0; from < kept.length;) {
        const onlyFaults = [...kept.slice(0, from), ...kept.slice(from + size)];
        if (this.#try({ onlyFaults })) kept = onlyFaults;
        else from += size;
      }
    }
  }
}

const SIMPLIFICATIONS: readonly ((plan: Plan) => Partial<Plan>)[] = [
  () => ({ changesMembers: false, spares: 0 }),
  () => ({ coordinators: 1 }),
  () => ({ coordinators: 3 }),
  () => ({ workers: 1 }),
  ({ network }) => ({ network: { ...network, ...CALM_NETWORK } }),
  ({ network }) => ({ network: { ...network, loss: 0 } }),
  ({ network }) => ({ network: { ...network, duplicate: 0 } }),
  ({ network }) => ({ network: { ...network, reorder: 0 } }),
  () => ({ drift: 0 }),
  () => ({ skewMs: 0 }),
  () => ({ majorityFirst: false }),
  ({ messageGapUs }) => ({ messageGapUs: 10 * messageGapUs }),
  ({ readGapUs }) => ({ readGapUs: 10 * readGapUs }),
  () => ({ taskMsMax: 50 }),
  () => ({ logKept: { entriesTrigger: 10_000, entriesKept: 2_000, bytesMax: 1_000_000_000 } }),
];
