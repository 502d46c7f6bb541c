/** When a call that failed is made again. */
import { ERRORS, type ErrorCode } from '../../../base/errors.ts';
import type { Random } from '../../../base/random.ts';

export interface RetryPolicy {
  /** Delay before the first retry; it doubles with each, up to `delayMsMax`, and is cut by up to half at random. */
  delayMsMin: number;
  delayMsMax: number;
}

export const RETRY_POLICY: RetryPolicy = { delayMsMin: 20, delayMsMax: 1_000 };

/** Delay before retry number `attempt` (from 0). Jitter keeps callers that failed together from coming back together. */
export function retryDelayMs(policy: RetryPolicy, attempt: number, random: Random): number {
  const delayMs = Math.min(policy.delayMsMax, policy.delayMsMin * 2 ** Math.min(attempt, 30));
  return delayMs * (1 - random.fraction() / 2);
}

/** Where the outcome is unknown, only a call that may be carried out twice is made again. */
export function mayRetry(code: ErrorCode, idempotent: boolean): boolean {
  return ERRORS[code].retryable && (idempotent || code !== 'OUTCOME_UNKNOWN');
}
