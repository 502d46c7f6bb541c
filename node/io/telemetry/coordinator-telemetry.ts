import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { CoordinatorMetrics } from '../../metrics.ts';
import type { StorageLevel } from '../../storage-watch.ts';
import { LabelLimit } from './label-limit.ts';

const RULE_SECONDS = [0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5];
const COMMIT_SECONDS = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];
const WAIT_SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 1_800];
const WORKFLOW_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400];

/** A workflow's histogram has 18 series and more, a task type a few. */
const WORKFLOWS_MAX = 500;
const TYPES_MAX = 500;
const WORKERS_MAX = 1_000;

const ROLES = ['follower', 'candidate', 'leader'] as const;
const SNAPSHOT_SIDES = ['sender', 'receiver'] as const;
const STORAGE_LEVELS: readonly StorageLevel[] = ['open', 'soft', 'hard'];

/** A coordinator's reports under the names and labels that its users know. */
export class CoordinatorTelemetry implements CoordinatorMetrics {
  readonly #messages: MessageMetrics;
  readonly #tasks: TaskMetrics;
  readonly #instances: InstanceMetrics;
  readonly #raft: RaftMetrics;

  constructor(registry: Registry, nodeId: string) {
    this.#messages = messageMetrics(registry, nodeId);
    this.#tasks = taskMetrics(registry);
    this.#instances = instanceMetrics(registry);
    this.#raft = raftMetrics(registry);
  }

  messagesReceived(count: number): void {
    this.#messages.received.inc(count);
  }

  messagesAccepted(count: number): void {
    this.#messages.accepted.inc(count);
  }

  messagesRefused(code: string, count: number): void {
    this.#messages.refused.inc({ coordinator: this.#messages.nodeId, code }, count);
  }

  ruleEvaluation(count: number, seconds: number): void {
    this.#messages.evaluations.inc(count);
    this.#messages.evaluation.observe(seconds);
  }

  tasksRunning(worker: string, count: number): void {
    this.#tasks.running.set({ worker: this.#tasks.workers.of(worker) }, count);
  }

  tasksReady(count: number): void {
    this.#tasks.ready.set(count);
  }

  taskEnded(type: string, status: string): void {
    this.#tasks.ended.inc({ type: this.#tasks.types.of(type), status });
  }

  taskAssigned(waitSeconds: number): void {
    this.#tasks.wait.observe(waitSeconds);
  }

  taskRetried(type: string): void {
    this.#tasks.retries.inc({ type: this.#tasks.types.of(type) });
  }

  taskRedispatched(type: string): void {
    this.#tasks.redispatches.inc({ type: this.#tasks.types.of(type) });
  }

  resultStale(): void {
    this.#tasks.stale.inc();
  }

  workerLossesSuspended(suspended: boolean): void {
    this.#tasks.suspended.set(suspended ? 1 : 0);
  }

  instanceStarted(workflow: string): void {
    this.#instances.started.inc({ workflow: this.#instances.workflows.of(workflow) });
  }

  instanceEnded(workflow: string, status: string, seconds: number): void {
    const label = this.#instances.workflows.of(workflow);
    this.#instances.ended.inc({ workflow: label, status });
    this.#instances.duration.observe({ workflow: label }, seconds);
  }

  instancesActive(count: number): void {
    this.#instances.active.set(count);
  }

  raftState(role: 'follower' | 'candidate' | 'leader', term: number): void {
    for (const name of ROLES) this.#raft.role.set({ role: name }, name === role ? 1 : 0);
    this.#raft.term.set(term);
  }

  leaderChanged(): void {
    this.#raft.leaderChanges.inc();
  }

  raftProgress(lastIndex: number, commitIndex: number, appliedIndex: number, firstIndex: number): void {
    const { index } = this.#raft;
    index.set({ position: 'first' }, firstIndex);
    index.set({ position: 'applied' }, appliedIndex);
    index.set({ position: 'committed' }, commitIndex);
    index.set({ position: 'last' }, lastIndex);
  }

  commitLatency(seconds: number): void {
    this.#raft.commit.observe(seconds);
  }

  stateHashMismatch(): void {
    this.#raft.mismatches.inc();
  }

  swept(table: string, count: number): void {
    this.#raft.swept.inc({ table }, count);
  }

  snapshotWithoutRoom(side: (typeof SNAPSHOT_SIDES)[number]): void {
    this.#raft.snapshotsWithoutRoom.inc({ side });
  }

  storageLevel(level: StorageLevel): void {
    for (const name of STORAGE_LEVELS) this.#raft.storage.set({ level: name }, name === level ? 1 : 0);
  }
}

interface MessageMetrics {
  nodeId: string;
  received: Counter.Internal;
  accepted: Counter.Internal;
  refused: Counter<'coordinator' | 'code'>;
  evaluations: Counter;
  evaluation: Histogram;
}

function messageMetrics(registry: Registry, nodeId: string): MessageMetrics {
  const registers = [registry];
  const labelNames = ['coordinator'] as const;
  const counter = (name: string, help: string): Counter.Internal => {
    const child = new Counter({ name, help, labelNames, registers }).labels(nodeId);
    child.inc(0); // a series from the start, so that a rate can be taken over the first message
    return child;
  };
  return {
    nodeId,
    received: counter('distric_messages_received_total', 'Messages handed to this coordinator, accepted or not.'),
    accepted: counter('distric_messages_accepted_total', 'Messages accepted: on disk on a majority, and applied.'),
    refused: new Counter({
      name: 'distric_messages_refused_total',
      help: 'Messages refused, by error code; nothing of them was kept.',
      labelNames: ['coordinator', 'code'],
      registers,
    }),
    evaluations: new Counter({
      name: 'distric_rule_evaluations_total',
      help: 'Messages evaluated against the rules of the catalog.',
      registers,
    }),
    evaluation: new Histogram({
      name: 'distric_rule_evaluations_duration_seconds',
      help: 'Evaluating the rules for one batch of messages; _sum over distric_rule_evaluations_total is the time a message takes.',
      buckets: RULE_SECONDS,
      registers,
    }),
  };
}

