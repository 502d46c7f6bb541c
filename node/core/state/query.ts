/** What can be asked of the state. */
import type { InstanceStatus } from '../workflow/instance.ts';

export interface Page {
  /** At most this many rows, 1 to 1,000. */
  limit: number;
  /** The `next_cursor` of the page before. */
  cursor?: string;
}

export type Query =
  | { kind: 'message'; id: string }
  | { kind: 'messages'; page: Page }
  | { kind: 'instance'; id: string }
  | { kind: 'instances'; page: Page; status?: InstanceStatus; workflow?: string; message?: string }
  | { kind: 'rule'; id: string }
  | { kind: 'rules' }
  | { kind: 'workflow'; id: string }
  | { kind: 'workflows' }
  | { kind: 'keys' }
  | { kind: 'key'; id: string }
  /** `actor` is an id or a name, `action` one such as `rule.put`. */
  | { kind: 'audit'; page: Page; actor?: string; action?: string }
  | NodeQuery;

/** Not of the state alone: the loop answers these. */
export type NodeQuery =
  | { kind: 'members' }
  | { kind: 'nodes' }
  | { kind: 'clusterStatus' }
  | { kind: 'workers' }
  | { kind: 'worker'; id: string };
