import path from 'node:path';
import type { Command } from 'commander';
import { LocalCluster } from '../local-cluster.ts';
import type { OpenSession } from '../session.ts';

const HELP = `
Every node gets SIGTERM and finishes its running work within the drain limit; after it, SIGKILL.
The data stays for the next \`distric up\`, unless --wipe is given.

Examples:
  $ distric down
  $ distric down --wipe`;

export function addDown(parent: Command, open: OpenSession): void {
  parent
    .command('down')
    .description('stop the cluster on this machine')
    .option('--wipe', 'remove its data, logs and configuration too')
    .addHelpText('after', HELP)
    .action(async (options: { wipe?: boolean }, command: Command) => {
      const session = open(command);
      const cluster = await LocalCluster.load(session.requireDataDir());
      const stopped = cluster.nodes.map(({ id }) => id).filter((id) => cluster.isRunning(id));
      await cluster.stop();
      if (options.wipe === true) await cluster.wipe();
      const where = path.relative(session.io.cwd, cluster.dataDir) || cluster.dataDir;
      session.print({ stopped, wiped: options.wipe === true }, () => {
        const what = stopped.length === 0 ? 'No node was running' : `Stopped ${stopped.join(', ')}`;
        return `${what}; ${options.wipe === true ? `removed ${where}` : `data stays in ${where}`}`;
      });
    });
}
