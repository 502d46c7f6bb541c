/**
 * The replicated state's promises, by a small model of its own: who got which attempt, what was accepted, and the
 * hash at every index. The first replica to apply an index feeds the model; the others are compared with it.
 */
import { decodeText } from '../../../base/host.ts';
import { COMMAND, MessageBatch, MessageItem, Results } from '../../core/state/commands.ts';
import type { StateEvent } from '../../core/state/events.ts';
import type { StateMachine } from '../../core/state/machine.ts';
import type { Entry } from '../../core/raft/entry.ts';
import { type Membership, members } from '../../core/raft/membership.ts';
import type { Body } from '../../core/tlv/messages.ts';
import { decode } from '../../core/tlv/struct.ts';
import { nodeHost } from '../../io/host.ts';
import type { Counters } from '../counters.ts';
import type { Observer } from '../observer.ts';
import type { SimCoordinator } from '../sim-coordinator.ts';
import type { TaskContext } from '../sim-worker.ts';
import { demand } from '../violation.ts';

interface Attempt {
  token: number;
  session: string;
  workerId: string;
  /** It is the running one. */
  open: boolean;
  /** Token of the accepted result; 0: none yet. */
  completed: number;
}

export class StateChecks implements Observer {
  readonly #hashes: number[] = [0];
  readonly #attempts = new Map<string, Attempt>();
  /** The number in the payload of every message that was ever applied, by its id. */
  readonly messages = new Map<string, number>();
  /** Ids of messages and instances that retention has deleted. */
  readonly swept = new Set<string>();
  /** Every instance there ever was: whether it has ended. */
  readonly #instances = new Map<string, 'running' | 'ended'>();

  readonly #counters: Counters;
  readonly #bornWith: Membership;
  #nodes: readonly SimCoordinator[] = [];

  constructor(counters: Counters, bornWith: Membership) {
    this.#counters = counters;
    this.#bornWith = bornWith;
  }

  watch(nodes: readonly SimCoordinator[]): void {
    this.#nodes = nodes;
  }

  onBoot(node: SimCoordinator): void {
    this.onInstall(node);
  }

  onInstall(node: SimCoordinator): void {
    const state = node.coordinator?.state;
    if (state === undefined) return;
    const { appliedIndex, hash } = state;
    demand(
      hash === this.#hashes[appliedIndex],
      'stateHash',
      () => `${node.id} begins at ${appliedIndex} with another hash`,
    );
  }

  onApply(node: SimCoordinator, entry: Entry, events: readonly StateEvent[]): void {
    const state = node.coordinator?.state;
    if (state === undefined) return;
    const known = this.#hashes[entry.index];
    if (known !== undefined) {
      demand(known === state.hash, 'stateHash', () => `${node.id} differs at ${entry.index} (kind ${entry.kind})`);
      return;
    }
    this.#hashes[entry.index] = state.hash;
    if (entry.kind === COMMAND.messages) this.#onMessages(node, entry);
    if (entry.kind === COMMAND.raiseLevel) this.#onRaised(node);
    const statuses = entry.kind === COMMAND.results ? statusesOf(entry) : undefined;
    for (const event of events) this.#onEvent(node, event, statuses);
    if (entry.kind === COMMAND.advanceTime) this.#checkDrains(state, events);
  }

