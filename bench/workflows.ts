import type { BenchCluster } from './bench-cluster.ts';
import type { BenchRun } from './bench-run.ts';
import { Latencies } from './latency.ts';
import { type LoadPlan, runLoad } from './load-plan.ts';
import { figure, type Row } from './report.ts';

const SIZES = [1, 3] as const;
const WORKERS = 2;
const INSTANCES = 50_000;
const INSTANCES_QUICK = 5_000;
const UNHURRIED = 200;
const BATCH_SIZE = 50;
const CALLERS = 8;
const DRAIN_LIMIT_MS = 120_000;

/** One-task instances per second, from the first message sent to the last instance ended: completed work only. */
export async function measureWorkflows(run: BenchRun): Promise<Row[]> {
  const rows: Row[] = [];
  for (const coordinators of SIZES) {
    const where = `${coordinators} coordinator${coordinators === 1 ? '' : 's'}`;
    run.progress(`starting ${where}, ${WORKERS} workers`);
    const cluster = await run.startCluster(coordinators, WORKERS);
    try {
      rows.push(...(await measureUnhurried(run, cluster, where)));
      rows.push(...(await measureRate(run, cluster, where)));
    } finally {
      await cluster.stop();
    }
  }
  return rows;
}

async function measureUnhurried(run: BenchRun, cluster: BenchCluster, where: string): Promise<Row[]> {
  const name = `workflows, ${where}, one at a time`;
  run.progress(name);
  const result = await runLoad({ ...plan(cluster), batchSize: 1, callers: 1, messages: UNHURRIED });
  await settle(run, cluster, name, result.errors, result.firstFailure);
  const latencies = await endToEnd(run, cluster, name, result.instances);
  return [figure(`${name}, accept to end, p50`, latencies.percentileMs(0.5), 'ms')];
}

async function measureRate(run: BenchRun, cluster: BenchCluster, where: string): Promise<Row[]> {
  const name = `workflows, ${where}`;
  const messages = run.options.quick ? INSTANCES_QUICK : INSTANCES;
  run.progress(`${name}, ${messages} instances`);
  const startMs = performance.now();
  const result = await runLoad({ ...plan(cluster), batchSize: BATCH_SIZE, callers: CALLERS, messages });
  const left = await settle(run, cluster, name, result.errors, result.firstFailure);
  const seconds = (performance.now() - startMs) / 1_000;
  const latencies = await endToEnd(run, cluster, name, result.instances);
  return [
    figure(`${name}, completed one-task instances`, (result.acknowledged - left) / seconds, 'instances/s'),
    figure(`${name}, accept to end at full load, p99`, latencies.percentileMs(0.99), 'ms'),
  ];
}

function plan(cluster: BenchCluster): Pick<LoadPlan, 'servers' | 'apiKey' | 'matchEvery' | 'warmupMs'> {
  return { servers: cluster.servers, apiKey: cluster.apiKey, matchEvery: 1, warmupMs: 0 };
}

async function settle(
  run: BenchRun,
  cluster: BenchCluster,
  name: string,
  errors: number,
  firstFailure: string | undefined,
): Promise<number> {
  if (errors > 0) run.fail(`${name}: ${errors} requests failed: ${firstFailure ?? ''}`);
  const left = await cluster.drained(DRAIN_LIMIT_MS);
  if (left > 0) run.fail(`${name}: ${left} instances had not ended ${DRAIN_LIMIT_MS / 1_000} s after the load`);
  return left;
}

/** From creation to end, by cluster time, of the sampled instances; each must have completed. */
async function endToEnd(
  run: BenchRun,
  cluster: BenchCluster,
  name: string,
  instances: readonly string[],
): Promise<Latencies> {
  const latencies = new Latencies();
  for (const id of instances) {
    const { status, created_at: createdAt, ended_at: endedAt } = await cluster.instance(id);
    if (status !== 'COMPLETED' || endedAt === undefined) run.fail(`${name}: instance ${id} is ${status}`);
    else latencies.record(Date.parse(endedAt) - Date.parse(createdAt));
  }
  if (latencies.count === 0) run.fail(`${name}: no instance was started`);
  return latencies;
}
