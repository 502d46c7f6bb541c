import type { BenchCluster } from './bench-cluster.ts';
import type { BenchRun } from './bench-run.ts';
import { runLoad, type LoadPlan, type LoadResult } from './load-plan.ts';
import { measureEtcd, type EtcdPrograms } from './peers/etcd.ts';
import { comparison, figure, type Peer, type Row } from './report.ts';
import { VALUE_BYTES } from './workload.ts';

const SIZES = [1, 3] as const;
const WORKERS = 2;
/** The size that the gate looks at, and its least ratio of acknowledged messages to etcd's puts. */
const GATED_SIZE = 3;
const ETCD_RATIO_MIN = 3;
const ETCD_CALLERS = [256, 1_000] as const;
const MATCH_EVERY = 10;
const SINGLE_CALLERS = 64;
const DRAIN_LIMIT_MS = 60_000;

interface EtcdFigures {
  best: Peer;
  oneAtATimeP50Ms: number;
}

/** Acknowledged messages per second over HTTP, beside etcd's puts at the same cluster size, one after the other. */
export async function measureIngest(run: BenchRun, etcd: EtcdPrograms | undefined): Promise<Row[]> {
  const rows: Row[] = [];
  for (const coordinators of SIZES) {
    const peer = etcd === undefined ? undefined : await measurePeer(run, etcd, coordinators, rows);
    rows.push(...(await measureSize(run, coordinators, peer)));
  }
  return rows;
}

async function measurePeer(run: BenchRun, etcd: EtcdPrograms, members: number, rows: Row[]): Promise<EtcdFigures> {
  const common = { members, valueBytes: VALUE_BYTES, durationMs: run.durationMs, dataRoot: run.options.dataRoot };
  let best: Peer = { name: 'etcd', value: 0 };
  const where = `etcd, ${members} member${members === 1 ? '' : 's'}`;
  for (const callers of ETCD_CALLERS) {
    run.progress(`${where}, ${callers} callers`);
    const result = await measureEtcd(etcd, { ...common, callers });
    if (result.errors > 0) run.fail(`etcd failed ${result.errors} puts: ${result.firstFailure ?? ''}`);
    if (result.putsPerSecond > best.value) best = { name: `etcd, ${callers} callers`, value: result.putsPerSecond };
    rows.push(figure(`${where}, ${callers} callers`, result.putsPerSecond, 'puts/s'));
    rows.push(figure(`${where}, ${callers} callers, p99`, result.p99Ms, 'ms'));
  }
  run.progress(`${where}, one put at a time`);
  const single = await measureEtcd(etcd, { ...common, callers: 1 });
  return { best, oneAtATimeP50Ms: single.p50Ms };
}

async function measureSize(run: BenchRun, coordinators: number, etcd: EtcdFigures | undefined): Promise<Row[]> {
  const { batchSize } = run.options;
  const where = `${coordinators} coordinator${coordinators === 1 ? '' : 's'}`;
  run.progress(`starting ${where}, ${WORKERS} workers`);
  const cluster = await run.startCluster(coordinators, WORKERS);
  const load = (name: string, plan: Partial<LoadPlan>): Promise<LoadResult> => loadCluster(run, cluster, name, plan);
  const rows: Row[] = [];
  try {
    const mixed = await load(`ingest, ${where}, 1 in ${MATCH_EVERY} starts an instance`, {});
    const must = coordinators === GATED_SIZE && run.options.peer === 'etcd' ? ETCD_RATIO_MIN : undefined;
    const name = `ingest, ${where}, HTTP batches of ${batchSize}`;
    rows.push(comparison(name, mixed.perSecond, 'messages/s', etcd?.best, must));
    rows.push(figure(`${name}, p50 of a batch`, mixed.p50Ms, 'ms'), figure(`${name}, p99`, mixed.p99Ms, 'ms'));

    const unmatched = await load(`ingest, ${where}, none starts an instance`, { matchEvery: 0 });
    rows.push(comparison(`${name}, none matches`, unmatched.perSecond, 'messages/s', etcd?.best));

    const binary = await load(`ingest, ${where}, binary client`, { protocol: 'binary', servers: cluster.peers });
    const binaryName = `ingest, ${where}, binary client, pipelined batches of ${batchSize}`;
    const binaryMust = run.options.peer === 'etcd' ? ETCD_RATIO_MIN : undefined;
    rows.push(comparison(binaryName, binary.perSecond, 'messages/s', etcd?.best, binaryMust));
    rows.push(figure(`${binaryName}, p99`, binary.p99Ms, 'ms'));

    const singles = await load(`ingest, ${where}, single messages`, { batchSize: 1, callers: SINGLE_CALLERS });
    rows.push(figure(`ingest, ${where}, single messages, ${SINGLE_CALLERS} callers`, singles.perSecond, 'messages/s'));
    rows.push(figure(`ingest, ${where}, single messages, p99`, singles.p99Ms, 'ms'));

    const alone = await load(`ingest, ${where}, one at a time`, { batchSize: 1, callers: 1, matchEvery: 0 });
    const peer = etcd && { name: 'etcd, 1 caller', value: etcd.oneAtATimeP50Ms };
    rows.push(comparison(`ingest, ${where}, one message at a time, p50`, alone.p50Ms, 'ms', peer));
  } finally {
    await cluster.stop();
  }
  return rows;
}

/** One load, with the instances of the one before out of the way. */
async function loadCluster(
  run: BenchRun,
  cluster: BenchCluster,
  name: string,
  plan: Partial<LoadPlan>,
): Promise<LoadResult> {
  const { batchSize, callers } = run.options;
  run.progress(name);
  const { warmupMs, durationMs } = run;
  const defaults = { batchSize, callers, matchEvery: MATCH_EVERY, warmupMs, durationMs };
  const result = await runLoad({ servers: cluster.servers, apiKey: cluster.apiKey, ...defaults, ...plan });
  if (result.errors > 0) run.fail(`${name}: ${result.errors} requests failed: ${result.firstFailure ?? ''}`);
  if (result.refused > 0) run.progress(`  refused ${result.refused} messages: ${result.firstFailure ?? ''}`);
  const left = await cluster.drained(DRAIN_LIMIT_MS);
  if (left > 0) run.fail(`${name}: ${left} instances had not ended ${DRAIN_LIMIT_MS / 1_000} s after the load`);
  return result;
}
