import { performance } from 'node:perf_hooks';
import type { NetLog } from './net-metrics.ts';

export interface LogLimits {
  /** Lines of one message within a window; what is over is counted and told at its end. */
  linesMax: number;
  windowMs: number;
}

export const LOG_LIMITS: LogLimits = { linesMax: 20, windowMs: 10_000 };

interface Window {
  startedMs: number;
  lines: number;
  suppressed: number;
  timer: NodeJS.Timeout | undefined;
}

/** For what strangers can cause: whoever may connect would fill the log. Messages are constant texts, so there are few. */
export class LimitedLog implements NetLog {
  readonly #log: NetLog;
  readonly #limits: LogLimits;
  readonly #windows = new Map<string, Window>();

  constructor(log: NetLog, limits: LogLimits = LOG_LIMITS) {
    this.#log = log;
    this.#limits = limits;
  }

  debug(fields: object, message: string): void {
    this.#log.debug(fields, message);
  }

  info(fields: object, message: string): void {
    if (this.#takes('info', message)) this.#log.info(fields, message);
  }

  warn(fields: object, message: string): void {
    if (this.#takes('warn', message)) this.#log.warn(fields, message);
  }

  #takes(level: 'info' | 'warn', message: string): boolean {
    const { linesMax, windowMs } = this.#limits;
    const nowMs = performance.now();
    let window = this.#windows.get(message);
    if (window === undefined || (nowMs - window.startedMs >= windowMs && window.timer === undefined)) {
      window = { startedMs: nowMs, lines: 0, suppressed: 0, timer: undefined };
      this.#windows.set(message, window);
    }
    if (window.lines < linesMax) {
      window.lines++;
      return true;
    }
    window.suppressed++;
    window.timer ??= setTimeout(() => {
      this.#windows.delete(message);
      this.#log[level]({ suppressed: window.suppressed, windowMs }, message);
    }, windowMs).unref();
    return false;
  }
}
