/** Workers as REST tells of them, from what this coordinator knows: the leader knows most. */
import type { WorkerList, WorkerResource, WorkerStatus, WorkerSummary } from '../api/workers.ts';
import { DistricError } from '../base/errors.ts';
import { isoTime } from '../base/iso-time.ts';
import type { StateMachine } from './core/state/machine.ts';
import type { DrainOrder, Reservation, Worker } from './core/state/worker-table.ts';
import type { MemberView } from './core/swim/swim-ports.ts';
import type { GossipView } from './gossip-view.ts';
import type { TaskDesk } from './task-desk.ts';

export interface WorkerSource {
  state: StateMachine;
  desk: TaskDesk;
  gossip: GossipView;
  nowMs: number;
  /** Only the leader hears whether workers are connected, and how busy they are. */
  leading: boolean;
}

export function workerStatus({ state, desk, gossip, leading }: WorkerSource, worker: Worker): WorkerStatus {
  const heard = gossip.statusOf(worker.id);
  if (leading && !desk.connected.has(worker.id)) {
    return heard === 'failed' || desk.lossesSuspended !== undefined ? 'failed' : 'suspected';
  }
  if (heard === 'failed' && !leading) return 'failed';
  if (heard === 'failed' || heard === 'suspected') return 'suspected';
  return state.workers.isDraining(worker) ? 'draining' : 'alive';
}

export function runningOn({ state, desk, leading }: WorkerSource, worker: Worker): number {
  return leading ? desk.load(worker) : (state.instances.running.get(worker.session)?.size ?? 0);
}

/** Those that are registered, and those that gossip has found dead and still remembers. */
export function workerList(source: WorkerSource): WorkerList {
  const { workers } = source.state.workers;
  const registered = Array.from(workers.values(), (worker) => summaryOf(source, worker));
  const dead = source.gossip.members(source.nowMs).filter(({ id, status, details }) => {
    return status === 'failed' && details?.role === 'worker' && !workers.has(id);
  });
  return { workers: [...registered, ...dead.map(deadSummary)].sort((a, b) => (a.id < b.id ? -1 : 1)) };
}

/** Throws NOT_FOUND. */
export function workerResource(source: WorkerSource, id: string): WorkerResource {
  const worker = source.state.workers.workers.get(id);
  if (worker === undefined) throw new DistricError('NOT_FOUND', `there is no worker "${id}"`);
  return { ...summaryOf(source, worker), attempts: attemptsOf(source.state, worker) };
}

function summaryOf(source: WorkerSource, worker: Worker): WorkerSummary {
  const { id, address, capacity, types, versions = [], labels = [], zone, softwareVersion, reserved = [] } = worker;
  const running = runningOn(source, worker);
  const usage = source.leading ? source.desk.usage.get(id) : undefined;
  const drain = source.state.workers.drains.get(id);
  return {
    ...{ id, address, status: workerStatus(source, worker) },
    load: Math.round((100 * running) / capacity) / 100,
    ...{ running, capacity },
    types: types.map((name, i) => ({ name, ...(versions[i] === undefined ? {} : { version: versions[i] }) })),
    labels: [...labels],
    ...(zone === undefined ? {} : { zone }),
    ...(softwareVersion === undefined ? {} : { version: softwareVersion }),
    reserved: reserved.map(reservationOf),
    registered_at: isoTime(worker.registeredAt),
    ...usage,
    ...(drain === undefined ? {} : { drain: drainOf(drain) }),
  };
}

function reservationOf({ of, name, slots }: Reservation): WorkerSummary['reserved'][number] {
  return { [of]: name, slots };
}

function drainOf({ orderedAt, graceMs, dueMs }: DrainOrder): NonNullable<WorkerSummary['drain']> {
  return { ordered_at: isoTime(orderedAt), grace_ms: graceMs, handed_back: dueMs === 0 };
}

function deadSummary({ id, details }: MemberView): WorkerSummary {
  const told = details?.zone === undefined ? {} : { zone: details.zone };
  return {
    ...{ id, address: details?.peerAddress ?? details?.address ?? '', status: 'failed', load: 0, running: 0 },
    ...{ capacity: details?.capacity ?? 0, types: [], labels: [...(details?.labels ?? [])], reserved: [] },
    ...told,
    ...(details === undefined ? {} : { version: details.softwareVersion }),
  };
}

function attemptsOf({ instances }: StateMachine, { session }: Worker): WorkerResource['attempts'] {
  const attempts: WorkerResource['attempts'] = [];
  for (const ref of instances.running.get(session)?.values() ?? []) {
    const { instanceId: instance, taskId: task, position } = ref;
    const state = instances.active.get(instance)?.tasks[position];
    const { workflow = '', type = '' } = instances.demandOf(ref) ?? {};
    if (state === undefined) continue;
    attempts.push({ instance, workflow, task, type, token: state.token, started_at: isoTime(state.startedAt) });
  }
  return attempts;
}