  /** A worker whose time to finish is over has nothing any more. */
  #checkDrains({ workers, instances, timeMs }: StateMachine, events: readonly StateEvent[]): void {
    const isHandedBack = (event: StateEvent): boolean =>
      event.kind === 'attemptCancelled' && workers.drains.has(workers.bySession.get(event.session)?.id ?? '');
    if (events.some(isHandedBack)) this.#counters.add('drained worker handed back');
    for (const { workerId, dueMs } of workers.drains.values()) {
      const session = workers.workers.get(workerId)?.session ?? '';
      const running = instances.running.get(session)?.size ?? 0;
      demand(dueMs > timeMs || running === 0, 'drained', () => `${workerId} is drained and still runs ${running}`);
    }
  }

  /** As of the members at its place in the log: who joins above it finds out for itself. */
  #onRaised(node: SimCoordinator): void {
    const state = node.coordinator?.state;
    if (state === undefined) return;
    this.#counters.add('feature level raised');
    if (this.#nodes.some(({ wasEarlier }) => wasEarlier)) this.#counters.add('feature level raised in an upgrade');
    const ids = members(state.membership ?? this.#bornWith);
    const early = this.#nodes.filter(({ id, featureLevel }) => ids.includes(id) && featureLevel < state.featureLevel);
    demand(early.length === 0, 'featureLevel', () => {
      return `raised to ${state.featureLevel}, which ${early.map(({ id }) => id).join()} cannot follow`;
    });
  }

  #onMessages(node: SimCoordinator, entry: Entry): void {
    for (const bytes of decode(nodeHost, MessageBatch, entry.payload).items) {
      const { id, matched, payload } = decode(nodeHost, MessageItem, bytes);
      if (node.coordinator?.state.messages.has(id) !== true) continue;
      demand(!this.swept.has(id), 'sweptEnded', () => `message ${id} is swept, and kept anew when it comes again`);
      if (this.messages.has(id)) continue;
      const { n } = JSON.parse(decodeText(nodeHost, payload)) as { n: number };
      this.messages.set(id, n);
      for (const instance of node.coordinator.state.messages.instanceIdsOf(id)) {
        // Without a task it has ended in the entry that made it.
        const isRunning = node.coordinator.state.instances.active.has(instance);
        this.#instances.set(instance, isRunning ? 'running' : 'ended');
      }
      for (const match of matched) {
        const [rule = '', version] = match.split('@');
        const standing = node.coordinator.state.catalog.rules.get(rule)?.document.version;
        demand(
          String(standing) === version,
          'catalog',
          () => `message ${id} matched ${match}, standing is ${String(standing)}`,
        );
      }
    }
  }

  #onEvent(node: SimCoordinator, event: StateEvent, statuses: ReadonlyMap<string, string> | undefined): void {
    switch (event.kind) {
      case 'attemptStarted':
        this.#onStarted(node, event);
        break;
      case 'attemptCancelled': {
        const attempt = this.#attempts.get(taskKey(event));
        if (attempt?.token === event.token) attempt.open = false;
        break;
      }
      case 'resultJudged':
        this.#onJudged(event, statuses?.get(`${taskKey(event)}#${event.token}`) ?? '');
        break;
      case 'workerLost':
        this.#closeSessions(event.workerId, undefined);
        break;
      case 'workerRegistered':
        this.#closeSessions(event.workerId, event.session);
        break;
      case 'instanceEnded': {
        const { id } = event.instance;
        demand(this.#instances.get(id) !== 'ended', 'oneResult', () => `instance ${id} ends twice`);
        this.#instances.set(id, 'ended');
        break;
      }
      case 'swept':
        if (event.deleted > 0) this.#onSwept(node, event.table, event.deleted);
        break;
      default:
        break;
    }
  }

  #onStarted(node: SimCoordinator, { instanceId, position }: { instanceId: string; position: number }): void {
    const instances = node.coordinator?.state.instances;
    const instance = instances?.active.get(instanceId);
    const task = instance?.tasks[position];
    if (instances === undefined || instance === undefined || task === undefined) return;
    const plan = instances.planOf(instance);
    const taskId = plan.tasks[position]?.id ?? '';
    const key = taskKey({ instanceId, taskId });
    for (const dependency of plan.tasks[position]?.dependsOn ?? []) {
      const needed = taskKey({ instanceId, taskId: plan.tasks[dependency]?.id ?? '' });
      demand(
        (this.#attempts.get(needed)?.completed ?? 0) > 0,
        'dependencies',
        () => `${key} starts before ${needed} is done`,
      );
    }
    const { drains } = node.coordinator?.state.workers ?? {};
    demand(
      drains?.has(task.worker ?? '') !== true,
      'drained',
      () => `${key} goes to ${String(task.worker)}, which is drained`,
    );
    const before = this.#attempts.get(key);
    demand(before?.open !== true && task.token > (before?.token ?? 0), 'oneAttempt', () => {
      return `${key} starts with token ${task.token} after ${String(before?.token)}`;
    });
    demand((before?.completed ?? 0) === 0, 'oneResult', () => `${key} starts again although it is completed`);
    const { token, session, worker } = task;
    this.#attempts.set(key, { token, session: session ?? '', workerId: worker ?? '', open: true, completed: 0 });
  }

  #onJudged(event: Extract<StateEvent, { kind: 'resultJudged' }>, status: string): void {
    const key = taskKey(event);
    const attempt = this.#attempts.get(key);
    const isRunning = attempt?.open === true && attempt.token === event.token;
    if (event.accepted) demand((attempt?.completed ?? 0) === 0, 'oneResult', () => `${key} gets a second result`);
    demand(event.accepted === isRunning, 'staleAttempt', () => {
      return `the result of ${key}#${event.token} is ${event.accepted ? 'accepted' : 'refused'}, running is ${String(attempt?.token)}`;
    });
    if (!event.accepted || attempt === undefined) return;
    attempt.open = false;
    if (status === 'ok') attempt.completed = event.token;
  }

  /** What is gone, as against what there was: nothing that runs, and no message of something that runs. */
  #onSwept(node: SimCoordinator, table: string, deleted: number): void {
    const state = node.coordinator?.state;
    if (state === undefined) return;
    const known = table === 'messages' ? this.messages : this.#instances;
    const gone = [...known.keys()].filter((id) => !this.swept.has(id) && !isThere(state, table, id));
    demand(
      gone.length === deleted,
      'sweptEnded',
      () => `${deleted} of ${table} are swept, and ${gone.join()} are gone`,
    );
    for (const id of gone) this.swept.add(id);
    for (const [id, status] of this.#instances) {
      const isGone = this.swept.has(id) || this.swept.has(id.slice(0, id.lastIndexOf('-')));
      demand(status === 'ended' || !isGone, 'sweptEnded', () => `instance ${id} runs, and it or its message is swept`);
    }
  }

  #closeSessions(workerId: string, kept: string | undefined): void {
    for (const attempt of this.#attempts.values()) {
      if (attempt.workerId === workerId && attempt.session !== kept) attempt.open = false;
    }
  }

  /** Called for every task that a plugin starts. */
  onTask({ instanceId, taskId, token }: Body<'TASK_ASSIGN'>, context: TaskContext): void {
    const attempt = this.#attempts.get(taskKey({ instanceId, taskId }));
    demand(attempt !== undefined && attempt.token >= token, 'oneAttempt', () => {
      return `${instanceId}/${taskId}#${token} runs before its assignment is applied`;
    });
    for (const [dependency, output] of Object.entries(context.outputs)) {
      const completed = this.#attempts.get(taskKey({ instanceId, taskId: dependency }))?.completed ?? 0;
      demand(completed > 0 && output?.token === completed, 'dependencies', () => {
        return `${instanceId}/${taskId} is handed a result of ${dependency} that was not the accepted one`;
      });
    }
  }
}

function isThere({ messages, instances }: StateMachine, table: string, id: string): boolean {
  return table === 'messages' ? messages.has(id) : instances.get(id) !== undefined;
}

function taskKey({ instanceId, taskId }: { instanceId: string; taskId: string }): string {
  return `${instanceId}/${taskId}`;
}

function statusesOf(entry: Entry): Map<string, string> {
  const { results } = decode(nodeHost, Results, entry.payload);
  return new Map(results.map((result) => [`${taskKey(result)}#${result.token}`, result.status]));
}
