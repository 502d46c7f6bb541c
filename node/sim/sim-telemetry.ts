import type { CoordinatorMetrics, WorkerMetrics } from '../metrics.ts';
import type { LogFields, LoopLog } from '../ports.ts';
import type { Counters } from './counters.ts';
import type { Trace } from './trace.ts';
import { demand } from './violation.ts';

const nothing = (): void => undefined;

/** Counts what is rare; the rest of the metrics is for people who watch a real cluster. */
export function coordinatorMetrics(counters: Counters): CoordinatorMetrics {
  return {
    messagesReceived: nothing,
    messagesAccepted: nothing,
    messagesRefused: (code, count) => counters.add(`refused ${code}`, count),
    ruleEvaluation: nothing,
    tasksRunning: nothing,
    tasksReady: nothing,
    taskEnded: (_type, status) => counters.add(`task ${status}`),
    taskAssigned: nothing,
    taskRetried: () => counters.add('task retried'),
    taskRedispatched: () => counters.add('task redispatched'),
    workerLossesSuspended: (suspended) => {
      if (suspended) counters.add('worker losses suspended');
    },
    resultStale: () => counters.add('stale result'),
    instanceStarted: nothing,
    instanceEnded: (_workflow, status) => counters.add(`instance ${status}`),
    instancesActive: nothing,
    raftState: (role) => {
      if (role === 'leader') counters.add('leader elected');
    },
    leaderChanged: nothing,
    raftProgress: nothing,
    commitLatency: nothing,
    swept: (table, count) => counters.add(`swept ${table}`, count),
    snapshotWithoutRoom: (side) => counters.add(`no room for a snapshot at its ${side}`),
    storageLevel: (level) => counters.add(`storage ${level}`),
    stateHashMismatch: () => demand(false, 'stateHash', () => 'the product itself found a replica that has diverged'),
  };
}

export function workerMetrics(): WorkerMetrics {
  return { taskStarted: nothing, taskFinished: nothing, slots: nothing, connected: nothing };
}

export function loopLog(trace: Trace, who: string): LoopLog {
  const write = (level: string) => (fields: LogFields, text: string) => {
    trace.note(who, text, trace.verbose ? `(${level}) ${JSON.stringify(fields)}` : '');
  };
  return { debug: nothing, info: write('info'), warn: write('warn'), error: write('error') };
}
