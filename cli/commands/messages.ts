import type { Command } from 'commander';
import type { MessageList, MessageResource, MessageSummary } from '../../api/rest.ts';
import { formatMoment } from '../moment.ts';
import { formatTable, toYaml } from '../output.ts';
import { numberIn } from '../session.ts';
import type { OpenSession } from '../session.ts';
import { LIMIT_MAX, noteNextPage } from './instances.ts';

const LIMIT = 50;

export function addMessages(parent: Command, open: OpenSession): void {
  const messages = parent.command('messages').description('events that the cluster accepted');
  messages
    .command('list')
    .description('messages, newest first')
    .option('--limit <count>', 'rows at most', numberIn(1, LIMIT_MAX, true), LIMIT)
    .option('--cursor <cursor>', 'go on where the page before ended')
    .addHelpText('after', '\nExample:\n  $ distric messages list --limit 10')
    .action(async (options: { limit: number; cursor?: string }, command: Command) => {
      const session = open(command);
      const { limit, cursor } = options;
      const page = await (await session.client()).get<MessageList>('/messages', { limit, cursor });
      session.print(page, () => formatMessages(page.messages));
      noteNextPage(session, page.next_cursor);
    });
  messages
    .command('get <id>')
    .description('one message: payload, matched rules, instances')
    .addHelpText('after', '\nExample:\n  $ distric messages get 0198c0de-0000-7000-8000-000000000000')
    .action(async (id: string, _options: unknown, command: Command) => {
      const session = open(command);
      const message = await (await session.client()).get<MessageResource>(`/messages/${encodeURIComponent(id)}`);
      session.print(message, () => toYaml(message));
    });
}

function formatMessages(messages: readonly MessageSummary[]): string {
  return formatTable(
    ['ID', 'Received', 'Event type', 'Rules'],
    messages.map((message) => {
      const { message_id: id, received_at: receivedAt, payload, matched_rules: rules } = message;
      const matched = rules.map((rule) => rule.id).join(', ');
      return [id, formatMoment(receivedAt), eventTypeOf(payload), matched || '-'];
    }),
  );
}

function eventTypeOf(payload: unknown): string {
  if (typeof payload !== 'object' || payload === null || !('event_type' in payload)) return '-';
  return typeof payload.event_type === 'string' ? payload.event_type : '-';
}
