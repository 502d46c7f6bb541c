import type { Command } from 'commander';
import type { InstanceList, InstanceResource } from '../../api/rest.ts';
import { formatDuration, formatMoment } from '../moment.ts';
import { formatTable } from '../output.ts';
import type { Cell } from '../output.ts';
import { numberIn } from '../session.ts';
import type { OpenSession, Session } from '../session.ts';
import { singleLine, stateTone } from '../terminal.ts';
import type { Paint } from '../terminal.ts';

interface ListOptions {
  status?: string;
  workflow?: string;
  message?: string;
  limit: number;
  cursor?: string;
}

const LIMIT = 50;
export const LIMIT_MAX = 1_000;

/** `workflows` is the seed's word for the same rows. */
const NAMES = [
  ['instances', 'runs of workflows'],
  ['workflows', 'runs of workflows (the same as instances); for definitions see: distric definitions'],
] as const;

export function addInstances(parent: Command, open: OpenSession): void {
  for (const [name, description] of NAMES) {
    const group = parent.command(name).description(description);
    addList(group, name, open);
    group
      .command('get <id>')
      .description('one instance, with its tasks')
      .addHelpText('after', `\nExample:\n  $ distric ${name} get 0198c0de-0000-7000-8000-000000000000`)
      .action(async (id: string, _options: unknown, command: Command) => {
        const session = open(command);
        const instance = await (await session.client()).get<InstanceResource>(`/workflows/${encodeURIComponent(id)}`);
        session.print(instance, () => formatInstance(instance, session.paint, Date.now()));
      });
    group
      .command('cancel <id...>')
      .description('cancel running instances')
      .addHelpText('after', `\nExample:\n  $ distric ${name} cancel 0198c0de-0000-7000-8000-000000000000`)
      .action(async (ids: string[], _options: unknown, command: Command) => {
        await cancelAll(open(command), ids);
      });
  }
}

function addList(group: Command, name: string, open: OpenSession): void {
  group
    .command('list')
    .description('instances, newest first')
    .option('--status <status>', 'running, completed, failed, timed_out or cancelled')
    .option('--workflow <id>', 'of this workflow only')
    .option('--message <id>', 'started by this message only')
    .option('--limit <count>', 'rows at most', numberIn(1, LIMIT_MAX, true), LIMIT)
    .option('--cursor <cursor>', 'go on where the page before ended')
    .addHelpText('after', `\nExample:\n  $ distric ${name} list --status=running --limit 10`)
    .action(async (options: ListOptions, command: Command) => {
      const session = open(command);
      const { status, workflow, message, limit, cursor } = options;
      const query = { status, workflow, message, limit, cursor };
      const page = await (await session.client()).get<InstanceList>('/workflows', query);
      session.print(page, () => formatInstances(page, session.paint));
      noteNextPage(session, page.next_cursor);
    });
}

export function noteNextPage(session: Session, cursor: string | undefined): void {
  if (cursor !== undefined && session.options.output === 'table') session.note(`more: --cursor ${cursor}`);
}

function formatInstances({ instances }: InstanceList, paint: Paint): string {
  return formatTable(
    ['Workflow ID', 'Started', 'Tasks (Running/Total)', 'Status', 'Workflow', 'Took'],
    instances.map((instance) => [
      instance.id,
      formatMoment(instance.created_at),
      `${String(instance.tasks_running)}/${String(instance.tasks_total)}`,
      state(instance.status, paint),
      instance.workflow,
      formatDuration(instance.created_at, instance.ended_at),
    ]),
  );
}

/** `nowMs` ends the duration of what still runs. */
function formatInstance(instance: InstanceResource, paint: Paint, nowMs: number): string {
  const lines = [
    `Instance: ${singleLine(instance.id)}`,
    `Workflow: ${singleLine(instance.workflow)}, revision ${String(instance.revision)}`,
    `Status: ${paint(stateTone(instance.status), singleLine(instance.status))}`,
    `Started: ${formatMoment(instance.created_at)}, took ${formatDuration(instance.created_at, instance.ended_at ?? nowMs)}`,
    `Message: ${singleLine(instance.message_id)}, rule: ${singleLine(instance.rule)}`,
    `Tasks: ${String(instance.tasks_done)} of ${String(instance.tasks_total)} done, ${String(instance.tasks_running)} running`,
  ];
  const error = errorText(instance.error);
  if (error !== '-') lines.push(`Error: ${singleLine(error)}`);
  const tasks = formatTable(
    ['Task', 'Type', 'Status', 'Attempts', 'Worker', 'Duration', 'Error'],
    instance.tasks.map((task) => [
      task.id,
      task.type,
      state(task.status, paint),
      String(task.attempts),
      task.worker ?? '-',
      formatDuration(task.started_at, task.ended_at ?? nowMs),
      errorText(task.error),
    ]),
  );
  return `${lines.join('\n')}\n\n${tasks}`;
}

function state(text: string, paint: Paint): Cell {
  return { text, finish: (clean) => paint(stateTone(text), clean) };
}

/** An error is a text, or an object with a code and a message. */
function errorText(error: unknown): string {
  if (error === undefined || error === null) return '-';
  if (typeof error === 'string') return error;
  if (typeof error !== 'object') return JSON.stringify(error);
  const parts = ['code', 'message', 'detail'].map((key) => (error as Record<string, unknown>)[key]);
  const texts = parts.filter((part) => typeof part === 'string' && part !== '');
  return texts.length > 0 ? texts.join(': ') : JSON.stringify(error);
}

async function cancelAll(session: Session, ids: readonly string[]): Promise<void> {
  const client = await session.client();
  for (const id of ids) {
    // Cancelling twice changes nothing more.
    await client.request({ method: 'POST', path: `/workflows/${encodeURIComponent(id)}/cancel`, repeatable: true });
    if (session.options.output === 'table') session.io.stdout.write(`instance/${id} cancelled\n`);
  }
  if (session.options.output !== 'table') session.print({ cancelled: ids }, () => '');
}
