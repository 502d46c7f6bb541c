import { assert } from '../../../base/assert.ts';
import { blame, type Death } from './blame.ts';
import { LoadedPlugins } from './loaded-plugins.ts';
import { PluginProcess } from './plugin-process.ts';
import { idleQuarantine, leastLoaded } from './process-choice.ts';
import { bystander, logDeath, timedOut, type PoolOptions, type PoolTask } from './pool-task.ts';
import type { FromChild, LoadError, Outcome, PluginType } from './plugin-protocol.ts';
import { Suspects } from './suspects.ts';

/** How often resident memory and waiting times are looked at. */
const WATCH_INTERVAL_MS = 100;
/** A queued attempt that finds no process in this time is given back as lost. */
const QUEUE_WAIT_MS_MAX = 30_000;
const RESTART_DELAY_MS = 100;
const RESTART_DELAY_MS_MAX = 10_000;
/** Between 'stop' and the kill: a little over the time that cleanup has. */
const STOP_GRACE_MS = 2_000;
const ENDED_BY_POOL: Death = { cause: 'exit', how: 'a kill of the pool' };
const TIMER_MS_MAX = 2 ** 31 - 1;

interface Job extends PoolTask {
  queuedAtMs: number;
  process?: PluginProcess;
  timer?: NodeJS.Timeout;
  timedOut: boolean;
}

/**
 * Runs attempts in child processes and keeps the processes alive. Invariants:
 * 1. every task that `run` took is answered exactly once;
 * 2. only an attempt that is known to be guilty of a death is answered 'retryable'; the others are 'lost';
 * 3. an attempt of a suspect type runs with no other beside it, in a quarantine process: there are at most
 *    one more of them than of the shared ones, and only while there are suspects.
 */
export class PluginPool {
  readonly #options: PoolOptions;
  readonly #loaded: LoadedPlugins;
  readonly #jobs = new Map<number, Job>();
  /** Ids of jobs that have no process yet, oldest first. Bounded by the worker's slots. */
  readonly #queue = new Set<number>();
  readonly #processes = new Set<PluginProcess>();
  readonly #suspects = new Suspects();
  /** Starts that wait because the last one failed. */
  #delayedStarts = 0;
  #restarts = 0;
  #closing = false;
  #emptied: (() => void) | undefined;
  readonly #watch: NodeJS.Timeout;

  private constructor(options: PoolOptions) {
    this.#options = options;
    this.#loaded = new LoadedPlugins(options.files, options.log);
    this.#watch = setInterval(() => this.#onWatch(), WATCH_INTERVAL_MS);
    this.#spawn(false);
  }

  /** Resolves when one process has loaded the files (the others follow); files that can't be loaded are in `loadErrors`. */
  static async start(options: PoolOptions): Promise<PluginPool> {
    const pool = new PluginPool(options);
    await pool.#loaded.decided;
    if (pool.types.length === 0) await pool.close();
    else for (let i = 1; i < options.processes; i++) pool.#spawn(false);
    return pool;
  }

  get types(): readonly PluginType[] {
    return this.#loaded.types;
  }

  get loadErrors(): readonly LoadError[] {
    return this.#loaded.errors;
  }

  get queued(): number {
    return this.#queue.size;
  }

  /** Processes started after the first ones, to replace one that died or was retired. */
  get restarts(): number {
    return this.#restarts;
  }

