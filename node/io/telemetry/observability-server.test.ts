import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { CoordinatorMetrics, WorkerMetrics } from '../../metrics.ts';
import { CoordinatorTelemetry } from './coordinator-telemetry.ts';
import { DatagramMetrics } from './datagram-metrics.ts';
import { HealthRegistry } from './health.ts';
import { LabelLimit } from './label-limit.ts';
import { NetworkMetrics } from './network-metrics.ts';
import { NodeMetrics } from './node-metrics.ts';
import { ObservabilityServer } from './observability-server.ts';
import { WorkerTelemetry } from './worker-telemetry.ts';

let metrics: NodeMetrics;
let health: HealthRegistry;
let server: ObservabilityServer;
let base: string;
let port: number;

beforeEach(async () => {
  metrics = new NodeMetrics({ nodeId: 'c1', role: 'coordinator', version: '9.9.9' });
  health = new HealthRegistry();
  server = new ObservabilityServer({ host: '127.0.0.1', port: 0, registry: metrics.registry, health });
  const address = await server.listen();
  port = address.port;
  base = `http://${address.host}:${String(port)}`;
});

afterEach(async () => {
  await server.close();
  metrics.close();
});

/** Series of a scrape, with labels as Prometheus prints them, to its value. */
async function scrape(): Promise<Map<string, number>> {
  const response = await fetch(`${base}/metrics`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
  const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  );
}

async function expectSeries(expected: Record<string, number>): Promise<void> {
  const series = await scrape();
  const found = Object.keys(expected).map((name) => [name, series.get(name)]);
  expect(Object.fromEntries(found)).toEqual(expected);
}

describe('GET /health', () => {
  it('answers readiness with every check: 200 when UP or DEGRADED, 503 when DOWN', async () => {
    health.register('raft');
    const down = await fetch(`${base}/health/ready`);
    expect([down.status, await down.json()]).toEqual([
      503,
      { status: 'DOWN', checks: { raft: { status: 'DOWN', message: 'starting' } } },
    ]);
    health.set('raft', 'UP');
    health.set('workers_available', 'DEGRADED', 'no worker is connected');
    const degraded = await fetch(`${base}/health/ready`);
    expect([degraded.status, ((await degraded.json()) as { status: string }).status]).toEqual([200, 'DEGRADED']);
  });

  it('answers liveness whatever the checks say', async () => {
    health.register('raft');
    const response = await fetch(`${base}/health/live`);
    expect([response.status, await response.json()]).toEqual([200, { status: 'UP' }]);
  });

  it('answers 404 with the paths it has', async () => {
    const response = await fetch(`${base}/`);
    expect([response.status, await response.text()]).toEqual([404, expect.stringContaining('/health/ready')]);
  });

  it('closes although a client keeps its connection', async () => {
    const socket = connect(port, '127.0.0.1');
    const closed = new Promise((resolve) => socket.on('close', resolve));
    await new Promise((resolve) => socket.on('connect', resolve));
    await server.close();
    await closed;
    await expect(fetch(`${base}/health/live`)).rejects.toThrow();
  });
});

