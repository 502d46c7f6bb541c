/** What a worker and its plugin processes say to each other (Node's IPC, structured clone), and the limits of both sides. */

import { messageOf } from '../../plugins/sdk.ts';

/** Of one attempt's output, as JSON in UTF-8. */
export const OUTPUT_BYTES_MAX = 256 * 1024;
/** Of the context handed to an attempt, as JSON in UTF-8. */
export const CONTEXT_BYTES_MAX = 4 * 1024 * 1024;
/** Of an error text that is reported to the cluster. */
const ERROR_CHARS_MAX = 2_000;
/** Of one line that a plugin writes to the log. */
export const LOG_LINE_CHARS_MAX = 8_192;
/** Lines that one process may write per second; more are counted and dropped. */
export const LOG_LINES_PER_SECOND_MAX = 500;
export const INIT_TIMEOUT_MS = 5_000;
export const CLEANUP_TIMEOUT_MS = 1_000;

export interface PluginType {
  name: string;
  version: string;
  /** JSON text of the plugin's `configSchema`. */
  configSchema?: string;
}

export interface LoadError {
  /** Absolute path of the plugin file or directory. */
  file: string;
  error: string;
}

/** One attempt, as its executor needs it. */
export interface AttemptRequest {
  instanceId: string;
  taskId: string;
  token: number;
  attempt: number;
  type: string;
  /** UTF-8 JSON `{workflow, revision, message_id, config, params, message, outputs}`. */
  context: Uint8Array;
}

export interface Outcome {
  status: 'ok' | 'retryable' | 'terminal' | 'lost';
  /** UTF-8 JSON; with `ok` only. */
  output?: Uint8Array;
  /** For people; with every status but `ok`. */
  error?: string;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export type ToChild =
  | { kind: 'load'; files: readonly string[]; reservedNames: readonly string[] }
  | { kind: 'run'; id: number; request: AttemptRequest }
  | { kind: 'abort'; id: number; reason: string }
  | { kind: 'stop' };

export type FromChild =
  /** `file` is about to be loaded: if this process dies now, the file is to blame. */
  | { kind: 'loading'; file: string }
  | { kind: 'ready'; types: PluginType[]; errors: LoadError[] }
  | { kind: 'done'; id: number; outcome: Outcome }
  | { kind: 'log'; level: LogLevel; message: string; fields: Record<string, unknown> }
  /** An error outside every `execute` (a timer, a promise nobody awaited): this process must not take new attempts. */
  | { kind: 'stray'; error: string };

/** A line on the report pipe, written by the child's watching thread: its main thread hangs in attempt `id` (null: can't tell). */
export interface BlockedReport {
  blockedBy: number | null;
}

/** The descriptor of the report pipe in a child: 0 to 2 are standard, 3 is IPC. */
export const REPORT_FD = 4;

export function errorText(thrown: unknown): string {
  const text = messageOf(thrown) || 'an error without a message';
  return text.length > ERROR_CHARS_MAX ? `${text.slice(0, ERROR_CHARS_MAX)}…` : text;
}
