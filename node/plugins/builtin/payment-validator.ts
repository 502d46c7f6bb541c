import { definePlugin } from '../sdk.ts';

interface Config {
  threshold?: number;
  limit: number;
}

/**
 * `payment_validator`: is `input.amount` a payment that can be processed? Config: `threshold` (amounts over it are
 * marked, default: none), `limit` (amounts must be under it, default 1,000,000).
 * Output: `{"valid": boolean, "over_threshold": boolean, "amount": number|null, "reason"?: string}`; `reason` when not valid.
 */
export const paymentValidator = definePlugin<Config>({
  name: 'payment_validator',
  version: '1.0.0',
  configSchema: {
    type: 'object',
    properties: {
      threshold: { type: 'number' },
      limit: { type: 'number', exclusiveMinimum: 0, default: 1_000_000 },
    },
    additionalProperties: false,
  },
  execute({ input, config: { threshold, limit } }) {
    const { amount } = input;
    if (typeof amount !== 'number') {
      const reason = amount === undefined ? 'amount is missing' : 'amount is not a number';
      return { valid: false, over_threshold: false, amount: null, reason };
    }
    const over = threshold !== undefined && amount > threshold;
    if (amount <= 0) return { valid: false, over_threshold: over, amount, reason: 'amount must be over 0' };
    if (amount >= limit) return { valid: false, over_threshold: over, amount, reason: `amount must be under ${limit}` };
    return { valid: true, over_threshold: over, amount };
  },
});
