import type { Command } from 'commander';
import type { NodeList } from '../../api/nodes.ts';
import { formatTable } from '../output.ts';
import type { Cell } from '../output.ts';
import type { OpenSession } from '../session.ts';
import { stateTone } from '../terminal.ts';

const HELP = `
As the coordinator that answers has it by gossip, those that are gone included, for as long as they are remembered.

Examples:
  $ distric cluster nodes
  $ distric cluster nodes -o json`;

export function addNodes(cluster: Command, open: OpenSession): void {
  cluster
    .command('nodes')
    .description('every node that gossip knows, and what it tells of itself')
    .addHelpText('after', HELP)
    .action(async (_options: unknown, command: Command) => {
      const session = open(command);
      const client = await session.client();
      const list = await client.get<NodeList>('/cluster/nodes');
      session.print(list, () => {
        const state = (text: string): Cell => ({ text, finish: (clean) => session.paint(stateTone(text), clean) });
        return formatTable(
          ['Node', 'Role', 'Status', 'Address', 'Zone', 'Version', 'Labels'],
          list.nodes.map(({ id, role, status, address, zone, version, labels }) => [
            id,
            role ?? '-',
            state(status),
            address ?? '-',
            zone ?? '-',
            version ?? '-',
            labels.join(', '),
          ]),
        );
      });
      if (list.gossip === 'off') session.note(`gossip is off at ${list.answered_by}: it knows of no node`);
    });
}
