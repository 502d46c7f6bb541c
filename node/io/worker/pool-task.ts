import type { Logger } from '../../plugins/sdk.ts';
import type { Death } from './blame.ts';
import type { AttemptRequest, Outcome } from './plugin-protocol.ts';

export interface PoolOptions {
  files: readonly string[];
  reservedNames: readonly string[];
  processes: number;
  /** Attempts at once in one process. */
  attemptsPerProcess: number;
  memoryMb: number;
  timeoutGraceMs: number;
  startTimeoutMs: number;
  log: Logger;
}

export interface PoolTask {
  id: number;
  request: AttemptRequest;
  timeoutMs: number;
  done: (outcome: Outcome) => void;
}

export function timedOut(timeoutMs: number): Outcome {
  return { status: 'retryable', error: `timed out after ${timeoutMs} ms` };
}

export function bystander(death: Death): Outcome {
  const why = death.cause === 'exit' ? `exited with ${death.how}` : `was killed (${death.cause})`;
  return { status: 'lost', error: `the plugin process ${why} while this attempt ran beside others` };
}

export function logDeath(log: Logger, pid: number, death: Death, running: number, guilty: number): void {
  log.error('a plugin process died', {
    plugin_pid: pid,
    ...(death.cause === 'exit' ? { how: death.how } : { cause: death.cause }),
    attempts_lost: running - guilty,
    attempts_failed: guilty,
  });
}
