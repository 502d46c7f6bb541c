import { setTimeout as sleep } from 'node:timers/promises';
import { definePlugin } from '../sdk.ts';

interface Config {
  ms: number;
}

/**
 * `delay`: ends after `config.ms` milliseconds, or fails when its signal is aborted. It holds a slot of its worker
 * all the while: meant for tests and demonstrations. Output: `{"waited_ms": ms}`.
 */
export const delay = definePlugin<Config>({
  name: 'delay',
  version: '1.0.0',
  configSchema: {
    type: 'object',
    properties: { ms: { type: 'integer', minimum: 0, maximum: 86_400_000 } },
    required: ['ms'],
    additionalProperties: false,
  },
  async execute({ config, signal }) {
    await sleep(config.ms, undefined, { signal });
    return { waited_ms: config.ms };
  },
});
