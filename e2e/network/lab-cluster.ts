/** Three coordinators and a worker, each on a host of the lab. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { until } from '../until.ts';
import { Lab } from './lab.ts';

const COORDINATORS = ['c1', 'c2', 'c3'];
const PEER_PORT = 7400;
const HTTP_PORT = 8080;
const METRICS_PORT = 9090;
const KEY_FILE = 'gossip-keys.json';
const START_TIMEOUT_MS = 60_000;

export class LabCluster {
  readonly lab: Lab;
  readonly #dir: string;
  readonly #pluginDir: string;
  readonly #processes: ChildProcess[] = [];

  private constructor(lab: Lab, dir: string, pluginDir: string) {
    this.lab = lab;
    this.#dir = dir;
    this.#pluginDir = pluginDir;
  }

  static async start(pluginDir: string): Promise<LabCluster> {
    const lab = new Lab([...COORDINATORS, 'w1']);
    const cluster = new LabCluster(lab, await mkdtemp(join(tmpdir(), 'distric-lab-')), pluginDir);
    try {
      await cluster.#start();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get servers(): string[] {
    return COORDINATORS.map((name) => `http://${this.lab.host(name).address}:${String(HTTP_PORT)}`);
  }

  get coordinators(): readonly string[] {
    return COORDINATORS;
  }

  /** Base URL of the observability server of a node. */
  observability(name: string): string {
    return `http://${this.lab.host(name).address}:${String(METRICS_PORT)}`;
  }

  log(name: string): Promise<string> {
    return readFile(join(this.#dir, `${name}.log`), 'utf8');
  }

  async stop(): Promise<void> {
    for (const child of this.#processes) child.kill('SIGTERM');
    await Promise.all(this.#processes.map((child) => ended(child)));
    await this.lab.calm().catch(() => undefined);
    this.lab.destroy();
    await rm(this.#dir, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    const key = randomBytes(32).toString('base64');
    await writeFile(join(this.#dir, KEY_FILE), JSON.stringify([{ id: 1, key }]), { mode: 0o600 });
    for (const from of COORDINATORS) await this.#startNode(from, 'coordinator');
    await this.#startNode('w1', 'worker');
    await Promise.all([...COORDINATORS, 'w1'].map((name) => this.#ready(name)));
  }

  async #startNode(name: string, role: string): Promise<void> {
    const { address: host } = this.lab.host(name);
    const coordinators = COORDINATORS.map((id) => ({
      id,
      address: `${this.lab.host(id).address}:${String(PEER_PORT)}`,
    }));
    const gossip = { host, keyFile: join(this.#dir, KEY_FILE) };
    const config = {
      nodeId: name,
      role,
      dataDir: join(this.#dir, name),
      coordinators,
      insecureAllowPublicListen: true,
      metrics: { host, port: METRICS_PORT },
      gossip,
      ...(role === 'worker'
        ? { worker: { concurrency: 8, pluginProcesses: 1, pluginDirs: [this.#pluginDir] } }
        : { peer: { host, port: PEER_PORT }, http: { host, port: HTTP_PORT } }),
    };
    const file = join(this.#dir, `${name}.yaml`);
    await writeFile(file, stringify(config));
    const output = openSync(join(this.#dir, `${name}.log`), 'a');
    const command = this.lab.commandOn(name, process.execPath, ['node/main.ts', '--config', file]);
    this.#processes.push(spawn(command.file, command.args, { stdio: ['ignore', output, output] }));
  }

  async #ready(name: string): Promise<void> {
    const url = `${this.observability(name)}/health/ready`;
    await until(`${name} is ready`, START_TIMEOUT_MS, async () => {
      const response = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
      return response?.status === 200 ? true : undefined;
    });
  }
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
    child.once('exit', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