interface TaskMetrics {
  workers: LabelLimit;
  types: LabelLimit;
  running: Gauge<'worker'>;
  ready: Gauge;
  suspended: Gauge;
  ended: Counter<'type' | 'status'>;
  wait: Histogram;
  retries: Counter<'type'>;
  redispatches: Counter<'type'>;
  stale: Counter;
}

function taskMetrics(registry: Registry): TaskMetrics {
  const registers = [registry];
  const byType = (name: string, help: string): Counter<'type'> =>
    new Counter({ name, help, labelNames: ['type'], registers });
  return {
    workers: new LabelLimit(WORKERS_MAX),
    types: new LabelLimit(TYPES_MAX),
    running: new Gauge({
      name: 'distric_tasks_running',
      help: 'Attempts running on a worker, as the leader knows.',
      labelNames: ['worker'],
      registers,
    }),
    ready: new Gauge({ name: 'distric_tasks_ready', help: 'Tasks waiting for a worker.', registers }),
    ended: new Counter({
      name: 'distric_tasks_ended_total',
      help: 'Tasks ended, by status.',
      labelNames: ['type', 'status'],
      registers,
    }),
    wait: new Histogram({
      name: 'distric_task_wait_duration_seconds',
      help: 'From ready to assigned.',
      buckets: WAIT_SECONDS,
      registers,
    }),
    retries: byType('distric_task_retries_total', 'Attempts that failed and will be tried again.'),
    redispatches: byType(
      'distric_task_redispatches_total',
      'Attempts given to another worker because theirs was lost.',
    ),
    suspended: new Gauge({
      name: 'distric_worker_losses_suspended',
      help: '1 while more than half of the workers are missed, so that none is given up (leader).',
      registers,
    }),
    stale: new Counter({
      name: 'distric_results_stale_total',
      help: 'Results that came under an old fencing token and changed nothing.',
      registers,
    }),
  };
}

interface InstanceMetrics {
  workflows: LabelLimit;
  started: Counter<'workflow'>;
  ended: Counter<'workflow' | 'status'>;
  duration: Histogram<'workflow'>;
  active: Gauge;
}

function instanceMetrics(registry: Registry): InstanceMetrics {
  const registers = [registry];
  return {
    workflows: new LabelLimit(WORKFLOWS_MAX),
    started: new Counter({
      name: 'distric_instances_started_total',
      help: 'Workflow instances started.',
      labelNames: ['workflow'],
      registers,
    }),
    ended: new Counter({
      name: 'distric_instances_ended_total',
      help: 'Workflow instances ended, by status.',
      labelNames: ['workflow', 'status'],
      registers,
    }),
    duration: new Histogram({
      name: 'distric_workflow_duration_seconds',
      help: 'From the creation of an instance to its end, by cluster time.',
      labelNames: ['workflow'],
      buckets: WORKFLOW_SECONDS,
      registers,
    }),
    active: new Gauge({ name: 'distric_instances_active', help: 'Workflow instances that have not ended.', registers }),
  };
}

interface RaftMetrics {
  role: Gauge<'role'>;
  term: Gauge;
  leaderChanges: Counter;
  index: Gauge<'position'>;
  commit: Histogram;
  mismatches: Counter;
  swept: Counter<'table'>;
  storage: Gauge<'level'>;
  snapshotsWithoutRoom: Counter<'side'>;
}

function raftMetrics(registry: Registry): RaftMetrics {
  const registers = [registry];
  return {
    role: new Gauge({
      name: 'distric_raft_role',
      help: '1 for the present role, 0 for the others.',
      labelNames: ['role'],
      registers,
    }),
    term: new Gauge({ name: 'distric_raft_term', help: 'The current Raft term.', registers }),
    leaderChanges: new Counter({
      name: 'distric_raft_leader_changes_total',
      help: 'How often this coordinator saw another leader.',
      registers,
    }),
    index: new Gauge({
      name: 'distric_raft_index',
      help: 'Log positions: first kept, applied, committed, last.',
      labelNames: ['position'],
      registers,
    }),
    commit: new Histogram({
      name: 'distric_raft_commit_duration_seconds',
      help: 'Leader: from appending an entry to its commit.',
      buckets: COMMIT_SECONDS,
      registers,
    }),
    mismatches: new Counter({
      name: 'distric_state_hash_mismatches_total',
      help: 'Checks in which this state differed from that of the others: any is a defect.',
      registers,
    }),
    swept: new Counter({
      name: 'distric_retention_deleted_total',
      help: 'Messages and ended instances deleted by retention.',
      labelNames: ['table'],
      registers,
    }),
    snapshotsWithoutRoom: withoutRoom(registers),
    storage: new Gauge({
      name: 'distric_storage_level',
      help: 'Leader: 1 for what holds by the fullest voter. open: all is taken; soft: no messages; hard: no task work either.',
      labelNames: ['level'],
      registers,
    }),
  };
}

function withoutRoom(registers: Registry[]): Counter<'side'> {
  const counter = new Counter({
    name: 'distric_snapshots_without_room_total',
    help: 'Snapshots that were not taken, or were refused, for want of room on the disk.',
    labelNames: ['side'],
    registers,
  });
  for (const side of SNAPSHOT_SIDES) counter.inc({ side }, 0);
  return counter;
}
