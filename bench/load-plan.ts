import { join } from 'node:path';
import { runProgram } from './children.ts';

export interface LoadPlan {
  /** Default http. */
  protocol?: 'http' | 'binary';
  /** Base URLs, callers spread over them evenly; for `binary`, `host:port` of the peer ports. */
  servers: readonly string[];
  apiKey?: string | undefined;
  callers: number;
  /** Messages in a request: 1 is a single JSON object, more is NDJSON. */
  batchSize: number;
  /** Every how many messages one starts an instance; 0 for none. */
  matchEvery: number;
  /** Every how many messages one has an idempotency key of its own; 0, the default, for none. `binary` only. */
  keyEvery?: number;
  /** Open loop, instead of `callers`: so many messages a second are offered, whatever is answered. `binary` only. */
  offeredPerSecond?: number;
  /** Each of a client of its own. Default 1; `binary` only. */
  connections?: number;
  warmupMs: number;
  /** Counted time after the warm-up; or `messages`. */
  durationMs?: number;
  /** About how many messages to send in all. */
  messages?: number;
}

export interface LoadResult {
  /** In all, warm-up included. */
  acknowledged: number;
  /** By 429 or 503, or held back by the client: nothing of them was kept. */
  refused: number;
  /** Requests without an answer, or with one that is neither acceptance nor back-pressure. */
  errors: number;
  /** Acknowledged messages per second of the counted time. */
  perSecond: number;
  /** What the load generator itself used of the processors. */
  cpuSeconds: number;
  /** Per request. */
  p50Ms: number;
  p99Ms: number;
  /** Ids of some instances that were started. */
  instances: readonly string[];
  firstFailure?: string;
}

const GRACE_MS = 120_000;

/** Runs the load generator as a process of its own, so that its work does not slow what waits for it. */
export async function runLoad(plan: LoadPlan): Promise<LoadResult> {
  const script = join(import.meta.dirname, plan.protocol === 'binary' ? 'load/client-load.ts' : 'load/http-load.ts');
  const timeoutMs = plan.warmupMs + (plan.durationMs ?? 0) + GRACE_MS;
  return JSON.parse(await runProgram(process.execPath, [script, JSON.stringify(plan)], { timeoutMs })) as LoadResult;
}

/** Of this process so far. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
