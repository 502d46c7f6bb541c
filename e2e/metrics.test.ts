/** What the metrics of all nodes say after a known workload is held against what was really done. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { metricValue, scrape, type Family } from './exposition.ts';
import { call, put } from './rest-call.ts';
import { TestCluster } from './test-cluster.ts';
import { until } from './until.ts';

const TIMEOUT_MS = 60_000;
const ORDERS = 30;
const PLAIN = 50;
const BROKEN = 4;

type Metrics = Map<string, Family>;
interface Report {
  status: string;
  checks: Record<string, { status: string; message?: string }>;
}

let cluster: TestCluster;
let nodes: string[];

/** 2 tasks per order: one that always succeeds, one that fails for good in every third instance. */
const WORKFLOW = {
  id: 'order',
  tasks: [
    { id: 'note', type: 'log' },
    { id: 'judge', type: 'transform', config: { expression: 'message.bad ? $error("bad") : "good"' } },
  ],
};
const RULE = {
  id: 'order',
  conditions: { field: 'event_type', op: 'equals', value: 'order' },
  actions: [{ workflow: 'order' }],
};

async function sendWorkload(): Promise<void> {
  const [first, second, third] = cluster.servers as [string, string, string];
  const orders = Array.from({ length: ORDERS }, (_, i) => JSON.stringify({ event_type: 'order', bad: i % 3 === 0 }));
  const lines = { body: orders.join('\n'), contentType: 'application/x-ndjson' };
  expect(await call(first, 'POST', '/messages', lines)).toMatchObject({ status: 202, body: { accepted: ORDERS } });
  const plain = Array.from({ length: PLAIN }, (_, i) => ({ i }));
  const answer = await call(second, 'POST', '/messages', { body: JSON.stringify(plain) });
  expect(answer).toMatchObject({ status: 202, body: { accepted: PLAIN } });
  for (let i = 0; i < BROKEN; i++) {
    // Valid messages that the cluster itself refuses: the first use of the key had another body.
    const options = { body: JSON.stringify({ i }), headers: { 'idempotency-key': 'one' } };
    expect((await call(third, 'POST', '/messages', options)).status).toBe(i === 0 ? 202 : 409);
  }
  await until('all instances end', 20_000, async () => {
    const all = await Promise.all(cluster.coordinators.map((id) => cluster.status(id)));
    return (
      all.every(({ counts }) => counts.messages === ORDERS + PLAIN + 1 && counts.instances_active === 0) || undefined
    );
  });
}

async function scrapeAll(): Promise<Map<string, Metrics>> {
  const all = await Promise.all(nodes.map(async (id) => [id, await scrape(cluster.observability(id))] as const));
  return new Map(all);
}

function total(all: ReadonlyMap<string, Metrics>, name: string, labels: Record<string, string> = {}): number {
  return [...all.values()].reduce((sum, metrics) => sum + metricValue(metrics, name, labels), 0);
}

async function health(id: string, probe: 'live' | 'ready'): Promise<{ code: number; report: Report }> {
  const response = await fetch(`${cluster.observability(id)}/health/${probe}`);
  return { code: response.status, report: (await response.json()) as Report };
}

beforeAll(async () => {
  cluster = await TestCluster.start({ coordinators: 3, workers: 1 });
  nodes = cluster.processes.nodes.map(({ id }) => id);
  await put(cluster.servers[0]!, '/workflow-definitions/order', WORKFLOW);
  await put(cluster.servers[0]!, '/rules/order', RULE);
  // Messages evaluated against an older catalog are evaluated again, and counted again.
  await until('all coordinators have the rule', 5_000, async () => {
    const all = await Promise.all(cluster.coordinators.map((id) => cluster.status(id)));
    return new Set(all.map(({ catalog_version: version }) => version)).size === 1 || undefined;
  });
  await sendWorkload();
}, 60_000);

afterAll(async () => {
  await cluster.end();
}, 60_000);