describe('GET /metrics', () => {
  it('has the process, the build and the event-loop delay of this node', async () => {
    const series = await scrape();
    const build = `distric_build_info{version="9.9.9",node_version="${process.version}",role="coordinator",node="c1"}`;
    expect(series.get(build)).toBe(1);
    expect(series.get('process_resident_memory_bytes')).toBeGreaterThan(1_000_000);
    for (const quantile of ['0.5', '0.99', '0.999']) {
      expect(series.has(`distric_event_loop_delay_seconds{quantile="${quantile}"}`)).toBe(true);
    }
  });

  it('keeps the registries of two nodes in one process apart', async () => {
    const other = new NodeMetrics({ nodeId: 'c2', role: 'coordinator', version: '9.9.9' });
    new CoordinatorTelemetry(other.registry, 'c2').messagesReceived(7);
    new CoordinatorTelemetry(metrics.registry, 'c1').messagesReceived(1);
    await expectSeries({ 'distric_messages_received_total{coordinator="c1"}': 1 });
    expect(await other.registry.metrics()).toContain('distric_messages_received_total{coordinator="c2"} 7');
    other.close();
  });

  it('counts messages, rules, instances and raft as they were reported', async () => {
    const coordinator: CoordinatorMetrics = new CoordinatorTelemetry(metrics.registry, 'c1');
    await expectSeries({ 'distric_messages_received_total{coordinator="c1"}': 0 });
    coordinator.messagesReceived(5);
    coordinator.messagesAccepted(3);
    coordinator.messagesRefused('INVALID_JSON', 2);
    coordinator.ruleEvaluation(3, 0.25);
    coordinator.instanceStarted('fraud');
    coordinator.instanceEnded('fraud', 'COMPLETED', 2);
    coordinator.instancesActive(4);
    coordinator.raftState('leader', 7);
    coordinator.leaderChanged();
    coordinator.raftProgress(40, 30, 20, 10);
    coordinator.commitLatency(0.002);
    coordinator.stateHashMismatch();
    await expectSeries({
      'distric_messages_received_total{coordinator="c1"}': 5,
      'distric_messages_accepted_total{coordinator="c1"}': 3,
      'distric_messages_refused_total{coordinator="c1",code="INVALID_JSON"}': 2,
      distric_rule_evaluations_total: 3,
      distric_rule_evaluations_duration_seconds_sum: 0.25,
      'distric_instances_started_total{workflow="fraud"}': 1,
      'distric_instances_ended_total{workflow="fraud",status="COMPLETED"}': 1,
      'distric_workflow_duration_seconds_sum{workflow="fraud"}': 2,
      'distric_workflow_duration_seconds_count{workflow="fraud"}': 1,
      distric_instances_active: 4,
      'distric_raft_role{role="leader"}': 1,
      'distric_raft_role{role="follower"}': 0,
      distric_raft_term: 7,
      distric_raft_leader_changes_total: 1,
      'distric_raft_index{position="first"}': 10,
      'distric_raft_index{position="applied"}': 20,
      'distric_raft_index{position="committed"}': 30,
      'distric_raft_index{position="last"}': 40,
      distric_raft_commit_duration_seconds_count: 1,
      distric_state_hash_mismatches_total: 1,
    });
    coordinator.raftState('follower', 8);
    await expectSeries({ 'distric_raft_role{role="leader"}': 0, 'distric_raft_role{role="follower"}': 1 });
  });

  it('counts tasks as they were reported', async () => {
    const coordinator: CoordinatorMetrics = new CoordinatorTelemetry(metrics.registry, 'c1');
    coordinator.tasksRunning('w1', 12);
    coordinator.tasksRunning('w1', 0);
    coordinator.tasksRunning('w2', 3);
    coordinator.tasksReady(6);
    coordinator.taskEnded('http', 'FAILED');
    coordinator.taskAssigned(0.5);
    coordinator.taskRetried('http');
    coordinator.taskRedispatched('http');
    coordinator.resultStale();
    await expectSeries({
      'distric_tasks_running{worker="w1"}': 0,
      'distric_tasks_running{worker="w2"}': 3,
      distric_tasks_ready: 6,
      'distric_tasks_ended_total{type="http",status="FAILED"}': 1,
      distric_task_wait_duration_seconds_sum: 0.5,
      'distric_task_retries_total{type="http"}': 1,
      'distric_task_redispatches_total{type="http"}': 1,
      distric_results_stale_total: 1,
    });
  });

  it('counts datagrams, and shows the round trip of a peer while it is there', async () => {
    const datagrams = new DatagramMetrics(metrics.registry);
    datagrams.packetSent(100);
    datagrams.packetReceived(40);
    datagrams.packetReceived(2);
    datagrams.sendFailed();
    datagrams.packetDropped('forged');
    const network = new NetworkMetrics(metrics.registry);
    network.compressionSaved(700);
    network.roundTrip('c2', 0.004);
    network.roundTrip('c3', 0.002);
    network.roundTripForgotten('c3');
    await expectSeries({
      udp_packets_sent_total: 1,
      udp_bytes_sent_total: 100,
      udp_packets_received_total: 2,
      udp_bytes_received_total: 42,
      udp_send_errors_total: 1,
      'udp_packets_dropped_total{reason="forged"}': 1,
      tcp_compression_saved_bytes_total: 700,
      'rpc_peer_rtt_seconds{peer="c2"}': 0.004,
    });
    expect((await scrape()).has('rpc_peer_rtt_seconds{peer="c3"}')).toBe(false);
  });

  it('counts the worker, the network and the disks as they were reported', async () => {
    const worker: WorkerMetrics = new WorkerTelemetry(metrics.registry);
    worker.taskStarted('log');
    worker.taskFinished('log', 'ok', 0.25);
    worker.slots(2, 16);
    worker.connected('c1');
    worker.connected('c2');
    const network = new NetworkMetrics(metrics.registry);
    network.connectionOpened();
    network.connectionOpened();
    network.connectionClosed();
    network.bytesSent(100);
    network.bytesReceived(50);
    network.tcpError('bad_crc');
    network.rpcCall('APPEND_ENTRIES');
    network.rpcCall('APPEND_ENTRIES');
    network.rpcError('APPEND_ENTRIES', 'not_connected');
    metrics.logFlushed(0.001, 4_096);
    metrics.stateCommitted(0.5, 30);
    let used = 10;
    metrics.observeStorage({ log: () => ({ usedBytes: used, bytesMax: 100 }) });
    used = 20;
    const series = await scrape();
    expect(series.has('distric_worker_connected{leader="c1"}')).toBe(false);
    await expectSeries({
      'distric_worker_attempts_started_total{type="log"}': 1,
      'distric_worker_attempts_finished_total{type="log",status="ok"}': 1,
      'distric_worker_attempt_duration_seconds_sum{type="log"}': 0.25,
      distric_worker_slots_running: 2,
      distric_worker_slots_capacity: 16,
      'distric_worker_connected{leader="c2"}': 1,
      tcp_connections_active: 1,
      tcp_connections_total: 2,
      tcp_bytes_sent_total: 100,
      tcp_bytes_received_total: 50,
      'tcp_errors_total{error_type="bad_crc"}': 1,
      'rpc_calls_total{msg_type="APPEND_ENTRIES"}': 2,
      'rpc_errors_total{msg_type="APPEND_ENTRIES",error_type="not_connected"}': 1,
      distric_log_fsync_duration_seconds_count: 1,
      distric_log_fsync_bytes_total: 4_096,
      distric_state_commit_duration_seconds_sum: 0.5,
      distric_state_commit_keys_total: 30,
      'distric_storage_used_bytes{store="log"}': 20,
      'distric_storage_limit_bytes{store="log"}': 100,
    });
    worker.connected(null);
    expect((await scrape()).has('distric_worker_connected{leader="c2"}')).toBe(false);
  });
});

describe('LabelLimit', () => {
  it('lets values beyond the limit share one series', () => {
    const limit = new LabelLimit(2);
    expect(['a', 'b', 'c', 'a', 'd'].map((value) => limit.of(value))).toEqual(['a', 'b', 'other', 'a', 'other']);
  });
});
