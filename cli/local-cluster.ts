/**
 * A cluster of real processes on this machine.
 *
 * 1. cluster.json names every node before its process can serve, so a crash of the starter leaves nothing unknown.
 * 2. A pid is signalled only while it is still the process we started.
 * 3. Ports, configuration and data survive a stop: the next start continues.
 */
import { mkdir, rm, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterStatus } from '../api/rest.ts';
import { ADMIN_KEY_FILE_NAME, ensureAdminKey, localAdminKey } from './admin-key.ts';
import { RestClient } from './client.ts';
import { CLUSTER_FILE_NAME, hasClusterFile, readClusterFile, writeClusterFile, restUrl } from './cluster-file.ts';
import type { ClusterFile, LocalNode } from './cluster-file.ts';
import { planCluster, planWorkers } from './cluster-plan.ts';
import type { LocalClusterOptions } from './cluster-plan.ts';
import { CliError, EXIT } from './exit-code.ts';
import {
  isNodeProcess,
  lastLines,
  signalNode,
  startNodeProcess,
  waitUntilGone,
  type StartedProcess,
} from './node-process.ts';
import { nodeSettings } from './node-settings.ts';
import { ensureCertificates, localAuthorities, PKI_DIR_NAME } from './tls-files.ts';

export type { LocalNode } from './cluster-file.ts';
export type { LocalClusterOptions } from './cluster-plan.ts';

const READY_TIMEOUT_MS = 30_000;
const READY_POLL_MS = 50;
const HEALTH_TIMEOUT_MS = 2_000;
/** After the drain limit the node still has to close its files. */
const CLOSE_MARGIN_MS = 3_000;
const GONE_TIMEOUT_MS = 10_000;
const PORT_TRIES_MAX = 3;
const REPORTED_LINES = 15;

export class LocalCluster {
  readonly dataDir: string;
  readonly #file: ClusterFile;
  readonly #env: NodeJS.ProcessEnv;
  readonly #readyTimeoutMs: number;
  readonly #onProgress: (line: string) => void;
  readonly #logOffsets = new Map<string, number>();
  #started: string[] = [];

  private constructor(dataDir: string, file: ClusterFile, options: Partial<LocalClusterOptions>) {
    this.dataDir = dataDir;
    this.#file = file;
    this.#env = options.env ?? process.env;
    this.#readyTimeoutMs = options.readyTimeoutMs ?? READY_TIMEOUT_MS;
    this.#onProgress = options.onProgress ?? (() => undefined);
  }

  /**
   * Brings up a new cluster, or the missing nodes of the one in `dataDir`, and waits until every node is ready.
   * When a node can't start, the nodes that this call started are stopped again, and the error quotes the node's log.
   */
  static async start(options: LocalClusterOptions): Promise<LocalCluster> {
    const dataDir = path.resolve(options.dataDir);
    if (hasClusterFile(dataDir)) {
      const cluster = await LocalCluster.load(dataDir, options);
      await cluster.#startMissing(options);
      return cluster;
    }
    for (let tries = 1; ; tries++) {
      const cluster = new LocalCluster(dataDir, await planCluster(options), options);
      try {
        await cluster.#startNodes(cluster.nodes);
        return cluster;
      } catch (error) {
        await cluster.stop();
        await cluster.wipe({ keepLogs: true });
        // Somebody took a port between our look and the node's: choose others.
        const portTaken = error instanceof Error && error.message.includes('EADDRINUSE');
        if (!portTaken || tries === PORT_TRIES_MAX) throw error;
      }
    }
  }

  /** The cluster in `dataDir`, as it is: nothing is started. */
  static async load(dataDir: string, options: Partial<LocalClusterOptions> = {}): Promise<LocalCluster> {
    const absolute = path.resolve(dataDir);
    return new LocalCluster(absolute, await readClusterFile(absolute), options);
  }

  get nodes(): readonly LocalNode[] {
    return this.#file.nodes;
  }

  /** The ids of the nodes that the last start or restart started: none when all were running. */
  get started(): readonly string[] {
    return this.#started;
  }

