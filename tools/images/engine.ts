/**
 * A Docker engine to build with: the one that is there, or else, for root, one of our own for as long as it takes. Ours
 * leaves this machine's network and packet filters alone, and ends when this process does.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Its layers are kept, so that the next build is short. */
const DATA_DIR = '/var/lib/distric-docker';
const LOG_FILE = 'dockerd.log';
const READY_LIMIT_MS = 60_000;
const READY_POLL_MS = 200;
const COMMAND_LIMIT_MS = 20 * 60_000;

export class Engine {
  /** It has only the images that were made here, and nowhere to pull others from. */
  readonly isOwn: boolean;
  readonly #env: NodeJS.ProcessEnv;
  readonly #daemon: ChildProcess | undefined;
  readonly #dir: string | undefined;

  private constructor(host?: string, daemon?: ChildProcess, dir?: string) {
    this.isOwn = host !== undefined;
    this.#env = { ...process.env, ...(host === undefined ? {} : { DOCKER_HOST: host }) };
    // The older builder needs no plugin of the client, and our Dockerfiles nothing that it lacks.
    if (this.isOwn) this.#env['DOCKER_BUILDKIT'] = '0';
    this.#daemon = daemon;
    this.#dir = dir;
  }

  static async open(): Promise<Engine> {
    const existing = new Engine();
    if (existing.#answers()) return existing;
    const dir = mkdtempSync(join(tmpdir(), 'distric-docker-'));
    const host = `unix://${join(dir, 'docker.sock')}`;
    const flags = ['--data-root', DATA_DIR, '--exec-root', join(dir, 'exec'), '--pidfile', join(dir, 'pid')];
    const network = ['--iptables=false', '--bridge=none', '--ip-forward=false'];
    const tied = ['--pdeathsig', 'TERM', 'unshare', '--mount', '--propagation', 'private'];
    const args = [...tied, 'dockerd', '--host', host, ...flags, ...network, '--log-level', 'error'];
    const log = openSync(join(dir, LOG_FILE), 'a');
    const engine = new Engine(host, spawn('setpriv', args, { stdio: ['ignore', 'ignore', log] }), dir);
    closeSync(log);
    await engine.#untilReady();
    return engine;
  }

  /** The output of `docker ARGS`; its messages go to this process's own. */
  docker(args: readonly string[]): string {
    return this.run('docker', args);
  }

  /** A program that calls docker itself. */
  run(program: string, args: readonly string[]): string {
    return execFileSync(program, args, {
      encoding: 'utf8',
      env: this.#env,
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: COMMAND_LIMIT_MS,
      maxBuffer: 64 * 1024 ** 2,
    });
  }

  has(image: string): boolean {
    return this.docker(['images', '--quiet', image]).trim() !== '';
  }

  async close(): Promise<void> {
    const daemon = this.#daemon;
    if (daemon?.exitCode === null) {
      const ended = new Promise((resolve) => daemon.once('exit', resolve));
      daemon.kill('SIGTERM');
      await ended;
    }
    if (this.#dir !== undefined) rmSync(this.#dir, { recursive: true, force: true });
  }

  #answers(): boolean {
    try {
      execFileSync('docker', ['version', '--format', '{{.Server.Version}}'], { env: this.#env, stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  }

  async #untilReady(): Promise<void> {
    const deadline = performance.now() + READY_LIMIT_MS;
    while (!this.#answers()) {
      const failed = this.#daemon?.exitCode !== null;
      if (failed || performance.now() > deadline) {
        const said = readFileSync(join(this.#dir ?? '', LOG_FILE), 'utf8').trim();
        await this.close();
        throw new Error(`no Docker engine answers, and dockerd does not start (it needs root): ${said}`);
      }
      await delay(READY_POLL_MS);
    }
  }
}
