import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import type { NodeList, NodeResource } from '../../api/nodes.ts';
import type { ClusterStatus } from '../../api/rest.ts';
import type { RestClient } from '../client.ts';
import { formatTable } from '../output.ts';
import type { Cell } from '../output.ts';
import { numberIn } from '../session.ts';
import type { OpenSession, Session } from '../session.ts';
import { stateTone } from '../terminal.ts';
import type { Paint } from '../terminal.ts';
import { statusLines } from './status.ts';

const INTERVAL_S = 2;
/** Home, and what is below is cleared: less flicker than a cleared screen. */
const REDRAW = '\u001b[H\u001b[J';

const HELP = `
Workers with most to do come first. With -o json or yaml it looks once.

Examples:
  $ distric top
  $ distric top --once
  $ distric top -o json`;

interface TopOptions {
  once?: boolean;
  interval: number;
}

interface Look {
  status: ClusterStatus;
  nodes: NodeList;
}

export function addTop(parent: Command, open: OpenSession): void {
  parent
    .command('top')
    .description('coordinators and workers, live: who is there, who leads, who has how much to do')
    .option('--once', 'look once')
    .option('--interval <seconds>', 'from one look to the next', numberIn(0.1, 3_600), INTERVAL_S)
    .addHelpText('after', HELP)
    .action(async ({ once, interval }: TopOptions, command: Command) => {
      const session = open(command);
      const client = await session.client();
      const { signal, stdout } = session.io;
      if (once === true || session.options.output !== 'table') {
        print(session, await look(client));
        return;
      }
      while (signal?.aborted !== true) {
        const seen = await look(client);
        if (stdout.isTTY === true) stdout.write(REDRAW);
        print(session, seen);
        await delay(interval * 1_000, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
      }
    });
}

/** The leader alone knows how far the others are and what runs; while it is out of reach, whoever answers has to do. */
async function look(client: RestClient): Promise<Look> {
  const [first, nodes] = await Promise.all([statusOf(client), client.get<NodeList>('/cluster/nodes')]);
  const address = first.coordinators.find(({ id }) => id === first.leader)?.http_address;
  if (first.answered_by === first.leader || address === undefined) return { status: first, nodes };
  return { status: await statusOf(client.at(address)).catch(() => first), nodes };
}

function statusOf(client: RestClient): Promise<ClusterStatus> {
  return client.get<ClusterStatus>('/cluster/status', { consistency: 'stale' });
}

function print(session: Session, seen: Look): void {
  session.print(seen, () => formatTop(seen, session.paint));
}

function formatTop({ status, nodes: { nodes } }: Look, paint: Paint): string {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const state = (text: string): Cell => ({ text, finish: (clean) => paint(stateTone(text), clean) });
  const heard = (id: string): Cell => state(byId.get(id)?.status ?? '-');
  const coordinators = formatTable(
    ['Coordinator', 'State', 'Gossip', 'For', 'Lag', 'Storage', 'Version'],
    status.coordinators.map(({ id, state: raft, lag, storage }) => [
      id,
      state(raft),
      heard(id),
      age(byId.get(id)),
      lag === undefined ? '-' : String(lag),
      storage === undefined ? '-' : `${(storage.share * 100).toFixed(0)}%`,
      byId.get(id)?.version ?? '-',
    ]),
  );
  const workers = [...status.workers].sort((a, b) => b.load - a.load || (a.id < b.id ? -1 : 1));
  const rows = workers.map(({ id, status: word, load, running, capacity }) => [
    id,
    state(word),
    heard(id),
    age(byId.get(id)),
    `${bar(load)} ${String(Math.round(load * 100)).padStart(3)}%`,
    `${String(running)}/${String(capacity)}`,
    byId.get(id)?.zone ?? '-',
    byId.get(id)?.version ?? '-',
  ]);
  const table = formatTable(['Worker', 'Status', 'Gossip', 'For', 'Load', 'Running', 'Zone', 'Version'], rows);
  return [statusLines(status).join('\n'), coordinators, ...(rows.length === 0 ? [] : [table])].join('\n\n');
}

const BAR_CELLS = 10;

function bar(share: number): string {
  const full = Math.round(Math.min(1, share) * BAR_CELLS);
  return `${'#'.repeat(full)}${'.'.repeat(BAR_CELLS - full)}`;
}

/** In the largest unit that leaves at least 2. */
function age(node: NodeResource | undefined): string {
  if (node === undefined) return '-';
  const seconds = node.for_ms / 1_000;
  if (seconds < 120) return `${String(Math.floor(seconds))}s`;
  if (seconds < 7_200) return `${String(Math.floor(seconds / 60))}m`;
  return seconds < 172_800 ? `${String(Math.floor(seconds / 3_600))}h` : `${String(Math.floor(seconds / 86_400))}d`;
}
