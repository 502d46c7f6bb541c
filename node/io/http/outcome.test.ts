import { describe, expect, it } from '@jest/globals';
import { Value } from 'typebox/value';
import { AcceptedMessageSchema, BatchResultSchema, type BatchResult } from '../../../api/rest.ts';
import { DistricError } from '../../../base/errors.ts';
import type { AcceptedItem } from '../../requests.ts';
import { acceptedText, batchAnswer } from './outcome.ts';

function accepted(messageId: string): { accepted: AcceptedItem } {
  return { accepted: { messageId, workflowsTriggered: ['a "quoted" id'], instances: ['i'], duplicate: true } };
}

const refusedError = new DistricError('QUEUE_FULL', 'too much', [{ field: 'f', reason: 'r' }]);
const unknownError = new DistricError('OUTCOME_UNKNOWN', 'who knows');

describe('acceptedText()', () => {
  it('writes JSON of the documented shape', () => {
    const value: unknown = JSON.parse(acceptedText(accepted('m').accepted));
    expect(Value.Check(AcceptedMessageSchema, value)).toBe(true);
    expect(value).toMatchObject({ message_id: 'm', workflows_triggered: ['a "quoted" id'], duplicate: true });
  });
});

describe('batchAnswer()', () => {
  it('merges early refusals and outcomes in the order sent', () => {
    const early = { index: 1, error: new DistricError('INVALID_JSON', 'broken') };
    const answer = batchAnswer([accepted('m0'), { error: refusedError }, { error: unknownError }], [early]);
    const value = JSON.parse(answer.text) as BatchResult;
    expect(Value.Check(BatchResultSchema, value)).toBe(true);
    expect(value.items.map(({ index, status }) => [index, status])).toEqual([
      [0, 'accepted'],
      [1, 'refused'],
      [2, 'refused'],
      [3, 'unknown'],
    ]);
    expect(value.items[2]).toMatchObject({
      code: 'QUEUE_FULL',
      detail: 'too much',
      errors: [{ field: 'f', reason: 'r' }],
    });
    expect(value).toMatchObject({ accepted: 1, refused: 2, unknown: 1 });
    expect(answer).toMatchObject({ status: 202, retryable: false });
  });

  it('takes the status of the first error when all are refused', () => {
    const early = { index: 1, error: new DistricError('INVALID_JSON', 'broken') };
    expect(batchAnswer([{ error: refusedError }], [early])).toMatchObject({ status: 503, retryable: true });
  });

  it('never claims that nothing was kept when one outcome is unknown', () => {
    expect(batchAnswer([{ error: refusedError }, { error: unknownError }], [])).toMatchObject({ status: 504 });
  });
});
