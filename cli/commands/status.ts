import type { Command } from 'commander';
import type { ClusterStatus } from '../../api/rest.ts';
import { formatTable } from '../output.ts';
import type { Cell } from '../output.ts';
import type { OpenSession, Session } from '../session.ts';
import { stateTone } from '../terminal.ts';
import type { Paint } from '../terminal.ts';
import { addNodes } from './nodes.ts';

/** Of a coordinator that does not tell one. */
const LEVEL_BEFORE_LEVELS = 1;

const HELP = `
Examples:
  $ distric status
  $ distric status -o json
  $ distric cluster status --server http://127.0.0.1:8080`;

export function addStatus(parent: Command, open: OpenSession): void {
  const cluster = parent.command('cluster').description('the cluster as a whole');
  addNodes(cluster, open);
  for (const holder of [parent, cluster]) {
    holder
      .command('status')
      .description('leader, coordinators, workers and counts')
      .option('--stale', 'ask one coordinator only, even without a leader')
      .addHelpText('after', HELP)
      .action(async (options: { stale?: boolean }, command: Command) => {
        await showStatus(open(command), options.stale === true);
      });
  }
}

async function showStatus(session: Session, stale: boolean): Promise<void> {
  const client = await session.client();
  const status = await client.get<ClusterStatus>('/cluster/status', { consistency: stale ? 'stale' : undefined });
  session.print(status, () => formatStatus(status, session.paint));
}

function formatStatus(status: ClusterStatus, paint: Paint): string {
  const state = (text: string): Cell => ({ text, finish: (clean) => paint(stateTone(text), clean) });
  const coordinators = formatTable(
    ['Coordinator', 'State', 'Address', 'REST', 'Match index', 'Lag', 'Storage'],
    status.coordinators.map((node) => [
      node.id,
      state(node.state),
      node.address,
      node.http_address ?? '-',
      optional(node.match_index),
      optional(node.lag),
      node.storage === undefined ? '-' : `${node.storage.what} ${(node.storage.share * 100).toFixed(0)}%`,
    ]),
  );
  const workers = formatTable(
    ['Worker', 'Status', 'Address', 'Load', 'Running', 'Task types'],
    status.workers.map((node) => [
      node.id,
      state(node.status),
      node.address,
      `${String(Math.round(node.load * 100))}%`,
      `${String(node.running)}/${String(node.capacity)}`,
      node.types.join(', '),
    ]),
  );
  const parts = [statusLines(status).join('\n'), coordinators];
  if (status.workers.length > 0) parts.push(workers);
  return parts.join('\n\n');
}

/** For people: the cluster as a whole. */
export function statusLines(status: ClusterStatus): string[] {
  const members = countStates(status.coordinators.map(({ state }) => state));
  const lines = [
    `Leader: ${status.leader ?? 'none'}`,
    `Coordinators: ${String(status.coordinators.length)} (${members.map(withPlural).join(', ')})`,
    `Workers: ${listStates(status.workers.map((worker) => worker.status))}`,
    `Term: ${String(status.term)}, commit index: ${String(status.commit_index)}, catalog version: ${String(status.catalog_version)}, feature level: ${String(status.feature_level ?? LEVEL_BEFORE_LEVELS)}`,
  ];
  const counts = Object.entries(status.counts).map(([name, count]) => `${String(count)} ${name.replaceAll('_', ' ')}`);
  lines.push(`Now: ${counts.join(', ')}`);
  const late = laterLevels(status);
  if (late !== undefined) lines.push(late);
  for (const { id, snapshot_waits: reason } of status.coordinators) {
    if (reason !== undefined) lines.push(`${id} needs a snapshot, and there is no room for it: ${reason}`);
  }
  if (status.gossip !== undefined) lines.push(gossipLine(status.gossip));
  if (status.losses_suspended !== undefined) {
    const { missing, workers } = status.losses_suspended;
    lines.push(
      `${String(missing)} of ${String(workers)} workers failed at once: they are waited for before their tasks go to others`,
    );
  }
  if (status.storage_level === 'soft') lines.push('Storage is over its soft limit: messages are refused');
  if (status.storage_level === 'hard') lines.push('Storage is over its hard limit: messages are refused, tasks wait');
  return lines;
}

/** During an upgrade, and when a member is away: who holds the level down. */
function laterLevels(status: ClusterStatus): string | undefined {
  const { feature_level: level = LEVEL_BEFORE_LEVELS, coordinators, answered_by: answeredBy, leader } = status;
  // Only the leader knows of the others.
  if (answeredBy !== leader) return undefined;
  const highest = Math.max(level, ...coordinators.map((node) => node.feature_level ?? level));
  if (highest === level) return undefined;
  const early = coordinators.filter((node) => (node.feature_level ?? level) < highest).map(({ id }) => id);
  return `Feature level ${String(highest)} waits for ${early.join(', ')}`;
}

function gossipLine({ state, alive, suspected, failed }: NonNullable<ClusterStatus['gossip']>): string {
  if (state === 'off') return 'Gossip: off';
  const counts = `${String(alive)} alive, ${String(suspected)} suspected, ${String(failed)} failed`;
  if (state === 'on') return `Gossip: ${counts}`;
  return `Gossip: datagrams (UDP) do not come through, nodes answer over connections only; ${counts}`;
}

/** Most frequent first, then by name. */
function countStates(states: readonly string[]): [state: string, count: number][] {
  const counts = new Map<string, number>();
  for (const state of states) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
}

function withPlural([state, count]: [string, number]): string {
  const noun = count > 1 && ['leader', 'follower', 'candidate'].includes(state) ? `${state}s` : state;
  return `${String(count)} ${noun}`;
}

function listStates(states: readonly string[]): string {
  if (states.length === 0) return 'none';
  return countStates(states)
    .map(([state, count]) => `${String(count)} ${state}`)
    .join(', ');
}

function optional(value: number | undefined): string {
  return value === undefined ? '-' : String(value);
}
