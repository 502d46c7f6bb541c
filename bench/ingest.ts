import type { BenchCluster } from './bench-cluster.ts';
import type { BenchRun } from './bench-run.ts';
import { runLoad, type LoadPlan, type LoadResult } from './load-plan.ts';
import { measureEtcd, type EtcdPrograms } from './peers/etcd.ts';
import { atLeast, comparison, figure, type Peer, type Row } from './report.ts';
import { VALUE_BYTES } from './workload.ts';

const SIZES = [1, 3] as const;
const WORKERS = 2;
/** The size that the gate looks at, and the least there: a ratio of acknowledged messages to etcd's puts, and a rate. */
const GATED_SIZE = 3;
const ETCD_RATIO_MIN = 5;
const PER_SECOND_MIN = 50_000;
const ETCD_CALLERS = [256, 1_000] as const;
export const MATCH_EVERY = 10;
export const KEY_EVERY = 10;
const SINGLE_CALLERS = 64;
const DRAIN_LIMIT_MS = 60_000;

/**
 * Acknowledged messages per second, beside etcd's puts at the same cluster size, one after the other. The mix: 100 rules
 * in the catalog, 1 in 10 messages starts an instance, and over the binary protocol 1 in 10 has an idempotency key (a
 * message in a batch over HTTP cannot).
 */
export async function measureIngest(run: BenchRun, etcd: EtcdPrograms | undefined): Promise<Row[]> {
  const rows: Row[] = [];
  for (const coordinators of SIZES) {
    const peer = etcd === undefined ? undefined : await measurePeer(run, etcd, coordinators, rows);
    rows.push(...(await measureSize(run, coordinators, peer)));
  }
  return rows;
}

async function measurePeer(run: BenchRun, etcd: EtcdPrograms, members: number, rows: Row[]): Promise<Peer> {
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
  return best;
}

async function measureSize(run: BenchRun, coordinators: number, etcd: Peer | undefined): Promise<Row[]> {
  const { batchSize } = run.options;
  const where = `${coordinators} coordinator${coordinators === 1 ? '' : 's'}`;
  run.progress(`starting ${where}, ${WORKERS} workers`);
  const cluster = await run.startCluster(coordinators, WORKERS);
  const load = (name: string, plan: Partial<LoadPlan>): Promise<LoadResult> => loadCluster(run, cluster, name, plan);
  const isGated = coordinators === GATED_SIZE;
  const ratioMust = isGated && run.options.peer === 'etcd' ? ETCD_RATIO_MIN : undefined;
  const rows: Row[] = [];
  try {
    const binaryName = `ingest, ${where}, binary client, pipelined batches of ${batchSize}`;
    const binary = await load(binaryName, { protocol: 'binary', servers: cluster.peers, keyEvery: KEY_EVERY });
    rows.push(comparison(binaryName, binary.perSecond, 'messages/s', etcd, ratioMust));
    if (isGated) rows.push(atLeast(`${binaryName}, at least`, binary.perSecond, 'messages/s', PER_SECOND_MIN));
    rows.push(figure(`${binaryName}, p99`, binary.p99Ms, 'ms'));

    const name = `ingest, ${where}, HTTP batches of ${batchSize}`;
    const mixed = await load(name, {});
    if (isGated) rows.push(atLeast(`${name}, at least`, mixed.perSecond, 'messages/s', PER_SECOND_MIN));
    rows.push(comparison(name, mixed.perSecond, 'messages/s', etcd));
    rows.push(figure(`${name}, p50 of a batch`, mixed.p50Ms, 'ms'), figure(`${name}, p99`, mixed.p99Ms, 'ms'));

    const unmatched = await load(`${name}, none matches`, { matchEvery: 0 });
    rows.push(comparison(`${name}, none matches`, unmatched.perSecond, 'messages/s', etcd));

    const singles = await load(`ingest, ${where}, single messages`, { batchSize: 1, callers: SINGLE_CALLERS });
    rows.push(figure(`ingest, ${where}, single messages, ${SINGLE_CALLERS} callers`, singles.perSecond, 'messages/s'));
    rows.push(figure(`ingest, ${where}, single messages, p99`, singles.p99Ms, 'ms'));
  } finally {
    await cluster.stop();
  }
  return rows;
}

/** One load, with the instances of the one before out of the way. */
export async function loadCluster(
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
