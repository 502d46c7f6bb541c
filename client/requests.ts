/** What can be asked and changed, in the words of the wire. */
import type { Query } from '../node/core/state/query.ts';

/** Lists need no `page`: they start at the newest, with 100 rows. */
export type QueryRequest = Query extends infer Q
  ? Q extends { page: infer P }
    ? Omit<Q, 'page'> & { page?: P }
    : Q
  : never;

type Mode = 'create' | 'upsert';

export type ChangeRequest =
  | { kind: 'putRule'; document: unknown; mode?: Mode }
  | { kind: 'putWorkflow'; document: unknown; mode?: Mode }
  | { kind: 'deleteRule'; id: string }
  | { kind: 'deleteWorkflow'; id: string }
  | { kind: 'cancelInstance'; id: string };
