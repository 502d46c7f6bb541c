/** One run of a workflow, as it is kept in the replicated state. Times `…Ms` are cluster time, `…At` the wall clock. */

export const INSTANCE_STATUSES = ['RUNNING', 'COMPLETED', 'FAILED', 'TIMED_OUT', 'CANCELLED'] as const;
export type InstanceStatus = (typeof INSTANCE_STATUSES)[number];
export type TaskStatus =
  'PENDING' | 'READY' | 'RUNNING' | 'RETRYING' | 'COMPLETED' | 'FAILED' | 'TIMED_OUT' | 'CANCELLED';

export interface TaskState {
  status: TaskStatus;
  /** Attempts assigned so far. */
  attempts: number;
  /** Attempts that failed or timed out: what the retry limit counts. */
  failures: number;
  /** Attempts lost with their worker: dispatched again without using up a retry. */
  redispatches: number;
  /** Fencing token of the latest attempt (log index of its assignment); 0 before the first. */
  token: number;
  worker: string | null;
  session: string | null;
  readyAt: number;
  startedAt: number;
  endedAt: number;
  /** Cluster time at which the attempt times out (RUNNING) or the next one is due (RETRYING); 0: nothing is due. */
  dueMs: number;
  error: string | null;
}

export interface Instance {
  id: string;
  workflow: string;
  revision: number;
  messageId: string;
  rule: string;
  params: unknown;
  /** Retries for tasks that say nothing, from the rule's action. */
  retryDefault: number;
  status: InstanceStatus;
  createdMs: number;
  createdAt: number;
  endedAt: number;
  deadlineMs: number;
  error: string | null;
  tasks: TaskState[];
}
