import { definePlugin } from '../sdk.ts';

interface Config {
  message?: string;
  level: 'debug' | 'info' | 'warn' | 'error';
}

/**
 * `log`: writes one line to the worker's log. Config: `message` (default: the message's `event_type`), `level`
 * (default `info`). Output: `{"logged": true}`.
 */
export const log = definePlugin<Config>({
  name: 'log',
  version: '1.0.0',
  configSchema: {
    type: 'object',
    properties: {
      message: { type: 'string', maxLength: 8192 },
      level: { enum: ['debug', 'info', 'warn', 'error'], default: 'info' },
    },
    additionalProperties: false,
  },
  execute({ config, message, messageId, workflow, log: logger }) {
    const eventType = message['event_type'];
    const text = config.message ?? (typeof eventType === 'string' ? eventType : 'message without an event_type');
    logger[config.level](text, { message_id: messageId, workflow });
    return { logged: true };
  },
});