  processes(): { pid: number; state: string; running: number; residentMb: number }[] {
    const view = ({ pid, state, running, residentMb }: PluginProcess) => ({
      pid,
      state,
      running: running.size,
      residentMb,
    });
    return Array.from(this.#processes, view);
  }

  run(task: PoolTask): void {
    assert(!this.#jobs.has(task.id), 'the id of an attempt is new to the pool');
    this.#jobs.set(task.id, { ...task, queuedAtMs: performance.now(), timedOut: false });
    this.#queue.add(task.id);
    this.#dispatch();
  }

  /** Aborts its signal; an attempt that has not started yet is answered 'lost'. */
  abort(id: number, reason: string): void {
    const job = this.#jobs.get(id);
    if (job === undefined) return;
    if (job.process === undefined) this.#finish(job, { status: 'lost', error: reason });
    else job.process.send({ kind: 'abort', id, reason });
  }

  /** Ends the processes in good order, then by force; what still runs is answered 'lost'. */
  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#watch);
    for (const job of this.#jobs.values()) this.#finish(job, { status: 'lost', error: 'the worker is closing' });
    if (this.#processes.size === 0) return;
    const emptied = new Promise<void>((resolve) => (this.#emptied = resolve));
    for (const process of this.#processes) this.#stop(process);
    await emptied;
  }

  #spawn(quarantine: boolean): void {
    const { memoryMb, log, reservedNames } = this.#options;
    const process = new PluginProcess(quarantine, memoryMb, log, {
      message: (from, message) => this.#onMessage(from, message),
      exit: (from, death) => this.#onExit(from, death),
    });
    this.#processes.add(process);
    process.send({ kind: 'load', files: this.#loaded.files, reservedNames });
  }

  #onMessage(process: PluginProcess, message: FromChild): void {
    switch (message.kind) {
      case 'loading':
        process.loadingFile = message.file;
        return;
      case 'ready':
        this.#onReady(process, message.types, message.errors);
        return;
      case 'done':
        this.#onDone(process, message.id, message.outcome);
        return;
      case 'log':
        this.#options.log[message.level](message.message, { ...message.fields, plugin_pid: process.pid });
        return;
      case 'stray':
        this.#options.log.error('a plugin threw outside execute; its process is replaced', {
          plugin_pid: process.pid,
          error: message.error,
        });
        this.#retire(process);
        return;
    }
  }

  #onReady(process: PluginProcess, types: PluginType[], errors: LoadError[]): void {
    if (process.state !== 'starting') return;
    process.state = 'ready';
    this.#loaded.onReady(types, errors);
    this.#dispatch();
  }

  #onDone(process: PluginProcess, id: number, outcome: Outcome): void {
    const job = this.#jobs.get(id);
    if (job !== undefined) {
      // It ended alone and in good order: its type is trusted again.
      if (process.quarantine) this.#suspects.delete(job.request.type);
      this.#finish(job, job.timedOut ? timedOut(job.timeoutMs) : outcome);
    }
    if (process.state === 'retiring' && process.running.size === 0) this.#stop(process);
    this.#dispatch();
  }

  #finish(job: Job, outcome: Outcome): void {
    clearTimeout(job.timer);
    this.#jobs.delete(job.id);
    this.#queue.delete(job.id);
    job.process?.running.delete(job.id);
    job.done(outcome);
  }

  #dispatch(): void {
    for (const id of this.#queue) {
      const job = this.#jobs.get(id);
      assert(job !== undefined, 'a queued attempt is a job');
      const process = this.#suspects.has(job.request.type)
        ? this.#quarantined()
        : leastLoaded(this.#processes, this.#options.attemptsPerProcess);
      if (process === undefined) continue;
      this.#queue.delete(id);
      this.#hand(job, process);
    }
  }

  #quarantined(): PluginProcess | undefined {
    const choice = idleQuarantine(this.#processes, this.#options.processes + 1);
    if (choice === 'none' && this.#delayedStarts === 0) this.#spawn(true);
    return typeof choice === 'string' ? undefined : choice;
  }

  #hand(job: Job, process: PluginProcess): void {
    job.process = process;
    process.running.add(job.id);
    job.timer = setTimeout(() => this.#onTimeout(job, process), Math.min(job.timeoutMs, TIMER_MS_MAX));
    process.send({ kind: 'run', id: job.id, request: job.request });
  }

  #onTimeout(job: Job, process: PluginProcess): void {
    job.timedOut = true;
    process.send({ kind: 'abort', id: job.id, reason: `the attempt timed out after ${job.timeoutMs} ms` });
    job.timer = setTimeout(() => {
      const over = [...process.running].filter((id) => this.#jobs.get(id)?.timedOut === true);
      process.kill({ cause: 'overrun', timedOut: new Set(over), blockedBy: process.blockedBy });
    }, this.#options.timeoutGraceMs);
  }

  #retire(process: PluginProcess): void {
    if (process.state !== 'ready') return;
    process.state = 'retiring';
    this.#replace(process);
    if (process.running.size === 0) this.#stop(process);
  }

  #stop(process: PluginProcess): void {
    if (process.state === 'starting') {
      process.kill(ENDED_BY_POOL);
      return;
    }
    process.state = 'stopping';
    process.send({ kind: 'stop' });
    setTimeout(() => process.kill(ENDED_BY_POOL), STOP_GRACE_MS).unref();
  }

  #onExit(process: PluginProcess, death: Death): void {
    const { state } = process;
    this.#processes.delete(process);
    const running = [...process.running];
    const verdict = blame(death, running);
    for (const id of running) {
      const job = this.#jobs.get(id);
      assert(job !== undefined, 'an attempt that runs in a process is a job');
      if (verdict.suspect) this.#suspects.add(job.request.type, performance.now());
      const error = verdict.guilty.get(id);
      this.#finish(job, error === undefined ? bystander(death) : { status: 'retryable', error });
    }
    if (this.#closing) {
      if (this.#processes.size === 0) this.#emptied?.();
      return;
    }
    if (state !== 'stopping') logDeath(this.#options.log, process.pid, death, running.length, verdict.guilty.size);
    if (state === 'starting') this.#onStartFailure(process, death);
    else if (state === 'ready') this.#replace(process);
    this.#dispatch();
  }

  #onStartFailure(process: PluginProcess, death: Death): void {
    const how = death.cause === 'exit' ? death.how : 'over the memory limit';
    const failures = this.#loaded.onStartFailure(process.loadingFile, how);
    if (failures === null) return;
    const delayMs = failures === 0 ? 0 : Math.min(RESTART_DELAY_MS_MAX, RESTART_DELAY_MS * 2 ** failures);
    this.#delayedStarts += 1;
    setTimeout(() => {
      this.#delayedStarts -= 1;
      if (!this.#closing) this.#replace(process);
    }, delayMs).unref();
  }

  /** A shared process at once; a quarantine process only when a suspect attempt asks for one. */
  #replace(process: PluginProcess): void {
    if (process.quarantine) return;
    this.#restarts += 1;
    this.#spawn(false);
  }

  #onWatch(): void {
    const nowMs = performance.now();
    const { memoryMb, startTimeoutMs } = this.#options;
    for (const process of this.#processes) {
      if (!process.withinMemory()) {
        process.kill({ cause: 'memory', residentMb: process.residentMb, limitMb: memoryMb });
      } else if (process.state === 'starting' && nowMs - process.startedAtMs > startTimeoutMs) {
        process.kill({ cause: 'exit', how: `a kill: it was not ready after ${startTimeoutMs} ms` });
      }
    }
    this.#suspects.expire(nowMs);
    this.#endIdleQuarantines();
    for (const id of this.#queue) {
      const job = this.#jobs.get(id);
      if (job !== undefined && nowMs - job.queuedAtMs > QUEUE_WAIT_MS_MAX) {
        this.#finish(job, { status: 'lost', error: 'no plugin process was free in time' });
      }
    }
    this.#dispatch();
  }

  #endIdleQuarantines(): void {
    if (this.#suspects.size > 0) return;
    for (const process of this.#processes) {
      if (process.quarantine && process.state === 'ready' && process.running.size === 0) this.#stop(process);
    }
  }
}