describe('/metrics after a known workload', () => {
  it('counts messages at the coordinator that took them', async () => {
    const all = await scrapeAll();
    const counts = cluster.coordinators.map((coordinator) => {
      const metrics = all.get(coordinator)!;
      return ['received', 'accepted', 'refused'].map((what) =>
        metricValue(metrics, `distric_messages_${what}_total`, { coordinator }),
      );
    });
    expect(counts).toEqual([
      [ORDERS, ORDERS, 0],
      [PLAIN, PLAIN, 0],
      [BROKEN, 1, BROKEN - 1],
    ]);
    expect(total(all, 'distric_messages_refused_total', { code: 'IDEMPOTENCY_CONFLICT' })).toBe(BROKEN - 1);
    expect(total(all, 'distric_rule_evaluations_total')).toBe(ORDERS + PLAIN + BROKEN);
    expect(total(all, 'distric_rule_evaluations_duration_seconds_count')).toBeGreaterThanOrEqual(2 + BROKEN);
  });

  it('counts instances and tasks once, on the leader', async () => {
    const all = await scrapeAll();
    const failed = ORDERS / 3;
    expect(total(all, 'distric_instances_started_total', { workflow: 'order' })).toBe(ORDERS);
    expect(total(all, 'distric_instances_ended_total', { status: 'COMPLETED' })).toBe(ORDERS - failed);
    expect(total(all, 'distric_instances_ended_total', { status: 'FAILED' })).toBe(failed);
    expect(total(all, 'distric_workflow_duration_seconds_count', { workflow: 'order' })).toBe(ORDERS);
    expect(total(all, 'distric_tasks_ended_total', { type: 'transform', status: 'COMPLETED' })).toBe(ORDERS - failed);
    expect(total(all, 'distric_tasks_ended_total', { type: 'transform', status: 'FAILED' })).toBe(failed);
    // A task that runs when its instance fails may be cancelled.
    expect(total(all, 'distric_tasks_ended_total', { type: 'log' })).toBe(ORDERS);
    expect(total(all, 'distric_tasks_running', { worker: 'worker-1' })).toBe(0);
    expect(total(all, 'distric_results_stale_total')).toBe(0);
  });

  it('agrees with what the worker counted itself', async () => {
    const worker = (await scrapeAll()).get('worker-1')!;
    expect(metricValue(worker, 'distric_worker_attempts_started_total', { type: 'transform' })).toBe(ORDERS);
    expect(metricValue(worker, 'distric_worker_attempts_finished_total', { type: 'transform' })).toBe(ORDERS);
    expect(metricValue(worker, 'distric_worker_slots_running')).toBe(0);
    expect(metricValue(worker, 'distric_worker_connected')).toBe(1);
  });

  it('tells of Raft, disk, network and event loop', async () => {
    const all = await scrapeAll();
    const status = await cluster.status('coordinator-1');
    expect(total(all, 'distric_raft_role', { role: 'leader' })).toBe(1);
    expect(metricValue(all.get(status.leader!)!, 'distric_raft_role', { role: 'leader' })).toBe(1);
    for (const id of cluster.coordinators) {
      const metrics = all.get(id)!;
      expect(metricValue(metrics, 'distric_raft_leader_changes_total')).toBe(1);
      expect(metricValue(metrics, 'distric_raft_term')).toBe(status.term);
      expect(metricValue(metrics, 'distric_state_hash_mismatches_total')).toBe(0);
      expect(metricValue(metrics, 'rpc_calls_total')).toBeGreaterThan(0);
      expect(metrics.has('rpc_errors_total')).toBe(true);
    }
    for (const metrics of all.values()) {
      expect(metricValue(metrics, 'tcp_connections_active')).toBeGreaterThan(0);
      expect(metricValue(metrics, 'tcp_bytes_sent_total')).toBeGreaterThan(0);
      expect(metricValue(metrics, 'tcp_bytes_received_total')).toBeGreaterThan(0);
      expect(metrics.has('tcp_errors_total')).toBe(true);
    }
    const leader = all.get(status.leader!)!;
    expect(metricValue(leader, 'distric_raft_commit_duration_seconds_count')).toBeGreaterThan(0);
    const names = [...leader.keys()].join(' ');
    for (const part of ['fsync', 'event_loop', 'state_commit']) expect(names).toContain(part);
  });
});

describe('/health', () => {
  it('is UP on every node, with a check per component', async () => {
    for (const id of nodes) {
      expect(await health(id, 'live')).toEqual({ code: 200, report: { status: 'UP' } });
      const { code, report } = await health(id, 'ready');
      expect({ id, code, status: report.status }).toEqual({ id, code: 200, status: 'UP' });
    }
    const { report } = await health('coordinator-1', 'ready');
    expect(Object.keys(report.checks).sort()).toEqual([
      'coordinator',
      'gossip',
      'membership',
      'raft',
      'storage',
      'workers_available',
    ]);
    expect(Object.keys((await health('worker-1', 'ready')).report.checks).sort()).toEqual([
      'gossip',
      'leader',
      'plugins',
      'worker',
    ]);
  });

  it(
    'is DEGRADED, and ready all the same, without workers; and counts the change of leader',
    async () => {
      await cluster.processes.kill('worker-1', 'SIGTERM');
      const degraded = await until('coordinators miss the worker', 15_000, async () => {
        const answer = await health('coordinator-2', 'ready');
        return answer.report.checks['workers_available']?.status === 'DEGRADED' ? answer : undefined;
      });
      expect(degraded).toMatchObject({
        code: 200,
        report: { status: 'DEGRADED', checks: { raft: { status: 'UP' }, workers_available: { message: 'no worker is registered' } } }, // prettier-ignore
      });

      const { leader } = await cluster.status('coordinator-2');
      await cluster.processes.kill(leader!);
      const survivor = cluster.coordinators.find((id) => id !== leader)!;
      await until('another leader', 15_000, async () => {
        const status = await cluster.status(survivor);
        return (status.leader !== null && status.leader !== leader) || undefined;
      });
      const metrics = await scrape(cluster.observability(survivor));
      expect(metricValue(metrics, 'distric_raft_leader_changes_total')).toBe(2);
    },
    TIMEOUT_MS,
  );
});
