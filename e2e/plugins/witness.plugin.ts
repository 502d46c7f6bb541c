/** `witness`: its output tells which message and which attempt produced it, so that a result can be matched to both. */
import { definePlugin } from 'distric/plugin';

export const plugin = definePlugin({
  name: 'witness',
  version: '1.0.0',
  execute({ message, messageId, token, attempt }) {
    return { marker: message['marker'], message_id: messageId, token, attempt };
  },
});
