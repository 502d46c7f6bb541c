import { assert } from '../../../base/assert.ts';
import { DistricError } from '../../../base/errors.ts';
import { builtinPlugins } from '../../plugins/builtin/catalog.ts';
import type { Logger } from '../../plugins/sdk.ts';
import { findPluginFiles } from './plugin-files.ts';
import { PluginPool } from './plugin-pool.ts';
import { CONTEXT_BYTES_MAX } from './plugin-protocol.ts';
import type { AttemptRequest, LoadError, Outcome, PluginType } from './plugin-protocol.ts';
import { PluginTable } from './plugin-table.ts';

export type { LoadError, PluginType } from './plugin-protocol.ts';

export interface AttemptSpec extends AttemptRequest {
  /** Of the plugin's run; after it the signal is aborted and the attempt reported 'retryable'. */
  timeoutMs: number;
}

export interface AttemptResult {
  /** 'lost': it did not fail by its own fault, or never ran; to be dispatched again without using up a retry. */
  status: 'ok' | 'retryable' | 'terminal' | 'lost';
  /** UTF-8 JSON, at most 256 KiB; with 'ok' only. */
  output?: Uint8Array;
  error?: string;
  /** From `run` to the result. */
  durationMs: number;
}

export interface PluginHostOptions {
  /** Directories that hold `*.plugin.ts|js|mjs` files. */
  pluginDirs: readonly string[];
  /** Child processes for users' plugins; none is started while there is no such plugin. */
  processes: number;
  /** Attempts at once, built-in ones included. */
  slots: number;
  /** Resident memory of one plugin process; at least `MEMORY_MB_MIN`. */
  memoryMb: number;
  log: Logger;
  /** Hosts that `http` may dial although they are private: `host[:port]`, comma-separated. Default: DISTRIC_HTTP_ALLOW. */
  httpAllow?: string;
  /** Between the abort of a timed-out attempt's signal and the kill of its process. Default 2,000. */
  timeoutGraceMs?: number;
  /** For a plugin process to load all plugins. Default 15,000. */
  startTimeoutMs?: number;
}

export interface PluginHostStats {
  running: number;
  slots: number;
  /** Of `running`, those that wait for a plugin process. */
  queued: number;
  restarts: number;
  processes: readonly { pid: number; state: string; running: number; residentMb: number }[];
}

/** An empty plugin process takes about 75 MiB. */
export const MEMORY_MB_MIN = 128;

interface Running {
  id: number;
  startedAtMs: number;
  /** Of an attempt in this process. */
  abort?: AbortController;
  timer?: NodeJS.Timeout;
  done: (result: AttemptResult) => void;
}

/**
 * Executes attempts: built-in plugins in this process, users' plugins in a pool of child processes, where an
 * exception, a crash, an endless loop or an allocation without end costs attempts and never the worker.
 */
export class PluginHost {
  readonly #options: PluginHostOptions;
  readonly #builtins: PluginTable;
  readonly #pool: PluginPool | undefined;
  readonly #running = new Map<string, Running>();
  readonly types: readonly PluginType[];
  /** Plugin files and directories that could not be loaded; the worker runs without them. */
  readonly loadErrors: readonly LoadError[];
  #lastId = 0;
  #closing = false;
  #onIdle: (() => void) | undefined;

  private constructor(
    options: PluginHostOptions,
    builtins: PluginTable,
    pool: PluginPool | undefined,
    errors: readonly LoadError[],
  ) {
    this.#options = options;
    this.#builtins = builtins;
    this.#pool = pool;
    this.types = [...builtins.types(), ...(pool?.types ?? [])];
    this.loadErrors = [...errors, ...(pool?.loadErrors ?? [])];
  }

  /** Throws INVALID_REQUEST for an option out of range; a plugin that does not load is no error (see `loadErrors`). */
  static async start(options: PluginHostOptions): Promise<PluginHost> {
    checkOptions(options);
    const { log } = options;
    const builtins = new PluginTable();
    const httpAllow = options.httpAllow ?? process.env['DISTRIC_HTTP_ALLOW'] ?? '';
    for (const plugin of builtinPlugins({ httpAllow })) await builtins.add(plugin, [], log);
    const { files, errors } = findPluginFiles(options.pluginDirs);
    for (const { file, error } of errors) log.error('plugins not loaded', { plugin_dir: file, error });
    const pool = files.length === 0 ? undefined : await startPool(options, files, builtins);
    return new PluginHost(options, builtins, pool, errors);
  }

