/**
 * The load generator that speaks the binary protocol, a process of its own: `callers` batches under way on one
 * connection, made by the client that users have. Takes a LoadPlan and prints a LoadResult as http-load.ts does.
 */
import { performance } from 'node:perf_hooks';
import { DistricClient, type OutgoingMessage, type SendOutcome } from '../../client/client.ts';
import { Latencies } from '../latency.ts';
import type { LoadPlan, LoadResult } from '../load-plan.ts';
import { benchMessages } from '../workload.ts';

const BATCHES = 64;
const SAMPLES_MAX = 500;

const plan = JSON.parse(process.argv[2] ?? '{}') as LoadPlan;
const client = await DistricClient.connect({
  servers: plan.servers,
  ...(plan.apiKey === undefined ? {} : { apiKey: plan.apiKey }),
});
const prepared: OutgoingMessage[][] = Array.from({ length: BATCHES }, (_, index) =>
  benchMessages(index * plan.batchSize, plan.batchSize, plan.matchEvery).map((text) => ({
    payload: Buffer.from(text),
  })),
);
const startMs = performance.now() + plan.warmupMs;
const endMs = plan.durationMs === undefined ? Infinity : startMs + plan.durationMs;
const latencies = new Latencies();
const samples: string[] = [];
let sentBatches = 0;
let acknowledged = 0;
let acknowledgedInTime = 0;
let refused = 0;
let errors = 0;
let firstFailure: string | undefined;

async function call(): Promise<void> {
  while (performance.now() < endMs) {
    if (plan.messages !== undefined && sentBatches * plan.batchSize >= plan.messages) return;
    const batch = prepared[sentBatches++ % BATCHES] ?? [];
    const sentMs = performance.now();
    const outcomes = await client.send(batch);
    count(outcomes, sentMs, performance.now());
  }
}

function count(outcomes: readonly SendOutcome[], sentMs: number, answeredMs: number): void {
  const inTime = answeredMs >= startMs && answeredMs <= endMs;
  if (inTime) latencies.record(answeredMs - sentMs);
  for (const outcome of outcomes) {
    if ('accepted' in outcome) {
      acknowledged++;
      if (!inTime) continue;
      acknowledgedInTime++;
      if (samples.length < SAMPLES_MAX) samples.push(...outcome.accepted.instances.slice(0, 1));
    } else {
      firstFailure ??= `${outcome.error.code}: ${outcome.error.message}`;
      if (outcome.error.code === 'OUTCOME_UNKNOWN') errors++;
      else refused++;
    }
  }
}

await Promise.all(Array.from({ length: plan.callers }, call));
const countedMs = Math.min(performance.now(), endMs) - startMs;
await client.close();
const result: LoadResult = {
  acknowledged,
  refused,
  errors,
  perSecond: (1_000 * acknowledgedInTime) / countedMs,
  p50Ms: latencies.percentileMs(0.5),
  p99Ms: latencies.percentileMs(0.99),
  instances: samples,
  ...(firstFailure === undefined ? {} : { firstFailure }),
};
console.log(JSON.stringify(result));
