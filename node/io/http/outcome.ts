/** From outcomes of the gateway to response text. Built by hand: a batch has up to thousands of rows. */
import { assert } from '../../../base/assert.ts';
import type { DistricError } from '../../../base/errors.ts';
import type { AcceptedItem, ItemOutcome } from '../../requests.ts';
import type { RefusedAt } from './ingest.ts';

function listText(values: readonly string[]): string {
  return values.length === 0 ? '[]' : JSON.stringify(values);
}

/** The members of an accepted message, without the braces. */
function acceptedMembers(item: AcceptedItem): string {
  return (
    `"message_id":${JSON.stringify(item.messageId)},"status":"accepted","workflows_triggered":` +
    `${listText(item.workflowsTriggered)},"instances":${listText(item.instances)},"duplicate":${String(item.duplicate)}`
  );
}

export function acceptedText(item: AcceptedItem): string {
  return `{${acceptedMembers(item)}}`;
}

function refusedText(index: number, error: DistricError): string {
  const status = isUnknown(error) ? 'unknown' : 'refused';
  return JSON.stringify({ index, status, code: error.code, detail: error.message, errors: error.fields });
}

/** 504 is the one answer after which the message may have been kept all the same. */
function isUnknown(error: DistricError): boolean {
  return error.status === 504;
}

export interface BatchAnswer {
  /** 202 when anything was accepted; else 504 when any outcome is unknown; else that of the first error. */
  status: number;
  text: string;
  /** True when nothing was accepted and the whole may be sent again. */
  retryable: boolean;
}

/** Merges what was refused before the gateway with what it answered, one row per item in the order sent. */
export function batchAnswer(outcomes: readonly ItemOutcome[], refused: readonly RefusedAt[]): BatchAnswer {
  const total = outcomes.length + refused.length;
  let rows = '';
  let accepted = 0;
  let unknown: DistricError | undefined;
  let unknownCount = 0;
  let first: DistricError | undefined;
  let nextOutcome = 0;
  let nextRefused = 0;
  for (let index = 0; index < total; index++) {
    const early = refused[nextRefused];
    let error: DistricError;
    if (early?.index === index) {
      nextRefused++;
      error = early.error;
    } else {
      const outcome = outcomes[nextOutcome++];
      assert(outcome !== undefined, 'each item has one outcome');
      if ('accepted' in outcome) {
        accepted++;
        rows += `${index === 0 ? '' : ','}{"index":${index},${acceptedMembers(outcome.accepted)}}`;
        continue;
      }
      error = outcome.error;
    }
    first ??= error;
    if (isUnknown(error)) {
      unknown ??= error;
      unknownCount++;
    }
    rows += (index === 0 ? '' : ',') + refusedText(index, error);
  }
  const decisive = unknown ?? first;
  const status = accepted > 0 || decisive === undefined ? 202 : decisive.status;
  const counts = `"accepted":${accepted},"refused":${total - accepted - unknownCount},"unknown":${unknownCount}`;
  const retryable = status !== 202 && decisive?.retryable === true;
  return { status, text: `{"items":[${rows}],${counts}}`, retryable };
}