  /**
   * `done` is called once, never before `run` returns. Answers 'lost' when no slot is free or the host closes,
   * 'terminal' for an unknown type or a context over 4 MiB. A repeat of an attempt that runs is ignored.
   */
  run(spec: AttemptSpec, done: (result: AttemptResult) => void): void {
    const key = keyOf(spec.instanceId, spec.taskId, spec.token);
    if (this.#running.has(key)) return;
    const refusal = this.#refusal(spec);
    if (refusal !== undefined) {
      queueMicrotask(() => done({ ...refusal, durationMs: 0 }));
      return;
    }
    const running: Running = { id: ++this.#lastId, startedAtMs: performance.now(), done };
    this.#running.set(key, running);
    if (this.#builtins.has(spec.type)) this.#runBuiltin(key, spec, running);
    else this.#runInPool(key, spec, running);
  }

  /** Aborts the attempt's signal; its result is still reported. Nothing happens when it does not run here. */
  cancel(instanceId: string, taskId: string, token: number): void {
    const running = this.#running.get(keyOf(instanceId, taskId, token));
    if (running !== undefined) this.#abort(running, 'the attempt was cancelled');
  }

  stats(): PluginHostStats {
    return {
      running: this.#running.size,
      slots: this.#options.slots,
      queued: this.#pool?.queued ?? 0,
      restarts: this.#pool?.restarts ?? 0,
      processes: this.#pool?.processes() ?? [],
    };
  }

  /** Takes no more attempts and lets those that run finish for `graceMs`; the rest is aborted and reported 'lost'. */
  async close(graceMs: number): Promise<void> {
    assert(!this.#closing, 'a plugin host is closed once');
    this.#closing = true;
    if (this.#running.size > 0) await this.#idle(graceMs);
    for (const [key, running] of this.#running) {
      this.#abort(running, 'the worker is closing');
      this.#finish(key, running, { status: 'lost', error: 'the worker is closing' });
    }
    await this.#pool?.close();
    await this.#builtins.close(this.#options.log);
  }

  #refusal(spec: AttemptSpec): Outcome | undefined {
    if (this.#closing) return { status: 'lost', error: 'the worker is closing' };
    if (this.#running.size >= this.#options.slots) {
      return { status: 'lost', error: `all ${this.#options.slots} slots of the worker are taken` };
    }
    if (!this.types.some(({ name }) => name === spec.type)) {
      return { status: 'terminal', error: `unknown task type "${spec.type}"` };
    }
    const bytes = spec.context.byteLength;
    if (bytes <= CONTEXT_BYTES_MAX) return undefined;
    return {
      status: 'terminal',
      error: `the attempt's context has ${bytes} bytes; the limit is ${CONTEXT_BYTES_MAX} (4 MiB)`,
    };
  }

  #runBuiltin(key: string, spec: AttemptSpec, running: Running): void {
    const { timeoutMs } = spec;
    running.abort = new AbortController();
    running.timer = setTimeout(
      () => {
        const error = `timed out after ${timeoutMs} ms`;
        this.#abort(running, error);
        this.#finish(key, running, { status: 'retryable', error });
      },
      Math.min(timeoutMs, 2 ** 31 - 1),
    );
    const { instanceId, taskId, attempt, type } = spec;
    const log = boundLogger(this.#options.log, { instance: instanceId, task: taskId, attempt, type });
    void this.#builtins.execute(spec, running.abort.signal, log).then((outcome) => this.#finish(key, running, outcome));
  }

  #runInPool(key: string, spec: AttemptSpec, running: Running): void {
    assert(this.#pool !== undefined, 'a type that is not built in comes from the pool');
    const { timeoutMs, instanceId, taskId, token, attempt, type, context } = spec;
    const request = { instanceId, taskId, token, attempt, type, context };
    this.#pool.run({ id: running.id, request, timeoutMs, done: (outcome) => this.#finish(key, running, outcome) });
  }

  #abort(running: Running, reason: string): void {
    if (running.abort === undefined) this.#pool?.abort(running.id, reason);
    else running.abort.abort(new Error(reason));
  }

  /** Only the first outcome of an attempt counts: a timed-out built-in may still come back. */
  #finish(key: string, running: Running, outcome: Outcome): void {
    if (this.#running.get(key) !== running) return;
    clearTimeout(running.timer);
    this.#running.delete(key);
    running.done({ ...outcome, durationMs: performance.now() - running.startedAtMs });
    if (this.#running.size === 0) this.#onIdle?.();
  }

  #idle(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, limitMs);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function checkOptions({ processes, slots, memoryMb }: PluginHostOptions): void {
  const check = (name: string, value: number, min: number) => {
    if (Number.isInteger(value) && value >= min) return;
    throw new DistricError('INVALID_REQUEST', `set ${name} to an integer of at least ${min}, got ${value}`);
  };
  check('processes', processes, 1);
  check('slots', slots, 1);
  check('memoryMb', memoryMb, MEMORY_MB_MIN);
}

function startPool(options: PluginHostOptions, files: string[], builtins: PluginTable): Promise<PluginPool> {
  const { processes, slots, memoryMb, log, timeoutGraceMs = 2_000, startTimeoutMs = 15_000 } = options;
  return PluginPool.start({
    files,
    reservedNames: builtins.types().map(({ name }) => name),
    processes,
    attemptsPerProcess: Math.ceil(slots / processes),
    memoryMb,
    timeoutGraceMs,
    startTimeoutMs,
    log,
  });
}

function keyOf(instanceId: string, taskId: string, token: number): string {
  return `${instanceId}/${taskId}/${token}`;
}

function boundLogger(log: Logger, bound: Record<string, unknown>): Logger {
  return {
    debug: (message, fields) => log.debug(message, { ...fields, ...bound }),
    info: (message, fields) => log.info(message, { ...fields, ...bound }),
    warn: (message, fields) => log.warn(message, { ...fields, ...bound }),
    error: (message, fields) => log.error(message, { ...fields, ...bound }),
  };
}
