import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterStatus, InstanceResource } from '../api/rest.ts';
import type { RestClient } from '../cli/client.ts';
import { LocalCluster } from '../cli/local-cluster.ts';
import { Joiner } from '../cli/joiner.ts';
import { benchRules, WORKFLOW, WORKFLOW_ID } from './workload.ts';

const DRAINED_POLL_MS = 20;
const TYPE_LIMIT_MS = 15_000;
const REQUEST_TIMEOUT_MS = 20_000;

/** A fresh cluster of real processes with the catalog of the benchmark; stop() leaves nothing behind. */
export class BenchCluster {
  readonly #cluster: LocalCluster;
  readonly #client: RestClient;
  readonly #joiners: Joiner[] = [];
  #stopped: Promise<void> | undefined;

  private constructor(cluster: LocalCluster) {
    this.#cluster = cluster;
    this.#client = cluster.client(REQUEST_TIMEOUT_MS);
  }

  /** `nodeSettings`: of every node, keys of NodeConfig. */
  static async start(
    coordinators: number,
    workers: number,
    dataRoot: string,
    nodeSettings: Record<string, unknown> = {},
  ): Promise<BenchCluster> {
    const dataDir = mkdtempSync(join(dataRoot, 'distric-bench-'));
    const cluster = await LocalCluster.start({ dataDir, coordinators, workers, profile: 'default', nodeSettings });
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

  get coordinators(): readonly string[] {
    return this.#cluster.nodes.flatMap(({ id, role }) => (role === 'coordinator' ? [id] : []));
  }

  /** REST base URL of a coordinator. */
  serverOf(id: string): string {
    return this.#cluster.server(id);
  }

  /** `host:port` of a node's observability server. */
  metricsOf(id: string): string {
    return this.#cluster.node(id).metrics;
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

  /** From this coordinator and no other. */
  getFrom<T>(id: string, path: string): Promise<T> {
    return this.#client.at(new URL(this.serverOf(id)).host).get<T>(path);
  }

  post(path: string, body: unknown): Promise<unknown> {
    return this.#client.request({ method: 'POST', path, body: JSON.stringify(body) });
  }

  status(): Promise<ClusterStatus> {
    return this.#client.get<ClusterStatus>('/cluster/status');
  }

  instance(id: string): Promise<InstanceResource> {
    return this.#client.get<InstanceResource>(`/workflows/${encodeURIComponent(id)}`);
  }

  /** Starts a coordinator that waits to be added; it ends with the cluster. */
  async launch(id: string, member: string, settings: Record<string, unknown>): Promise<Joiner> {
    const joiner = await Joiner.launch(id, join(this.#cluster.dataDir, id), this.#cluster.node(member).peer, settings);
    this.#joiners.push(joiner);
    return joiner;
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
    for (const joiner of this.#joiners) await joiner.kill();
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
