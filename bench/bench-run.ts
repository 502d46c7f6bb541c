import { BenchCluster } from './bench-cluster.ts';
import type { BenchOptions } from './options.ts';

const WARMUP_MS = 2_000;
const DURATION_MS = 8_000;
const QUICK_WARMUP_MS = 1_000;
const QUICK_DURATION_MS = 3_000;

/** What all measurements of one run share: how long, what went wrong, and the cluster that an interrupt must stop. */
export class BenchRun {
  readonly options: BenchOptions;
  readonly warmupMs: number;
  readonly durationMs: number;
  readonly failures: string[] = [];
  #cluster: BenchCluster | undefined;

  constructor(options: BenchOptions) {
    this.options = options;
    this.warmupMs = options.quick ? QUICK_WARMUP_MS : WARMUP_MS;
    this.durationMs = options.quick ? QUICK_DURATION_MS : DURATION_MS;
  }

  progress(line: string): void {
    console.error(line);
  }

  fail(reason: string): void {
    this.failures.push(reason);
    console.error(`FAILED ${reason}`);
  }

  async startCluster(coordinators: number, workers: number, nodeSettings = {}): Promise<BenchCluster> {
    this.#cluster = await BenchCluster.start(coordinators, workers, this.options.dataRoot, nodeSettings);
    return this.#cluster;
  }

  /** The nodes are detached processes: they would outlive an interrupted run. */
  async interrupt(): Promise<void> {
    await this.#cluster?.stop();
  }
}
