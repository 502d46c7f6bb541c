/** What the demonstration breaks while deliveries come in. */
import type { ClusterStatus } from '../../api/rest.ts';
import type { LocalCluster } from '../../cli/local-cluster.ts';

const POLL_MS = 10;
const WAIT_MS_MAX = 10_000;

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export interface LeaderKill {
  leader: string;
  atMs: number;
}

/** kill -9, without a word to anybody. */
export async function killLeader(cluster: LocalCluster): Promise<LeaderKill> {
  const deadlineMs = performance.now() + WAIT_MS_MAX;
  for (;;) {
    const leader = await cluster.leader();
    if (leader !== undefined && cluster.isRunning(leader)) {
      const atMs = performance.now();
      await cluster.kill(leader);
      return { leader, atMs };
    }
    if (performance.now() > deadlineMs) throw new Error('no leader to kill: the cluster has not elected one');
    await pause(POLL_MS);
  }
}

/** Kills the first worker that is seen to run a task, or undefined when none was seen in time. */
export async function killBusyWorker(cluster: LocalCluster): Promise<{ worker: string; running: number } | undefined> {
  const client = cluster.client(WAIT_MS_MAX);
  const deadlineMs = performance.now() + WAIT_MS_MAX;
  while (performance.now() < deadlineMs) {
    const status = await client.get<ClusterStatus>('/cluster/status', { consistency: 'stale' });
    const busy = status.workers.find(({ id, running }) => running > 0 && cluster.isRunning(id));
    if (busy !== undefined) {
      await cluster.kill(busy.id);
      return { worker: busy.id, running: busy.running };
    }
    await pause(POLL_MS);
  }
  return undefined;
}

/** Resolves when no instance runs any more, or throws when that takes longer than `waitMs`. */
export async function untilQuiet(
  cluster: LocalCluster,
  waitMs: number,
  onProgress: (active: number) => void,
): Promise<void> {
  const client = cluster.client(WAIT_MS_MAX);
  const deadlineMs = performance.now() + waitMs;
  for (;;) {
    const { counts } = await client.get<ClusterStatus>('/cluster/status');
    onProgress(counts.instances_active);
    if (counts.instances_active === 0) return;
    if (performance.now() > deadlineMs) {
      throw new Error(`${String(counts.instances_active)} instances still run after ${String(waitMs)} ms`);
    }
    await pause(100);
  }
}
