/** What applying an entry gave, for whoever proposed it; travels back to the ingress as bytes. */
import { ERRORS, DistricError, type ErrorCode } from '../../../base/errors.ts';
import type { Infer } from '../tlv/struct.ts';
import { bool, list, optional, struct, text } from '../tlv/struct.ts';

export const StartedInstance = struct('StartedInstance', { id: text(1), workflow: text(2) });

/** Outcome of one message of a batch. `messageId` differs from the sent one for a duplicate. */
export const ItemResult = struct('ItemResult', {
  messageId: text(1),
  duplicate: bool(2),
  started: list(3, StartedInstance),
  errorCode: optional(text(4)),
  errorText: optional(text(5)),
});
export type ItemResult = Infer<typeof ItemResult>;

export const FieldFault = struct('FieldFault', { field: text(1), reason: text(2) });

export const ProposalResult = struct('ProposalResult', {
  /** Set: nothing was kept. The code is of the catalogue in base/errors.ts. */
  errorCode: optional(text(1)),
  errorText: optional(text(2)),
  errorFields: list(3, FieldFault),
  /** For message batches: one per item, in order. Left out when every item was simply accepted and started nothing. */
  items: list(4, ItemResult),
  /** For commands: the resource as stored (JSON), empty when there is none. */
  resource: optional(text(5)),
});
export type ProposalResult = Infer<typeof ProposalResult>;

export const DONE: ProposalResult = { errorFields: [], items: [] };

export function refused(error: DistricError): ProposalResult {
  return {
    errorCode: error.code,
    errorText: error.message,
    errorFields: error.fields.map(({ field, reason }) => ({ field, reason })),
    items: [],
  };
}

export function errorOf(code: string, message: string, fields: readonly { field: string; reason: string }[] = []) {
  return new DistricError(Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'INTERNAL', message, fields);
}