  /** Base URLs of the REST interfaces of all coordinators. */
  get servers(): string[] {
    return this.nodes.flatMap((node) => restUrl(this.#file, node) ?? []);
  }

  /** Base URL of the REST interface of a coordinator. */
  server(id: string): string {
    const url = restUrl(this.#file, this.node(id));
    if (url !== undefined) return url;
    throw new CliError(EXIT.USAGE, `${id} is a worker: it serves no REST`);
  }

  /** The authority that the coordinators' certificates are checked by, PEM, when they speak HTTPS. */
  get authorities(): string | undefined {
    return this.#file.settings.tls === true ? localAuthorities(this.dataDir) : undefined;
  }

  /** The admin key, when REST wants one. */
  get apiKey(): string | undefined {
    return this.#file.settings.auth === 'required' ? localAdminKey(this.dataDir) : undefined;
  }

  /** Of all coordinators, with the admin key. */
  client(timeoutMs?: number): RestClient {
    return new RestClient(this.servers, timeoutMs, this.apiKey, { ca: this.authorities });
  }

  node(id: string): LocalNode {
    const node = this.nodes.find((candidate) => candidate.id === id);
    if (node !== undefined) return node;
    const known = this.nodes.map((candidate) => candidate.id).join(', ');
    throw new CliError(EXIT.NOT_FOUND, `the cluster has no node ${JSON.stringify(id)}; it has ${known}`);
  }

  isRunning(id: string): boolean {
    const { pid } = this.node(id);
    return pid !== null && isNodeProcess(pid, this.#configFile(id));
  }

  logFile(id: string): string {
    return path.join(this.dataDir, 'logs', `${id}.log`);
  }

  /** The id of the leader as a coordinator knows it now (a read of local state), if there is one. */
  async leader(): Promise<string | undefined> {
    const client = this.client(HEALTH_TIMEOUT_MS);
    try {
      const status = await client.get<ClusterStatus>('/cluster/status', { consistency: 'stale' });
      return status.leader ?? undefined;
    } catch (error) {
      if (error instanceof CliError && error.exitCode === EXIT.UNAVAILABLE) return undefined;
      throw error;
    }
  }

  /** Sends a signal (default SIGKILL). After SIGKILL the process is gone when this returns; false if it was already. */
  async kill(id: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<boolean> {
    const { pid } = this.node(id);
    if (pid === null || !signalNode(pid, this.#configFile(id), signal)) return false;
    if (signal === 'SIGKILL') await this.#waitUntilGone(id, GONE_TIMEOUT_MS);
    return true;
  }

  /** Stops the node if it runs, starts it on the same data and ports, and waits until it is ready. */
  async restart(id: string): Promise<void> {
    const node = this.node(id);
    await this.#stopNode(node);
    await this.#startNodes([node]);
  }

  /** Further workers, which are ready when this returns; their ids. */
  async addWorkers(count: number): Promise<string[]> {
    const workers = await planWorkers(this.#file, count);
    this.#file.nodes.push(...workers);
    await this.#startNodes(workers);
    return workers.map(({ id }) => id);
  }

  /** Workers first: they hand their results to coordinators that still run. Data and configuration stay. */
  async stop(): Promise<void> {
    for (const role of ['worker', 'coordinator'] as const) {
      const nodes = this.nodes.filter((node) => node.role === role);
      await Promise.all(nodes.map((node) => this.#stopNode(node)));
    }
    if (hasClusterFile(this.dataDir)) writeClusterFile(this.dataDir, this.#file);
  }

  /** Removes what the cluster wrote, and the data directory when nothing else is in it. Call after stop(). */
  async wipe(options: { keepLogs?: boolean } = {}): Promise<void> {
    const names = [...this.nodes.map(({ id }) => id), CLUSTER_FILE_NAME, ADMIN_KEY_FILE_NAME, PKI_DIR_NAME];
    if (options.keepLogs !== true) names.push('logs');
    for (const name of names) await rm(path.join(this.dataDir, name), { recursive: true, force: true });
    await rmdir(this.dataDir).catch(() => undefined);
  }

  #configFile(id: string): string {
    return path.join(this.dataDir, id, 'config.yaml');
  }

  async #startMissing(options: LocalClusterOptions): Promise<void> {
    this.#checkSize('coordinator', options.coordinators);
    this.#checkSize('worker', options.workers);
    this.#changeSettings(options);
    const { settings } = this.#file;
    const pluginDirs = (options.pluginDirs ?? []).map((dir) => path.resolve(dir));
    const news = pluginDirs.filter((dir) => !settings.pluginDirs.includes(dir));
    settings.pluginDirs.push(...news);
    const missing = this.nodes.filter(({ id, role }) => !this.isRunning(id) || (news.length > 0 && role === 'worker'));
    await Promise.all(missing.map((node) => this.#stopNode(node)));
    if (missing.length > 0) await this.#startNodes(missing);
  }

  /** For the nodes started from now on; the election timing has to be the same on all. */
  #changeSettings(options: LocalClusterOptions): void {
    const { settings } = this.#file;
    const profile = options.profile ?? settings.profile;
    if (profile !== settings.profile && this.nodes.some(({ id }) => this.isRunning(id))) {
      const message = `the running cluster has the profile ${settings.profile}, not ${profile}`;
      throw new CliError(EXIT.USAGE, `${message}: stop it first with: distric down`);
    }
    settings.profile = profile;
    settings.drainTimeoutMs = options.drainTimeoutMs ?? settings.drainTimeoutMs;
    settings.node = options.nodeSettings ?? settings.node;
    settings.worker = options.workerSettings ?? settings.worker;
  }

  #checkSize(role: LocalNode['role'], wanted: number | undefined): void {
    const there = this.nodes.filter((node) => node.role === role).length;
    if (wanted === undefined || wanted === there) return;
    const message = `the cluster in ${this.dataDir} has ${String(there)} ${role}s, not ${String(wanted)}`;
    throw new CliError(EXIT.USAGE, `${message}: leave the option out, or remove it first with: distric down --wipe`);
  }

  async #startNodes(nodes: readonly LocalNode[]): Promise<void> {
    this.#started = nodes.map(({ id }) => id);
    await mkdir(this.dataDir, { recursive: true });
    await ensureCertificates(this.dataDir, this.#file, nodes);
    if (this.#file.settings.auth === 'required') ensureAdminKey(this.dataDir);
    try {
      for (const node of nodes) await this.#spawn(node);
      await Promise.all(nodes.map((node) => this.#waitUntilReady(node)));
    } catch (error) {
      await Promise.all(nodes.map((node) => this.kill(node.id)));
      throw error;
    }
  }

  async #spawn(node: LocalNode): Promise<void> {
    const configFile = this.#configFile(node.id);
    await mkdir(path.dirname(configFile), { recursive: true });
    await writeFile(configFile, nodeSettings(this.dataDir, this.#file, node));
    const started: StartedProcess = await startNodeProcess(configFile, this.logFile(node.id), this.#env);
    node.pid = started.pid;
    node.startedAt = new Date().toISOString();
    this.#logOffsets.set(node.id, started.logOffset);
    writeClusterFile(this.dataDir, this.#file);
  }

  async #waitUntilReady(node: LocalNode): Promise<void> {
    const deadline = performance.now() + this.#readyTimeoutMs;
    while (!(await isReady(node.metrics))) {
      if (!this.isRunning(node.id)) throw await this.#startError(node, 'ended while starting');
      if (performance.now() >= deadline) {
        throw await this.#startError(node, `was not ready after ${String(this.#readyTimeoutMs / 1_000)} s`);
      }
      await delay(READY_POLL_MS);
    }
    this.#onProgress([node.id, 'ready', restUrl(this.#file, node) ?? ''].join(' ').trimEnd());
  }

  async #startError(node: LocalNode, what: string): Promise<CliError> {
    const file = this.logFile(node.id);
    const lines = await lastLines(file, REPORTED_LINES, this.#logOffsets.get(node.id) ?? 0);
    const quoted = lines.length === 0 ? ['  (it logged nothing)'] : lines.map((line) => `  ${line}`);
    return new CliError(EXIT.FAILURE, [`${node.id} ${what}; the end of ${file}:`, ...quoted].join('\n'));
  }

  async #stopNode(node: LocalNode): Promise<void> {
    const { pid, id } = node;
    if (pid !== null && signalNode(pid, this.#configFile(id), 'SIGTERM')) {
      // A stopped (SIGSTOP) process would not see the SIGTERM before the limit.
      signalNode(pid, this.#configFile(id), 'SIGCONT');
      const limitMs = this.#file.settings.drainTimeoutMs + CLOSE_MARGIN_MS;
      if (!(await waitUntilGone(pid, this.#configFile(id), limitMs))) await this.kill(id);
    }
    node.pid = null;
  }

  async #waitUntilGone(id: string, timeoutMs: number): Promise<void> {
    const { pid } = this.node(id);
    if (pid === null || (await waitUntilGone(pid, this.#configFile(id), timeoutMs))) return;
    throw new CliError(EXIT.FAILURE, `${id} (pid ${String(pid)}) is still there after SIGKILL`);
  }
}

async function isReady(metricsAddress: string): Promise<boolean> {
  try {
    const response = await fetch(`http://${metricsAddress}/health/ready`, {
      signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
    });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}
