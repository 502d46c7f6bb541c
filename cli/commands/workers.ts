import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import type { ClusterStatus } from '../../api/rest.ts';
import {
  DRAIN_GRACE_DEFAULT,
  type DrainResource,
  type WorkerList,
  type WorkerResource,
  type WorkerSummary,
} from '../../api/workers.ts';
import type { RestClient } from '../client.ts';
import { CliError, EXIT } from '../exit-code.ts';
import { formatMoment } from '../moment.ts';
import { formatTable } from '../output.ts';
import type { Cell } from '../output.ts';
import type { OpenSession, Session } from '../session.ts';
import { numberIn } from '../session.ts';
import { singleLine, stateTone } from '../terminal.ts';

const WAIT_POLL_MS = 300;
const WAIT_S = 3_600;
/** A worker may have a thousand types. */
const LINE_CHARS_MAX = 100_000;

const DRAIN_HELP = `
What it runs may finish within the grace limit; then it is handed back, and other workers get it. The order stays, also
over a restart of the worker, until "undrain", or until the worker is stopped by SIGTERM and leaves.

Examples:
  $ distric workers drain worker-5
  $ distric workers drain worker-5 --grace 10m --wait`;

interface DrainOptions {
  grace: string;
  wait?: boolean;
  waitTimeout: number;
}

export function addWorkers(parent: Command, open: OpenSession): void {
  const workers = parent.command('workers').description('the nodes that execute tasks');
  workers
    .command('list')
    .description('all workers: how busy they are, and whether they get tasks')
    .addHelpText('after', '\nExample:\n  $ distric workers list')
    .action(async (_options: unknown, command: Command) => {
      const session = open(command);
      const list = await (await atLeader(session)).get<WorkerList>('/workers');
      session.print(list, () => formatList(list, session));
    });
  workers
    .command('show <id>')
    .description('one worker, with the tasks it runs')
    .addHelpText('after', '\nExample:\n  $ distric workers show worker-5')
    .action(async (id: string, _options: unknown, command: Command) => {
      const session = open(command);
      const worker = await (await atLeader(session)).get<WorkerResource>(pathOf(id));
      session.print(worker, () => formatWorker(worker));
    });
  workers
    .command('drain <id>')
    .description('give a worker nothing more')
    .option('--grace <duration>', 'how long what it runs may take, such as 30s or 0s', DRAIN_GRACE_DEFAULT)
    .option('--wait', 'until it runs nothing any more')
    .option('--wait-timeout <seconds>', 'how long at most', numberIn(1, 86_400), WAIT_S)
    .addHelpText('after', DRAIN_HELP)
    .action(async (id: string, options: DrainOptions, command: Command) => {
      await drain(open(command), id, options);
    });
  workers
    .command('undrain <id>')
    .description('give a worker tasks again')
    .addHelpText('after', '\nExample:\n  $ distric workers undrain worker-5')
    .action(async (id: string, _options: unknown, command: Command) => {
      const session = open(command);
      const client = await session.client();
      const answer = await client.request<DrainResource>({ method: 'POST', path: `${pathOf(id)}/undrain`, body: '{}' });
      session.print(answer, () => `${singleLine(id)} gets tasks again`);
    });
}

function pathOf(id: string): string {
  return `/workers/${encodeURIComponent(id)}`;
}

/** Only the leader knows who is connected, and how busy; else whoever answers. */
async function atLeader(session: Session): Promise<RestClient> {
  const client = await session.client();
  const { leader, coordinators } = await client.get<ClusterStatus>('/cluster/status', { consistency: 'stale' });
  const address = coordinators.find(({ id }) => id === leader)?.http_address;
  return address === undefined ? client : client.at(address);
}

