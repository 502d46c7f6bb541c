import type { AnyPlugin } from '../sdk.ts';
import { delay } from './delay.ts';
import { http } from './http.ts';
import { log } from './log.ts';
import { paymentValidator } from './payment-validator.ts';
import { transform } from './transform.ts';

export interface BuiltinOptions {
  /** See `http`: private `host[:port]` that it may dial, comma-separated. */
  httpAllow: string;
}

/** The plugins that every worker has. */
export function builtinPlugins({ httpAllow }: BuiltinOptions): AnyPlugin[] {
  return [log, transform, http('http', httpAllow), http('webhook', httpAllow), paymentValidator, delay];
}
