/** A coordinator that waits to be added to a cluster, as a process of its own. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { freePorts } from './free-ports.ts';
import { signalNode, startNodeProcess, waitUntilGone } from './node-process.ts';

const GONE_MS = 30_000;

export class Joiner {
  readonly id: string;
  readonly dir: string;
  readonly peer: string;
  readonly http: string;
  readonly metrics: string;
  pid = 0;

  private constructor(id: string, dir: string, [peer = 0, http = 0, metrics = 0]: readonly number[]) {
    this.id = id;
    this.dir = dir;
    this.peer = `127.0.0.1:${peer}`;
    this.http = `127.0.0.1:${http}`;
    this.metrics = `127.0.0.1:${metrics}`;
  }

  /** `member`: `host:port` of one that is in the cluster; `more`: further settings of the node. */
  static async launch(id: string, dir: string, member: string, more: Record<string, unknown> = {}): Promise<Joiner> {
    const ports = await freePorts(3);
    const [peer, http, metrics] = ports.map((port) => ({ host: '127.0.0.1', port }));
    const joiner = new Joiner(id, dir, ports);
    await mkdir(dir, { recursive: true });
    const settings = {
      ...more,
      nodeId: id,
      role: 'coordinator',
      dataDir: joiner.dataDir,
      join: [member],
      ...{ peer, http, metrics },
      gossip: { enabled: false },
    };
    await writeFile(joiner.#config, stringify(settings));
    await joiner.start();
    return joiner;
  }

  get dataDir(): string {
    return path.join(this.dir, 'data');
  }

  get log(): string {
    return path.join(this.dir, 'node.log');
  }

  get #config(): string {
    return path.join(this.dir, 'config.yaml');
  }

  async start(): Promise<void> {
    this.pid = (await startNodeProcess(this.#config, this.log, process.env)).pid;
  }

  async kill(): Promise<void> {
    signalNode(this.pid, this.#config, 'SIGKILL');
    await waitUntilGone(this.pid, this.#config, GONE_MS);
  }
}
