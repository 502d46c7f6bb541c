/**
 * The leader's dealings with workers: sessions, assignments, results, losses. A follower only keeps track of who is
 * connected, and tells workers who leads.
 *
 * Invariants
 * 1. A worker is acknowledged a result only after the entry that carries it is applied.
 * 2. An attempt that a worker does not know of is pushed again; the fencing token makes a second copy harmless.
 */
import { assert } from '../base/assert.ts';
import { DistricError } from '../base/errors.ts';
import { decodeText, type Host } from '../base/host.ts';
import { taskAssignment } from './core/state/attempt-context.ts';
import { Assign, COMMAND, DrainWorker, LoseWorker, RegisterWorker, Results } from './core/state/commands.ts';
import type { StateEvent } from './core/state/events.ts';
import { SINCE } from './core/state/feature-level.ts';
import type { StateMachine } from './core/state/machine.ts';
import type { Worker } from './core/state/worker-table.ts';
import type { AttemptKey, ResultItem } from './core/tlv/messages.ts';
import type { Body, Message } from './core/tlv/messages.ts';
import type { Infer, Struct } from './core/tlv/struct.ts';
import { ERROR_CHARS_MAX } from './core/workflow/schedule.ts';
import type { Strategy } from './core/dispatch/strategy.ts';
import { Dispatcher, type Use } from './dispatcher.ts';
import type { GossipView } from './gossip-view.ts';
import type { CoordinatorMetrics } from './metrics.ts';
import type { CoordinatorPorts, Now } from './ports.ts';
import { MASS_FAILURE_WAIT_MS, type Suspension, WorkerLosses } from './worker-losses.ts';

/** A task's output, in bytes of JSON; over it the attempt fails for good. */
export const OUTPUT_BYTES_MAX = 256 * 1024;
/** Results carried by one entry: by count and by bytes, so that entries stay below 1 MiB. */
const RESULTS_PER_ENTRY_MAX = 1_000;
const RESULT_BYTES_PER_ENTRY = 512 * 1024;

type Result = Infer<typeof ResultItem>;
type WorkerMessage = 'WORKER_HELLO' | 'WORKER_DRAIN' | 'WORKER_USAGE' | 'TASK_RESULT';

interface DeskParts {
  host: Host;
  ports: CoordinatorPorts;
  metrics: CoordinatorMetrics;
  state: StateMachine;
  gossip: GossipView;
  /** In which order workers are given tasks. */
  strategy: Strategy;
  propose: <T>(kind: number, struct: Struct<T>, body: T, applied: () => void) => void;
}

function attemptKey({ instanceId, taskId, token }: Infer<typeof AttemptKey>): string {
  return `${instanceId}/${taskId}#${String(token)}`;
}

/** Names become keys of the state, which takes printable ASCII of bounded length; all replicas would stop at others. */
const NAME = /^[\x21-\x7e]{1,253}$/;
const TYPES_PER_WORKER_MAX = 1_000;
const TYPES_BYTES_MAX = 1024 * 1024;

const LABELS_MAX = 32;
const RESERVATIONS_MAX = 32;

/** Why this worker cannot be registered; undefined when it can. */
function helloFault(hello: Body<'WORKER_HELLO'>): string | undefined {
  const { workerId, session, address, types, zone, labels = [], softwareVersion, reserved = [] } = hello;
  if (types.length > TYPES_PER_WORKER_MAX) return `more than ${String(TYPES_PER_WORKER_MAX)} task types`;
  if (labels.length > LABELS_MAX) return `more than ${String(LABELS_MAX)} labels`;
  if (reserved.length > RESERVATIONS_MAX) return `more than ${String(RESERVATIONS_MAX)} reservations`;
  const optionals = [zone, softwareVersion].filter((text) => text !== undefined);
  const names = [
    ...[workerId, session, address, ...optionals, ...labels],
    ...[...types, ...reserved].map(({ name }) => name),
  ];
  const misfit = names.find((name) => !NAME.test(name));
  if (misfit !== undefined) return `"${misfit.slice(0, 100)}" is not 1 to 253 characters of printable ASCII`;
  const bytes = types.reduce((sum, type) => sum + type.version.length + (type.configSchema?.length ?? 0), 0);
  return bytes > TYPES_BYTES_MAX
    ? `the schemas of its task types are over ${String(TYPES_BYTES_MAX)} bytes`
    : undefined;
}

