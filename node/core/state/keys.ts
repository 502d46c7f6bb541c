/**
 * The key space of the replicated state. Keys are ASCII and sort bytewise; numbers in keys are zero-padded.
 *
 * m/ID               message: its encoded item, as it came through the log
 * d/SCOPE/KEY        dedup: which message an idempotency key gave, and until when
 * x/EXPIRY/SCOPE/KEY dedup expiry, in order of time
 * i/ID               instance (JSON); ID = message id + '-' + ordinal, so instances sort by time and group by message
 * a/ID               marker of a running instance
 * o/INSTANCE/TASK    output of a completed task, as the plugin gave it (JSON)
 * r/ID  w/ID  v/ID/REVISION   rule, workflow, and the revisions of a workflow that instances are pinned to
 * k/ID  t/TYPE       worker, registered task type
 * kd/ID              order that a worker is drained (JSON)
 * y/ID               API key (JSON), with the hash of its secret
 * u/INDEX            row of the audit log (JSON), by the index of its entry
 * members            who decides (JSON), once that was changed
 * anchor             of the snapshot this state was installed from: the log entry it ended with (this replica's own)
 * meta               applied index, hash, cluster time, counters (JSON)
 */
const NUMBER_DIGITS = 16;

export function padded(value: number): string {
  return String(value).padStart(NUMBER_DIGITS, '0');
}

/** The smallest key that is above every key with this prefix. */
export function afterPrefix(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  return prefix.slice(0, -1) + String.fromCharCode(last + 1);
}

export const META_KEY = 'meta';
export const MEMBERSHIP_KEY = 'members';
export const ANCHOR_KEY = 'anchor';
export const messageKey = (id: string): string => `m/${id}`;
export const dedupKey = (scopedKey: string): string => `d/${scopedKey}`;
export const dedupExpiryKey = (expiresMs: number, scopedKey: string): string => `x/${padded(expiresMs)}/${scopedKey}`;
export const instanceKey = (id: string): string => `i/${id}`;
export const activeKey = (id: string): string => `a/${id}`;
export const outputKey = (instanceId: string, taskId: string): string => `o/${instanceId}/${taskId}`;
export const ruleKey = (id: string): string => `r/${id}`;
export const workflowKey = (id: string): string => `w/${id}`;
export const revisionKey = (id: string, revision: number): string => `v/${id}/${padded(revision)}`;
export const workerKey = (id: string): string => `k/${id}`;
export const drainKey = (workerId: string): string => `kd/${workerId}`;
export const typeKey = (name: string): string => `t/${name}`;
export const accessKey = (id: string): string => `y/${id}`;
export const auditKey = (index: number): string => `u/${padded(index)}`;