async function drain(session: Session, id: string, { grace, wait, waitTimeout }: DrainOptions): Promise<void> {
  const client = await session.client();
  const body = JSON.stringify({ grace: /^0(ms|s|m|h|d)?$/.test(grace) ? 0 : grace });
  const answer = await client.request<DrainResource>({ method: 'POST', path: `${pathOf(id)}/drain`, body });
  if (wait !== true) {
    session.print(answer, () => `Draining ${singleLine(id)} (marked unavailable, finishing existing tasks)`);
    return;
  }
  session.note(`Draining ${singleLine(id)} (marked unavailable, finishing existing tasks)...`);
  await untilIdle(session, id, waitTimeout);
  session.print(answer, () => 'Worker drained successfully');
}

async function untilIdle(session: Session, id: string, seconds: number): Promise<void> {
  const deadline = performance.now() + seconds * 1_000;
  let told = -1;
  for (;;) {
    const running = await runningOn(await atLeader(session), id);
    if (running === 0) return;
    if (running !== told) session.note(`${singleLine(id)} runs ${String(running)} tasks`);
    told = running;
    if (performance.now() >= deadline) {
      throw new CliError(EXIT.FAILURE, `${id} still runs ${String(running)} tasks after ${String(seconds)} s`);
    }
    await delay(WAIT_POLL_MS);
  }
}

/** A worker that has left runs nothing. */
async function runningOn(client: RestClient, id: string): Promise<number> {
  try {
    return (await client.get<WorkerResource>(pathOf(id))).running;
  } catch (error) {
    if (error instanceof CliError && error.exitCode === EXIT.NOT_FOUND) return 0;
    throw error;
  }
}

function share(value: number | undefined): string {
  return value === undefined ? '-' : `${String(Math.round(value * 100))}%`;
}

function formatList({ workers }: WorkerList, session: Session): string {
  return formatTable(
    ['Worker', 'Status', 'Running', 'Load', 'CPU', 'Memory', 'Zone', 'Version', 'Address'],
    workers.map((worker) => [
      worker.id,
      statusCell(worker, session),
      `${String(worker.running)}/${String(worker.capacity)}`,
      share(worker.load),
      share(worker.cpu),
      share(worker.memory),
      worker.zone ?? '-',
      worker.version ?? '-',
      worker.address,
    ]),
  );
}

function statusCell({ status }: WorkerSummary, { paint }: Session): Cell {
  return { text: status, finish: (clean) => paint(stateTone(status), clean) };
}

function formatWorker(worker: WorkerResource): string {
  const { drain: order, labels, reserved, types } = worker;
  const kept = reserved.map(({ workflow, type = '', slots }) => {
    return `${String(slots)} for ${workflow === undefined ? `type ${type}` : `workflow ${workflow}`}`;
  });
  const lines = [
    `Worker: ${worker.id}, ${worker.status}`,
    `Address: ${worker.address}, zone: ${worker.zone ?? '-'}, version: ${worker.version ?? '-'}`,
    `Running: ${String(worker.running)} of ${String(worker.capacity)}, cpu: ${share(worker.cpu)}, memory: ${share(worker.memory)}`,
    `Labels: ${labels.join(', ') || '-'}`,
    `Reserved: ${kept.join(', ') || '-'}`,
    `Types: ${types.map(({ name, version }) => (version === undefined ? name : `${name} ${version}`)).join(', ')}`,
  ];
  if (order !== undefined) {
    const grace = `${String(order.grace_ms / 1_000)} s to finish`;
    const state = order.handed_back ? `${grace}, which are over` : grace;
    lines.push(`Drained since ${formatMoment(order.ordered_at)}, ${state}`);
  }
  const attempts = formatTable(
    ['Task', 'Type', 'Workflow', 'Instance', 'Token', 'Started'],
    worker.attempts.map(({ task, type, workflow, instance, token, started_at: startedAt }) => [
      ...[task, type, workflow, instance, String(token)],
      formatMoment(startedAt),
    ]),
  );
  return [
    ...lines.map((line) => singleLine(line, LINE_CHARS_MAX)),
    ...(worker.attempts.length > 0 ? ['', attempts] : []),
  ].join('\n');
}
