import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { ClusterStatus } from '../api/rest.ts';
import { LocalCluster, type LocalClusterOptions } from '../cli/local-cluster.ts';
import { lastLines } from '../cli/node-process.ts';
import { get, withKey } from './rest-call.ts';

/** A cluster of real processes in a directory of its own; `end()` leaves neither a process nor a file behind. */
export class TestCluster {
  readonly processes: LocalCluster;
  readonly #dir: string;

  private constructor(processes: LocalCluster, dir: string) {
    this.processes = processes;
    this.#dir = dir;
  }

  /** `prepare` may put data in place before the first node starts. */
  static async start(
    options: Omit<LocalClusterOptions, 'dataDir'>,
    prepare: (dataDir: string) => Promise<void> = () => Promise.resolve(),
  ): Promise<TestCluster> {
    const dir = await mkdtemp(path.join(tmpdir(), 'distric-e2e-'));
    try {
      await prepare(path.join(dir, 'cluster'));
      return new TestCluster(await LocalCluster.start({ ...options, dataDir: path.join(dir, 'cluster') }), dir);
    } catch (error) {
      await rm(dir, { recursive: true, force: true });
      throw error;
    }
  }

  /** With the admin key, for `call`. */
  get servers(): string[] {
    return this.processes.servers.map((server) => withKey(server, this.processes.apiKey));
  }

  get coordinators(): string[] {
    return this.processes.nodes.filter(({ role }) => role === 'coordinator').map(({ id }) => id);
  }

  /** REST base URL of a coordinator, with the admin key. */
  server(id: string): string {
    return withKey(this.processes.server(id), this.processes.apiKey);
  }

  /** Base URL of the observability server of a node. */
  observability(id: string): string {
    return `http://${this.processes.node(id).metrics}`;
  }

  status(id: string, consistency: 'stale' | 'linearizable' = 'stale'): Promise<ClusterStatus> {
    return get<ClusterStatus>(this.server(id), `/cluster/status?consistency=${consistency}`);
  }

  /** Lines of a node's log that contain `text`, as objects. */
  async logged(id: string, text: string): Promise<Record<string, unknown>[]> {
    const lines = await lastLines(this.processes.logFile(id), Infinity);
    return lines.filter((line) => line.includes(text)).map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  async end(): Promise<void> {
    await this.processes.stop();
    for (const { id } of this.processes.nodes) await this.processes.kill(id);
    await rm(this.#dir, { recursive: true, force: true });
  }
}
