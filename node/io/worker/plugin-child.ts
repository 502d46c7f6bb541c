/**
 * The program of a plugin process: loads the users' plugins and runs the attempts that the worker hands over.
 * Several attempts share the main thread; `attemptStore` says whose code is running, so that an error outside
 * every `execute`, or a hang, finds its attempt.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { Worker } from 'node:worker_threads';
import type { Logger } from '../../plugins/sdk.ts';
import { ATTEMPT_STORE, BEAT_INTERVAL_MS, type WatchData } from './block-watch.ts';
import { LogBudget } from './log-budget.ts';
import { LOG_LINE_CHARS_MAX, errorText } from './plugin-protocol.ts';
import type { AttemptRequest, FromChild, LoadError, LogLevel, ToChild } from './plugin-protocol.ts';
import { PluginTable } from './plugin-table.ts';

const OWN_ENDING = import.meta.url.endsWith('.ts') ? 'ts' : 'js';

const attemptStore = new AsyncLocalStorage<number>();
Reflect.set(globalThis, ATTEMPT_STORE, attemptStore);

const table = new PluginTable();
const running = new Map<number, AbortController>();
const budget = new LogBudget();

function send(message: FromChild, sent?: () => void): void {
  // Without a parent there is nobody to tell: the disconnect handler ends the process.
  if (process.connected) process.send?.(message, undefined, undefined, () => sent?.());
}

function logger(bound: Record<string, unknown>): Logger {
  const line = (level: LogLevel) => (message: unknown, fields?: Record<string, unknown>) => {
    const room = budget.take(performance.now());
    if (room === false) return;
    const dropped = room.dropped === 0 ? {} : { dropped_lines: room.dropped };
    send({
      kind: 'log',
      level,
      message: (typeof message === 'string' ? message : inspect(message)).slice(0, LOG_LINE_CHARS_MAX),
      fields: { ...plainFields(fields), ...bound, ...dropped },
    });
  };
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
}

/** Only JSON crosses: a function or a cycle in a log line must not fail the attempt. */
function plainFields(fields: Record<string, unknown> | undefined): Record<string, unknown> {
  if (fields === undefined) return {};
  try {
    const text = JSON.stringify(fields);
    if (text.length > LOG_LINE_CHARS_MAX) return { fields: `${text.slice(0, LOG_LINE_CHARS_MAX)}…` };
    return JSON.parse(text) as Record<string, unknown>;
  } catch (thrown) {
    return { fields_error: errorText(thrown) };
  }
}

async function load(files: readonly string[], reservedNames: readonly string[]): Promise<void> {
  const errors: LoadError[] = [];
  for (const file of files) {
    // Told, and surely sent, before the file's code runs: it may never come back.
    await new Promise<void>((sent) => send({ kind: 'loading', file }, sent));
    try {
      const module = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
      await table.add(module['plugin'] ?? module['default'], reservedNames, logger({ plugin_file: file }));
    } catch (thrown) {
      errors.push({ file, error: errorText(thrown) });
    }
  }
  await watching;
  send({ kind: 'ready', types: table.types(), errors });
}

async function run(id: number, request: AttemptRequest): Promise<void> {
  const controller = new AbortController();
  running.set(id, controller);
  const { instanceId, taskId, attempt, type } = request;
  const log = logger({ instance: instanceId, task: taskId, attempt, type });
  // The worker only sends types it knows: a process without one was started after its file had changed.
  const outcome = table.has(type)
    ? await attemptStore.run(id, () => table.execute(request, controller.signal, log))
    : { status: 'retryable' as const, error: `the plugin of "${type}" did not load again; see the worker's log` };
  // A stray error may have settled it already.
  if (running.delete(id)) send({ kind: 'done', id, outcome });
}

function onStrayError(thrown: unknown): void {
  const error = `error outside execute (a timer, or a promise that nobody awaits): ${errorText(thrown)}`;
  // First, so that this process gets no attempt in the place of the one that ends here.
  send({ kind: 'stray', error });
  const id = attemptStore.getStore();
  if (id !== undefined && running.delete(id)) send({ kind: 'done', id, outcome: { status: 'retryable', error } });
}

async function stop(): Promise<void> {
  await table.close(logger({}));
  process.exit(0);
}

function onMessage(message: ToChild): void {
  switch (message.kind) {
    case 'load':
      void load(message.files, message.reservedNames);
      return;
    case 'run':
      void run(message.id, message.request);
      return;
    case 'abort':
      running.get(message.id)?.abort(new Error(message.reason));
      return;
    case 'stop':
      void stop();
      return;
  }
}

/** One copy of the SDK, wherever the plugin's directory lies and whether or not it has this package installed. */
function resolveSdk(): void {
  const sdk = new URL(`../../plugins/sdk.${OWN_ENDING}`, import.meta.url).href;
  registerHooks({
    resolve: (specifier, context, next) => next(specifier === 'distric/plugin' ? sdk : specifier, context),
  });
}

/** Resolves when the thread watches, or can't: then a hang is charged by time-outs alone. */
async function watchForBlocks(): Promise<void> {
  const beats = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  setInterval(() => Atomics.add(beats, 0, 1), BEAT_INTERVAL_MS);
  const workerData: WatchData = { beats, parentPid: Number(process.argv[2]) };
  const watcher = new Worker(new URL(`./block-watch-thread.${OWN_ENDING}`, import.meta.url), { workerData });
  watcher.on('error', (error) => logger({}).warn('the watching thread ended', { error: errorText(error) }));
  await once(watcher, 'message').catch(() => undefined);
}

function volunteerForOomKiller(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000');
  } catch {
    // Not Linux, or not permitted: the worker then takes its chances with the others.
  }
}

volunteerForOomKiller();
resolveSdk();
const watching = watchForBlocks();
process.on('uncaughtException', onStrayError);
process.on('message', onMessage);
process.on('disconnect', () => process.exit(0));
// A supervisor may signal every process of a service at once; the worker decides when its plugins end.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