export class TaskDesk {
  readonly #parts: DeskParts;
  readonly #dispatcher: Dispatcher;
  readonly #losses: WorkerLosses;
  readonly connected = new Set<string>();
  /** As the workers told it. */
  readonly usage = new Map<string, { cpu: number; memory: number }>();
  #lossesSuspended = false;
  #hellos = new Map<string, Body<'WORKER_HELLO'>>();
  #registering = new Set<string>();
  #losing = new Set<string>();
  /** False: nothing is assigned and no result is taken, for the state has no room to grow. */
  #hasRoom = true;
  /** Results not yet in an entry. */
  #results: Result[] = [];
  /** Results in the log or about to be: who waits for the acknowledgement. */
  #reporters = new Map<string, string>();
  /** Attempts that could not be sent (yet): position by instance, per worker. */
  #unsent = new Map<string, { instanceId: string; position: number }[]>();
  #acks = new Map<string, Body<'TASK_STATUS'>['acks'][number][]>();
  #cancels = new Map<string, Infer<typeof AttemptKey>[]>();

  constructor(parts: DeskParts, workerLossMs: number) {
    this.#parts = parts;
    const { state, gossip, strategy } = parts;
    this.#dispatcher = new Dispatcher(state, strategy, (worker) => this.#useOf(worker));
    this.#losses = new WorkerLosses({
      lossMs: workerLossMs,
      registered: () => state.workers.workers,
      isGone: (id) => gossip.statusOf(id) === 'failed' || gossip.statusOf(id) === 'left',
    });
  }

  load(worker: Worker): number {
    return this.#dispatcher.load(worker);
  }

  /** While so many workers are missed that none is given up. */
  get lossesSuspended(): Suspension | undefined {
    return this.#losses.suspension;
  }

  /** Whether, or how well, a worker can be used may be another now. */
  workerChanged(workerId: string): void {
    this.#dispatcher.workerChanged(workerId);
  }

  #useOf(worker: Worker): Use {
    const hello = this.#hellos.get(worker.id);
    // One that drains and registers with a new leader is not listed as draining yet.
    if (hello?.session !== worker.session || hello.draining) return 'unusable';
    if (this.#parts.state.workers.isDraining(worker)) return 'unusable';
    const status = this.#parts.gossip.statusOf(worker.id) ?? 'alive';
    return status === 'alive' ? 'usable' : 'doubted';
  }

  // ---- connections -----------------------------------------------------------------------------------------------

  workerUp(workerId: string, leaderId: string | undefined): void {
    this.connected.add(workerId);
    this.#losses.connected(workerId);
    this.#welcome(workerId, '', false, leaderId);
  }

  workerDown(workerId: string, nowMs: number): void {
    this.connected.delete(workerId);
    this.#hellos.delete(workerId);
    this.usage.delete(workerId);
    this.#unsent.delete(workerId);
    this.#losses.disconnected(workerId, nowMs);
    this.workerChanged(workerId);
  }

  tellLeader(leaderId: string | undefined): void {
    for (const workerId of this.connected) this.#welcome(workerId, '', false, leaderId);
  }

  /** A new term of this leader: what was under way belongs to the past, and every worker gets its time to come back. */
  beginTerm(nowMs: number): void {
    this.#registering.clear();
    this.#losing.clear();
    this.#hasRoom = true;
    this.#results = [];
    this.#reporters.clear();
    this.#unsent.clear();
    this.#hellos.clear();
    this.usage.clear();
    const missing = [...this.#parts.state.workers.workers.keys()].filter((id) => !this.connected.has(id));
    this.#losses.begin(missing, nowMs);
    this.#dispatcher.reset();
  }

  /** The leadership is lost, and with it the say over workers. */
  endTerm(): void {
    this.#losses.begin([], 0);
    this.#tellSuspension();
  }

  #welcome(workerId: string, session: string, registered: boolean, leaderId: string | undefined): void {
    this.#parts.ports.send(workerId, {
      kind: 'WORKER_WELCOME',
      body: { session, registered, leaderId: leaderId ?? '' },
    });
  }

  // ---- messages --------------------------------------------------------------------------------------------------

  receive(
    from: string,
    message: Extract<Message, { kind: WorkerMessage }>,
    serving: boolean,
    leaderId: string | undefined,
  ): void {
    // Not the leader: the worker keeps what it has and tells the next one.
    if (!serving) {
      this.#welcome(from, '', false, leaderId);
      return;
    }
    switch (message.kind) {
      case 'WORKER_HELLO':
        this.#onHello(from, message.body);
        break;
      case 'WORKER_DRAIN':
        this.#onDrain(from, message.body);
        break;
      case 'WORKER_USAGE':
        this.#onUsage(from, message.body);
        break;
      case 'TASK_RESULT':
        for (const result of message.body.results) this.#onResult(from, result);
        break;
    }
  }

  #onHello(from: string, hello: Body<'WORKER_HELLO'>): void {
    if (hello.workerId !== from) return;
    const fault = helloFault(hello);
    if (fault !== undefined) {
      this.#parts.ports.log.warn({ component: 'workers', worker: from.slice(0, 100), reason: fault }, 'worker refused');
      return;
    }
    this.#hellos.set(from, hello);
    this.workerChanged(from);
    const known = this.#parts.state.workers.workers.get(from);
    if (known?.session === hello.session && !known.draining && !this.#isToldTooEarly(known))
      this.#reconcile(from, hello);
    else this.#register(from, hello);
  }

  #register(from: string, hello: Body<'WORKER_HELLO'>): void {
    if (this.#registering.has(from)) return;
    this.#registering.add(from);
    const body = { ...hello, capacity: Math.max(1, hello.capacity) };
    this.#parts.propose(COMMAND.registerWorker, RegisterWorker, body, () => this.#registering.delete(from));
  }

  /** Its record was made when the cluster could not keep all that it told. */
  #isToldTooEarly({ versions }: Worker): boolean {
    return versions === undefined && this.#parts.state.featureLevel >= SINCE.workerDetails;
  }

  #tellAgain(): void {
    for (const [id, hello] of this.#hellos) {
      const known = this.#parts.state.workers.workers.get(id);
      if (known?.session === hello.session && !known.draining && this.#isToldTooEarly(known)) this.#register(id, hello);
    }
  }

  /** The worker is registered: push again whatever the state says it runs and it does not know of. */
  #reconcile(workerId: string, hello: Body<'WORKER_HELLO'>): void {
    this.#welcome(workerId, hello.session, true, undefined);
    const has = new Set(hello.attempts.map(attemptKey));
    const { running, active } = this.#parts.state.instances;
    for (const { instanceId, position, taskId } of running.get(hello.session)?.values() ?? []) {
      const token = active.get(instanceId)?.tasks[position]?.token ?? 0;
      if (!has.has(attemptKey({ instanceId, taskId, token }))) this.#push(workerId, instanceId, position);
    }
    if (hello.draining) this.#onDrain(workerId, { session: hello.session, leaving: false });
  }

  #onDrain(from: string, { session, leaving }: Body<'WORKER_DRAIN'>): void {
    const worker = this.#parts.state.workers.workers.get(from);
    if (worker?.session !== session) return;
    if (leaving) this.#lose(worker, 'it left', true);
    else if (!worker.draining) {
      this.#parts.propose(COMMAND.drainWorker, DrainWorker, { workerId: from, session }, () => undefined);
    }
  }

  #onUsage(from: string, { session, cpuParts, memoryParts }: Body<'WORKER_USAGE'>): void {
    if (this.#parts.state.workers.workers.get(from)?.session !== session) return;
    this.usage.set(from, { cpu: cpuParts / 1_000, memory: memoryParts / 1_000 });
  }

  #onResult(from: string, result: Result): void {
    // The worker keeps it, and reports it again until it is acknowledged.
    if (!this.#hasRoom) return;
    const key = attemptKey(result);
    // Reported again before the first report was applied: one entry is enough.
    if (this.#reporters.has(key)) return;
    this.#reporters.set(key, from);
    const { instanceId, taskId, token } = result;
    const fault = result.output === undefined ? undefined : this.#outputFault(result.output);
    if (fault !== undefined) this.#results.push({ instanceId, taskId, token, status: 'terminal', error: fault });
    else if (result.error === undefined) this.#results.push(result);
    else this.#results.push({ ...result, error: result.error.slice(0, ERROR_CHARS_MAX) });
  }

  /** What is wrong with an output; it becomes part of contexts and answers as it stands, so it must be JSON. */
  #outputFault(output: Uint8Array): string | undefined {
    if (output.length > OUTPUT_BYTES_MAX) return `the output is over its limit of ${String(OUTPUT_BYTES_MAX)} bytes`;
    try {
      JSON.parse(decodeText(this.#parts.host, output));
      return undefined;
    } catch {
      return 'the output is not JSON';
    }
  }

  // ---- once a turn, while leading --------------------------------------------------------------------------------

  lead(nowMs: number, hasRoom: boolean): void {
    this.#hasRoom = hasRoom;
    this.#proposeResults();
    this.#proposeLosses(nowMs);
    if (hasRoom) this.#proposeAssignments();
    this.#sendUnsent();
    this.#flushNotices();
  }

  #proposeAssignments(): void {
    const assigned = this.#dispatcher.choose();
    if (assigned.length > 0) {
      this.#parts.propose(COMMAND.assign, Assign, { assignments: assigned }, () => this.#dispatcher.settled(assigned));
    }
  }

  #proposeResults(): void {
    while (this.#results.length > 0) {
      const batch: Result[] = [];
      let bytes = 0;
      for (const result of this.#results) {
        bytes += (result.output?.length ?? 0) + (result.error?.length ?? 0);
        if (batch.length > 0 && (bytes > RESULT_BYTES_PER_ENTRY || batch.length >= RESULTS_PER_ENTRY_MAX)) break;
        batch.push(result);
      }
      this.#results.splice(0, batch.length);
      this.#parts.propose(COMMAND.results, Results, { results: batch }, () => {
        for (const result of batch) this.#reporters.delete(attemptKey(result));
      });
    }
  }

  #proposeLosses(nowMs: number): void {
    for (const { workerId, reason } of this.#losses.take(nowMs)) {
      const worker = this.#parts.state.workers.workers.get(workerId);
      if (worker !== undefined) this.#lose(worker, reason, false);
    }
    this.#tellSuspension();
  }

  #tellSuspension(): void {
    const suspension = this.#losses.suspension;
    if ((suspension !== undefined) === this.#lossesSuspended) return;
    this.#lossesSuspended = suspension !== undefined;
    const { metrics, ports } = this.#parts;
    metrics.workerLossesSuspended(this.#lossesSuspended);
    if (suspension === undefined) {
      ports.log.info({ component: 'workers' }, 'workers that are missed are given up again');
      return;
    }
    const { missing, workers } = suspension;
    const text = 'more than half of the workers failed at once: none is given up for a while';
    ports.log.error({ component: 'workers', missing, workers, waitMs: MASS_FAILURE_WAIT_MS }, text);
  }

  #lose(worker: Worker, reason: string, left: boolean): void {
    const { id: workerId, session } = worker;
    if (this.#losing.has(session)) return;
    this.#losing.add(session);
    this.#parts.propose(COMMAND.loseWorker, LoseWorker, { workerId, session, reason, left }, () =>
      this.#losing.delete(session),
    );
  }

  #push(workerId: string, instanceId: string, position: number): void {
    const body = this.#assignment(workerId, instanceId, position);
    if (body === undefined) return;
    if (this.#parts.ports.send(workerId, { kind: 'TASK_ASSIGN', body })) return;
    const unsent = this.#unsent.get(workerId) ?? [];
    unsent.push({ instanceId, position });
    this.#unsent.set(workerId, unsent);
  }

  #assignment(workerId: string, instanceId: string, position: number): Body<'TASK_ASSIGN'> | undefined {
    const { host, state } = this.#parts;
    try {
      return taskAssignment(host, state, instanceId, position);
    } catch (error) {
      if (!(error instanceof DistricError)) throw error;
      // It would wait for its time-out, again and again: it fails now, and says why.
      const instance = state.instances.active.get(instanceId);
      const taskId = instance === undefined ? undefined : state.instances.planOf(instance).tasks[position]?.id;
      const token = instance?.tasks[position]?.token ?? 0;
      assert(taskId !== undefined, 'what is too large to assign is a task of a running instance');
      this.#onResult(workerId, { instanceId, taskId, token, status: 'terminal', error: error.message });
      return undefined;
    }
  }

  #sendUnsent(): void {
    if (this.#unsent.size === 0) return;
    // Taken out first: what cannot be sent now either is put back, and waits for the next turn.
    const unsent = this.#unsent;
    this.#unsent = new Map();
    for (const [workerId, attempts] of unsent) {
      if (!this.connected.has(workerId)) continue;
      for (const { instanceId, position } of attempts) this.#push(workerId, instanceId, position);
    }
  }

  #flushNotices(): void {
    for (const [workerId, acks] of this.#acks)
      this.#parts.ports.send(workerId, { kind: 'TASK_STATUS', body: { acks } });
    for (const [workerId, attempts] of this.#cancels) {
      this.#parts.ports.send(workerId, { kind: 'TASK_CANCEL', body: { attempts } });
    }
    this.#acks.clear();
    this.#cancels.clear();
  }

  // ---- what applying made happen -----------------------------------------------------------------------------------

  onEvent(event: StateEvent, leading: boolean, now: Now): void {
    const { metrics, state } = this.#parts;
    if (!leading) {
      // Nobody else is going to look at it.
      state.instances.changedSessions.clear();
      return;
    }
    switch (event.kind) {
      case 'attemptStarted': {
        const task = state.instances.active.get(event.instanceId)?.tasks[event.position];
        if (task !== undefined) metrics.taskAssigned(Math.max(0, task.startedAt - task.readyAt) / 1_000);
        metrics.tasksRunning(event.workerId, this.#runningOf(event.workerId));
        this.#push(event.workerId, event.instanceId, event.position);
        break;
      }
      case 'attemptCancelled':
        this.#onCancelled(event);
        break;
      case 'resultJudged':
        this.#onJudged(event);
        break;
      case 'workerRegistered':
      case 'drainChanged':
      case 'workerLost':
        this.#onWorkerEvent(event);
        break;
      case 'taskEnded':
        metrics.taskEnded(event.type, event.status);
        break;
      case 'taskRetried':
        metrics.taskRetried(event.type);
        break;
      case 'taskRedispatched':
        metrics.taskRedispatched(event.type);
        break;
      case 'instanceStarted':
        metrics.instanceStarted(event.workflow);
        break;
      case 'instanceEnded': {
        const { workflow, status, createdMs } = event.instance;
        metrics.instanceEnded(workflow, status, (event.timeMs - createdMs) / 1_000);
        break;
      }
      case 'membershipChanged':
        this.#parts.ports.log.info(
          { component: 'raft', index: event.index, members: JSON.stringify(event.membership) },
          'members changed',
        );
        break;
      case 'catalogChanged':
        this.#parts.ports.log.info(
          { component: 'catalog', version: state.catalog.version, at: now.wallMs },
          'catalog changed',
        );
        break;
      case 'featureLevelRaised':
        this.#tellAgain();
        break;
      // Not about tasks.
      case 'swept':
      case 'transferOrdered':
        break;
    }
    metrics.tasksReady(state.instances.readyCount);
    metrics.instancesActive(state.instances.active.size);
  }

  #onWorkerEvent(event: Extract<StateEvent, { kind: 'workerRegistered' | 'drainChanged' | 'workerLost' }>): void {
    const { workerId } = event;
    this.workerChanged(workerId);
    if (event.kind === 'drainChanged') return;
    if (event.kind === 'workerRegistered') {
      const hello = this.#hellos.get(workerId);
      if (hello?.session === event.session) this.#reconcile(workerId, hello);
      return;
    }
    const { metrics, ports } = this.#parts;
    metrics.tasksRunning(workerId, 0);
    this.#hellos.delete(workerId);
    ports.log.warn({ component: 'workers', worker: workerId, reason: event.reason }, 'worker lost');
    // Still connected, so it is alive after all: it may register again.
    if (this.connected.has(workerId)) this.#welcome(workerId, '', false, undefined);
  }

  #runningOf(workerId: string): number {
    const { workers, instances } = this.#parts.state;
    const session = workers.workers.get(workerId)?.session;
    return session === undefined ? 0 : (instances.running.get(session)?.size ?? 0);
  }

  #onCancelled(event: Extract<StateEvent, { kind: 'attemptCancelled' }>): void {
    const worker = this.#parts.state.workers.bySession.get(event.session);
    if (worker === undefined) return;
    const { instanceId, taskId, token } = event;
    const cancels = this.#cancels.get(worker.id) ?? [];
    cancels.push({ instanceId, taskId, token });
    this.#cancels.set(worker.id, cancels);
  }

  #onJudged(event: Extract<StateEvent, { kind: 'resultJudged' }>): void {
    const { instanceId, taskId, token, accepted } = event;
    if (!accepted) this.#parts.metrics.resultStale();
    const workerId = this.#reporters.get(attemptKey(event));
    if (workerId === undefined) return;
    this.#parts.metrics.tasksRunning(workerId, this.#runningOf(workerId));
    const acks = this.#acks.get(workerId) ?? [];
    acks.push({ instanceId, taskId, token, accepted });
    this.#acks.set(workerId, acks);
  }
}
