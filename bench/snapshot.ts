import { setTimeout as delay } from 'node:timers/promises';
import type { MemberList } from '../api/rest.ts';
import type { BenchCluster } from './bench-cluster.ts';
import type { BenchRun } from './bench-run.ts';
import { type CommitHistogram, readCommits } from './commit-histogram.ts';
import type { Latencies } from './latency.ts';
import { atMost, figure, type Row } from './report.ts';
import { fillState, LightLoad } from './state-fill.ts';

const MIB = 1024 * 1024;
const STATE_MIB = 1_024;
const STATE_MIB_QUICK = 128;
const COORDINATORS = 3;
/** So small that what is behind the snapshot is long gone from it, and everybody needs one. */
const LIMITS = { logMapBytesMax: 256 * MIB };
const COMMIT_P99_MS_MAX = 100;
/** A learner that lacks no more than this has caught up. */
const CAUGHT_UP_LAG = 100;
const POLL_MS = 100;
const STEP_LIMIT_MS = 600_000;

/**
 * A large state goes to a new member while light traffic goes on: what commits take meanwhile at the leader, how fast the
 * state travels, and when the new member decides.
 */
export async function measureSnapshot(run: BenchRun): Promise<Row[]> {
  const stateMib = run.options.quick ? STATE_MIB_QUICK : STATE_MIB;
  run.progress(`starting ${COORDINATORS} coordinators, to be filled with ${stateMib} MiB`);
  const cluster = await run.startCluster(COORDINATORS, 0, { limits: LIMITS });
  try {
    const startedMs = performance.now();
    await fillState(cluster, stateMib * MIB);
    const fillSeconds = (performance.now() - startedMs) / 1_000;
    run.progress(`filled in ${fillSeconds.toFixed(1)} s`);
    return await measureTransfer(run, cluster, stateMib);
  } finally {
    await cluster.stop();
  }
}

async function measureTransfer(run: BenchRun, cluster: BenchCluster, stateMib: number): Promise<Row[]> {
  const { leader } = await cluster.status();
  if (leader === null) throw new Error('no coordinator leads');
  const name = `snapshot, ${stateMib} MiB to a new member`;
  const calm = await measured(cluster, leader, () => delay(run.durationMs));

  const joiner = await cluster.launch('joiner', leader, { limits: LIMITS });
  const startedMs = performance.now();
  let caughtUpMs = 0;
  const busy = await measured(cluster, leader, async () => {
    await cluster.post('/cluster/members', { id: joiner.id, address: joiner.peer, http_address: joiner.http });
    await awaitMember(cluster, leader, ({ id, lag = Infinity, match_index: matched = 0 }) => {
      return id === joiner.id && matched > 0 && lag <= CAUGHT_UP_LAG;
    });
    caughtUpMs = performance.now() - startedMs;
    const replaced = cluster.coordinators.find((id) => id !== leader);
    await cluster.post(`/cluster/members/${String(replaced)}/replace`, { with: joiner.id });
    await awaitMember(cluster, leader, ({ id, role }) => id === joiner.id && role === 'voter');
  });
  const votesMs = performance.now() - startedMs;
  const { leader: leaderNow } = await cluster.status();
  if (leaderNow !== leader) run.fail(`${name}: the leader changed from ${leader} to ${String(leaderNow)}`);
  if (busy.failures > 0) run.fail(`${name}: ${busy.failures} writes failed: ${busy.firstFailure ?? ''}`);
  return [
    atMost(`${name}, the leader's commit p99`, busy.commits.percentileMs(0.99), 'ms', COMMIT_P99_MS_MAX),
    figure(`${name}, the leader's commit p99 before`, calm.commits.percentileMs(0.99), 'ms'),
    figure(`${name}, acknowledged writes, p50`, busy.latencies.percentileMs(0.5), 'ms'),
    figure(`${name}, acknowledged writes, p99`, busy.latencies.percentileMs(0.99), 'ms'),
    figure(`${name}, acknowledged writes, p99 before`, calm.latencies.percentileMs(0.99), 'ms'),
    figure(`${name}, acknowledged writes, slowest`, busy.latencies.percentileMs(1), 'ms'),
    figure(`${name}, rate until it has caught up`, stateMib / (caughtUpMs / 1_000), 'MiB/s'),
    figure(`${name}, until it votes`, votesMs / 1_000, 's'),
  ];
}

interface Measured {
  /** Of the leader's entries, appended to committed. */
  commits: CommitHistogram;
  /** Of single messages, one request each. */
  latencies: Latencies;
  failures: number;
  firstFailure: string | undefined;
}

async function measured(cluster: BenchCluster, leader: string, during: () => Promise<unknown>): Promise<Measured> {
  const metrics = cluster.metricsOf(leader);
  const before = await readCommits(metrics);
  const load = new LightLoad(cluster.serverOf(leader), cluster.apiKey);
  await during().finally(() => load.stop());
  const { latencies, failures, firstFailure } = load;
  return { commits: (await readCommits(metrics)).since(before), latencies, failures, firstFailure };
}

type Member = MemberList['members'][number];

/** How far a member is, only the leader knows. */
async function awaitMember(cluster: BenchCluster, leader: string, isThere: (member: Member) => boolean): Promise<void> {
  const deadlineMs = performance.now() + STEP_LIMIT_MS;
  for (;;) {
    const { members, changing } = await cluster.getFrom<MemberList>(leader, '/cluster/members');
    if (!changing && members.some(isThere)) return;
    if (performance.now() >= deadlineMs) throw new Error(`the members are still ${JSON.stringify(members)}`);
    await delay(POLL_MS);
  }
}
