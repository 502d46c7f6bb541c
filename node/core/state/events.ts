/** What applying an entry made happen, for the loop: the leader acts on it, the others only watch. */
import type { Membership } from '../raft/membership.ts';
import type { Instance } from '../workflow/instance.ts';

export type StateEvent =
  | { kind: 'attemptStarted'; workerId: string; instanceId: string; position: number }
  | { kind: 'attemptCancelled'; session: string; instanceId: string; taskId: string; token: number }
  | { kind: 'resultJudged'; instanceId: string; taskId: string; token: number; accepted: boolean }
  | { kind: 'taskEnded'; type: string; status: string }
  | { kind: 'taskRetried'; type: string }
  | { kind: 'taskRedispatched'; type: string }
  | { kind: 'instanceStarted'; workflow: string }
  | { kind: 'instanceEnded'; instance: Instance; timeMs: number }
  | { kind: 'catalogChanged' }
  /** `next`: where the sweep is to go on; undefined when the table has been walked. */
  | { kind: 'swept'; table: string; deleted: number; next: string | undefined }
  | { kind: 'membershipChanged'; membership: Membership; index: number }
  | { kind: 'transferOrdered'; target: string }
  | { kind: 'featureLevelRaised' }
  | { kind: 'workerRegistered'; workerId: string; session: string }
  /** It gets nothing more, or does so again. */
  | { kind: 'drainChanged'; workerId: string }
  | { kind: 'workerLost'; workerId: string; session: string; reason: string };

export type Emit = (event: StateEvent) => void;
