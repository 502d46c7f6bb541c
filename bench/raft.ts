import type { BenchCluster } from './bench-cluster.ts';
import type { BenchRun } from './bench-run.ts';
import { readCommits } from './commit-histogram.ts';
import { KEY_EVERY, loadCluster, MATCH_EVERY } from './ingest.ts';
import { measureEtcd, type EtcdPrograms } from './peers/etcd.ts';
import { atLeast, atMost, comparison, figure, type Peer, type Row } from './report.ts';
import { VALUE_BYTES } from './workload.ts';

const COORDINATORS = 3;
const WORKERS = 2;
/** Most that one message at a time may take, of what a put takes at etcd. */
const ETCD_LATENCY_RATIO_MAX = 2;
const COMMIT_P99_MS_MAX = 100;
/** What is offered past saturation, of the most that was taken, and what has to be left of that. */
const OVERLOAD = 3;
const GOODPUT_PERCENT_MIN = 90;
/** As many clients, so that the coordinators refuse and not only the credit of one connection holds back. */
const OVERLOAD_CONNECTIONS = 8;

/** What replication adds to a write, and what is left of it when more is offered than can be taken. */
export async function measureRaft(run: BenchRun, etcd: EtcdPrograms | undefined): Promise<Row[]> {
  const peer = etcd === undefined ? undefined : await measurePeer(run, etcd);
  run.progress(`starting ${COORDINATORS} coordinators, ${WORKERS} workers`);
  const cluster = await run.startCluster(COORDINATORS, WORKERS);
  try {
    return [...(await measureLatency(run, cluster, peer)), ...(await measureOverload(run, cluster))];
  } finally {
    await cluster.stop();
  }
}

async function measurePeer(run: BenchRun, etcd: EtcdPrograms): Promise<Peer> {
  run.progress(`etcd, ${COORDINATORS} members, one put at a time`);
  const { durationMs, options } = run;
  const common = { valueBytes: VALUE_BYTES, durationMs, dataRoot: options.dataRoot };
  const { p50Ms } = await measureEtcd(etcd, { ...common, members: COORDINATORS, callers: 1 });
  return { name: 'etcd, 1 caller', value: p50Ms };
}

async function measureLatency(run: BenchRun, cluster: BenchCluster, etcd: Peer | undefined): Promise<Row[]> {
  const alone = { batchSize: 1, callers: 1, matchEvery: 0 };
  const rows: Row[] = [];
  for (const protocol of ['http', 'binary'] as const) {
    const servers = protocol === 'binary' ? cluster.peers : cluster.servers;
    const name = `raft, one message at a time over ${protocol}, p50`;
    const { p50Ms } = await loadCluster(run, cluster, name, { ...alone, protocol, servers });
    const most = run.options.peer === 'etcd' ? ETCD_LATENCY_RATIO_MAX : undefined;
    rows.push(comparison(name, p50Ms, 'ms', etcd, most, 'ratio_at_most'));
  }
  return rows;
}

async function measureOverload(run: BenchRun, cluster: BenchCluster): Promise<Row[]> {
  const mix = { protocol: 'binary', servers: cluster.peers, matchEvery: MATCH_EVERY, keyEvery: KEY_EVERY } as const;
  const { leader } = await cluster.status();
  const metrics = cluster.metricsOf(leader ?? '');
  const before = await readCommits(metrics);
  const most = await loadCluster(run, cluster, 'raft, the most that is taken', mix);
  const commitMs = (await readCommits(metrics)).since(before).percentileMs(0.99);
  const offeredPerSecond = Math.ceil(OVERLOAD * most.perSecond);
  const over = await loadCluster(run, cluster, `raft, ${OVERLOAD} times that offered`, {
    ...mix,
    offeredPerSecond,
    connections: OVERLOAD_CONNECTIONS,
  });
  const percent = (100 * over.perSecond) / most.perSecond;
  return [
    figure('raft, the most that is taken', most.perSecond, 'messages/s'),
    atMost('raft, commit under that load, p99', commitMs, 'ms', COMMIT_P99_MS_MAX),
    figure(`raft, offered past saturation`, offeredPerSecond, 'messages/s'),
    figure('raft, goodput past saturation', over.perSecond, 'messages/s'),
    figure('raft, past saturation, p99 of a batch that is taken', over.p99Ms, 'ms'),
    atLeast('raft, goodput past saturation, of the most that is taken', percent, '%', GOODPUT_PERCENT_MIN),
  ];
}
