import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DistricError } from '../../../base/errors.ts';
import { Random } from '../../../base/random.ts';
import { nodeHost } from '../../io/host.ts';
import { decodeMessage, encodeMessage, MESSAGES } from '../tlv/messages.ts';
import { errorBody, errorOfBody } from './error-body.ts';
import { mayRetry, retryDelayMs } from './retry.ts';
import { isTraceparent, traceOf, withTrace } from './trace.ts';

const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

describe('trace context', () => {
  it('rides behind any message, which reads the same with and without it', () => {
    const message = { kind: 'CLIENT_QUERY', body: { query: '{}', consistency: 'stale' } } as const;
    const { payload } = encodeMessage(nodeHost, message);
    const traced = withTrace(nodeHost, payload, TRACEPARENT);
    expect([traceOf(nodeHost, payload), traceOf(nodeHost, traced)]).toEqual([undefined, TRACEPARENT]);
    expect(decodeMessage(nodeHost, MESSAGES.CLIENT_QUERY.code, traced)).toEqual(message);
  });

  it('is not taken from the bytes of another field', () => {
    const inner = withTrace(nodeHost, new Uint8Array(), TRACEPARENT);
    const message = { kind: 'CLIENT_RESULT', body: { result: inner } } as const;
    expect(traceOf(nodeHost, encodeMessage(nodeHost, message).payload)).toBeUndefined();
  });

  it('ignores any other bytes', () => {
    expect(isTraceparent(TRACEPARENT.toUpperCase())).toBe(false);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(traceOf(nodeHost, bytes)).toBeUndefined();
      }),
    );
  });
});

describe('errors on the wire', () => {
  it('keep code, text and fields, in bounded size', () => {
    const error = new DistricError('INVALID_MESSAGE', 'bad', [{ field: '$', reason: 'is a list' }]);
    const back = errorOfBody(errorBody(error));
    expect([back.code, back.message, back.fields]).toEqual([error.code, error.message, error.fields]);
    const fields = Array.from({ length: 1_000 }, () => ({ field: 'f'.repeat(5_000), reason: 'r' }));
    const body = errorBody(new DistricError('INVALID_MESSAGE', 'm'.repeat(5_000), fields));
    expect([body.message.length, body.fields.length, body.fields[0]?.field.length]).toEqual([2_000, 16, 2_000]);
  });

  it('turn a code of a later version into one that is not retried', () => {
    expect(errorOfBody({ code: 'toString', message: 'odd', fields: [] })).toMatchObject({
      code: 'INTERNAL',
      message: 'toString: odd',
    });
  });
});

describe('retry', () => {
  it('is for what may succeed later, and where the outcome is unknown only for idempotent calls', () => {
    expect([mayRetry('NO_LEADER', false), mayRetry('INVALID_JSON', true)]).toEqual([true, false]);
    expect([mayRetry('OUTCOME_UNKNOWN', false), mayRetry('OUTCOME_UNKNOWN', true)]).toEqual([false, true]);
  });

  it('waits twice as long each time up to the limit, cut by up to half', () => {
    const random = new Random(1);
    const policy = { delayMsMin: 10, delayMsMax: 100 };
    for (let attempt = 0; attempt < 100; attempt++) {
      const whole = Math.min(100, 10 * 2 ** attempt);
      const delayMs = retryDelayMs(policy, attempt, random);
      expect(delayMs).toBeGreaterThan(whole / 2);
      expect(delayMs).toBeLessThanOrEqual(whole);
    }
  });
});
