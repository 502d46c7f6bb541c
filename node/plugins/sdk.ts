/**
 * What a plugin's author writes against; imported as `distric/plugin`. A plugin gives a workflow's tasks
 * one *type* (its name). See docs/plugins.md for the guide.
 */

/** Lines go to the worker's log, with the attempt they belong to. `fields` must be JSON. */
export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** Everything one attempt at a task may know. All values are this attempt's own copies. */
export interface TaskContext<Config = Record<string, unknown>, Input = Record<string, unknown>> {
  /** What the task works on: the message, unless the workflow maps something else. */
  readonly input: Input;
  /** The message that started the instance, as it was accepted. */
  readonly message: Record<string, unknown>;
  readonly messageId: string;
  /** The `params` of the rule's action that started the instance. */
  readonly params: Record<string, unknown>;
  /** The task's `config` from the workflow; fits `configSchema`, its defaults filled in. */
  readonly config: Config;
  /** Output of each task this one directly depends on, by task id. */
  readonly outputs: Readonly<Record<string, unknown>>;
  readonly instanceId: string;
  readonly taskId: string;
  /** Id of the workflow. */
  readonly workflow: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** Fencing token: rises with every attempt at this task and never repeats. A target that remembers the highest it saw can refuse a late writer. */
  readonly token: number;
  /** The same for every attempt at this task: a target that honours it makes the side effect exactly-once. */
  readonly idempotencyKey: string;
  /** Aborted when the attempt is cancelled or has run over its time-out; a process that does not stop soon after a time-out is killed. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

export interface InitContext {
  readonly log: Logger;
}

/** Functions may be synchronous or return a promise; both are awaited. */
export interface Plugin<Config = Record<string, unknown>, Input = Record<string, unknown>> {
  /** The task type: a letter, then letters, digits, `_`, `-` or `.`; at most 64 characters; unique on a worker. */
  readonly name: string;
  readonly version: string;
  /** JSON Schema (2020-12, or draft-07 when its `$schema` says so) that a task's `config` must fit. */
  readonly configSchema?: Readonly<Record<string, unknown>>;
  /** Called once in every process that loads the plugin, before any attempt; an error here keeps the plugin from loading. At most 5 s. */
  init?(context: InitContext): unknown;
  /**
   * Called per attempt, concurrently with other attempts. Returns the output: JSON, at most 256 KiB; nothing counts as `null`.
   * Throws `TerminalError` to fail the task at once; `RetryableError`, or any other error, to use up one retry.
   */
  execute(context: TaskContext<Config, Input>): unknown;
  /** Called when the process ends in good order, after its last attempt; at most 1 s. */
  cleanup?(): unknown;
  /** Checks what a schema can't say, before `execute`; throws an error that tells what is wrong (the attempt then fails terminally). */
  validateConfig?(config: Config): unknown;
}

/** A plugin whose configuration and input types are its own business; every `Plugin<C, I>` is one. */
export type AnyPlugin = Plugin<unknown, unknown>;

/** Gives the plugin its types; returns it unchanged. Export the result as `plugin`. */
export function definePlugin<Config = Record<string, unknown>, Input = Record<string, unknown>>(
  plugin: Plugin<Config, Input>,
): Plugin<Config, Input> {
  return plugin;
}

/** A registered symbol, so that errors of a second copy of this module are still understood. */
const RETRYABLE = Symbol.for('distric.plugin.retryable');

/** It may work later: the task is tried again while it has retries left. */
export class RetryableError extends Error {
  override readonly name = 'RetryableError';
  readonly [RETRYABLE] = true;
}

/** Trying again is pointless: the task fails now. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError';
  readonly [RETRYABLE] = false;
}

/** Whether a thrown value permits another attempt: everything does but a `TerminalError`. */
export function isRetryable(thrown: unknown): boolean {
  return !(typeof thrown === 'object' && thrown !== null && RETRYABLE in thrown && thrown[RETRYABLE] === false);
}

/** What a thrown value says: its `message` when it has one (libraries throw plain objects too), else the value as text. */
export function messageOf(thrown: unknown): string {
  if (typeof thrown === 'object' && thrown !== null && 'message' in thrown && typeof thrown.message === 'string') {
    return thrown.message;
  }
  return String(thrown);
}
