/**
 * What the loops report about themselves. The loops know no metrics library: the telemetry driver
 * implements this over prom-client, the simulator over plain counters.
 */
import type { StorageLevel } from './storage-watch.ts';

export interface CoordinatorMetrics {
  /** Items handed to this coordinator's ingress, accepted or not. */
  messagesReceived(count: number): void;
  messagesAccepted(count: number): void;
  messagesRefused(code: string, count: number): void;
  /** One batch of `count` messages evaluated against the catalog in `seconds`. */
  ruleEvaluation(count: number, seconds: number): void;
  /** Attempts this leader has running on `worker` (0 removes nothing: the series stays). */
  tasksRunning(worker: string, count: number): void;
  tasksReady(count: number): void;
  taskEnded(type: string, status: string): void;
  taskAssigned(waitSeconds: number): void;
  taskRetried(type: string): void;
  taskRedispatched(type: string): void;
  resultStale(): void;
  /** More than half of the workers are missed, so that none is given up. */
  workerLossesSuspended(suspended: boolean): void;
  instanceStarted(workflow: string): void;
  /** `seconds` of cluster time from creation to end. */
  instanceEnded(workflow: string, status: string, seconds: number): void;
  instancesActive(count: number): void;
  raftState(role: 'follower' | 'candidate' | 'leader', term: number): void;
  leaderChanged(): void;
  raftProgress(lastIndex: number, commitIndex: number, appliedIndex: number, firstIndex: number): void;
  /** Leader: an entry was appended at this node and is committed `seconds` later. */
  commitLatency(seconds: number): void;
  stateHashMismatch(): void;
  /** Rows of a table that retention deleted, at every coordinator alike. */
  swept(table: string, count: number): void;
  /** Leader: what it takes in, by how full the fullest voter is. */
  storageLevel(level: StorageLevel): void;
  /** A snapshot was not taken, or was refused, for want of room. */
  snapshotWithoutRoom(side: 'sender' | 'receiver'): void;
}

export interface WorkerMetrics {
  taskStarted(type: string): void;
  taskFinished(type: string, status: string, seconds: number): void;
  slots(running: number, capacity: number): void;
  connected(leader: string | null): void;
}

export interface GossipCondition {
  /** How many are so, this node included. */
  members: Readonly<Record<'alive' | 'suspected' | 'failed' | 'left', number>>;
  /** What this node expects of others takes so many times as long as usual. */
  healthFactor: number;
  /** Members answer over connections only. */
  blocked: boolean;
}

export interface GossipMetrics {
  /** `byteCount` of datagrams; 0 of what goes over connections, which count their own bytes. */
  gossipSent(kind: string, over: 'datagram' | 'stream', byteCount: number): void;
  gossipReceived(kind: string, over: 'datagram' | 'stream', byteCount: number): void;
  memberEvent(kind: 'join' | 'update' | 'suspect' | 'refute' | 'fail' | 'leave'): void;
  /** This node was suspected, and has refuted. */
  accused(): void;
  /** A probe was answered by datagram after so long. */
  probed(seconds: number): void;
  stoodStill(seconds: number): void;
  /** Asked at each scrape. */
  observeGossip(condition: () => GossipCondition): void;
}
