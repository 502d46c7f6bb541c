import type { Message } from '../tlv/messages.ts';

/** What the Raft core takes. */
export const RAFT_KINDS: ReadonlySet<Message['kind']> = new Set<Message['kind']>([
  'REQUEST_VOTE',
  'REQUEST_VOTE_RESPONSE',
  'PRE_VOTE',
  'PRE_VOTE_RESPONSE',
  'TIMEOUT_NOW',
  'APPEND_ENTRIES',
  'APPEND_ENTRIES_RESPONSE',
  'INSTALL_SNAPSHOT',
  'INSTALL_SNAPSHOT_RESPONSE',
]);

/**
 * What only coordinators may say. Workers share the port, and could depose leaders with it, raise alarms about replicas
 * that they have not, and tell members that they are none. A coordinator that is not a member yet, or no more, is heard:
 * its term may be the newer, and the log of this node may be the older (Raft dissertation §4.1).
 */
export const COORDINATOR_KINDS: ReadonlySet<Message['kind']> = new Set<Message['kind']>([
  ...RAFT_KINDS,
  'NOT_A_MEMBER',
  'READ_INDEX',
  'READ_INDEX_RESPONSE',
  'FORWARD_RESULT',
]);
