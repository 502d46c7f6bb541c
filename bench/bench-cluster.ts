import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterStatus, InstanceResource } from '../api/rest.ts';
import type { RestClient } from '../cli/client.ts';
import { LocalCluster } from '../cli/local-cluster.ts';
import { benchRules, WORKFLOW, WORKFLOW_ID } from './workload.ts';

const DRAINED_POLL_MS = 20;
const TYPE_LIMIT_MS = 15_000;
const REQUEST_TIMEOUT_MS = 20_000;

/** A fresh cluster of real processes with the catalog of the benchmark; stop() leaves nothing behind. */
export class BenchCluster {
  readonly #cluster: LocalCluster;
  readonly #client: RestClient;
  #stopped: Promise<void> | undefined;

  private constructor(cluster: LocalCluster) {
    this.#cluster = cluster;
    this.#client = cluster.client(REQUEST_TIMEOUT_MS);
  }

  static async start(coordinators: number, workers: number, dataRoot: string): Promise<BenchCluster> {
    const dataDir = mkdtempSync(join(dataRoot, 'distric-bench-'));
    const cluster = await LocalCluster.start({ dataDir, coordinators, workers, profile: 'default' });
    const bench = new BenchCluster(cluster);
    try {
      await bench.#load(workers > 0);
    } catch (error) {
      await bench.stop();
      throw error;
    }
    return bench;
  }

  get servers(): readonly string[] {
    return this.#cluster.servers;
  }

  /** `host:port` of the binary protocol of each coordinator. */
  get peers(): readonly string[] {
    return this.#cluster.nodes.flatMap(({ role, peer }) => (role === 'coordinator' ? [peer] : []));
  }

  /** What the load generator sends with every request. */
  get apiKey(): string | undefined {
    return this.#cluster.apiKey;
  }

  /** May be called again while it stops: at an interrupt the measurement under way ends as well. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  status(): Promise<ClusterStatus> {
    return this.#client.get<ClusterStatus>('/cluster/status');
  }

  instance(id: string): Promise<InstanceResource> {
    return this.#client.get<InstanceResource>(`/workflows/${encodeURIComponent(id)}`);
  }

  /** Waits until no instance is active; gives how many are left when the time is up. */
  async drained(limitMs: number): Promise<number> {
    const deadline = performance.now() + limitMs;
    for (;;) {
      const { counts } = await this.status();
      if (counts.instances_active === 0 || performance.now() > deadline) return counts.instances_active;
      await delay(DRAINED_POLL_MS);
    }
  }

  async #stop(): Promise<void> {
    await this.#cluster.stop();
    rmSync(this.#cluster.dataDir, { recursive: true, force: true });
  }

  async #load(awaitType: boolean): Promise<void> {
    await this.#client.put(`/workflow-definitions/${WORKFLOW_ID}`, WORKFLOW);
    for (const rule of benchRules()) await this.#client.put(`/rules/${rule.id}`, rule);
    const deadline = performance.now() + TYPE_LIMIT_MS;
    while (awaitType) {
      const { workers } = await this.status();
      if (workers.some(({ types }) => types.includes('log'))) return;
      if (performance.now() > deadline) throw new Error('no worker has registered the task type "log"');
      await delay(DRAINED_POLL_MS);
    }
  }
}
