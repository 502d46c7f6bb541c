import type { Command } from 'commander';
import type { BackupSummary } from '../../node/data/backup-file.ts';
import type { BackupHeader } from '../../node/data/backup-format.ts';
import { CliError, EXIT } from '../exit-code.ts';
import { about, mebibytes, operatorName, pathOf } from '../offline.ts';
import { formatTable } from '../output.ts';
import { ProgressBar } from '../progress-bar.ts';
import type { OpenSession, Session } from '../session.ts';

/** The coordinator copies the whole state before its answer begins. */
const HEADERS_TIMEOUT_MS = 120_000;

const CREATE_HELP = `
Everything acknowledged before the command began is in it. The cluster goes on serving; any coordinator will do. The
file is checked while it comes in, is for its owner only, and is there once it is whole. Takes the role admin.

Examples:
  $ distric backup create shop-$(date +%F).backup
  $ distric backup create shop.backup --server https://c2.example.org:8080`;

const VERIFY_HELP = `
Reads the whole file: every block has a checksum, and the file a SHA-256. Needs no cluster.

Example:
  $ distric backup verify shop.backup`;

const RESTORE_HELP = `
Makes the data directory of a NEW cluster with one voter, and starts nothing. It has a cluster id of its own, the workers
have to register again, tasks that were running are dispatched again, and no fencing token is ever issued twice. Start the
node on it, then add the others as new members (docs/backup.md).

Example:
  $ distric backup restore shop.backup --data-dir /var/lib/distric --node-id c1`;

export function addBackup(parent: Command, open: OpenSession): void {
  const backup = parent.command('backup').description('copies of the state, and new clusters of them');
  backup
    .command('create')
    .description('copy the state of a serving cluster into a file')
    .argument('<file>', 'must not be there yet')
    .addHelpText('after', CREATE_HELP)
    .action(async (file: string, _options: unknown, command: Command) => {
      await create(open(command), file);
    });
  backup
    .command('verify')
    .description('check a backup, and tell what is in it')
    .argument('<file>', 'a backup')
    .addHelpText('after', VERIFY_HELP)
    .action(async (file: string, _options: unknown, command: Command) => {
      await verify(open(command), file);
    });
  backup
    .command('restore')
    .description('make the data directory of a new cluster')
    .argument('<file>', 'a backup')
    .requiredOption('--data-dir <dir>', 'dataDir of the node; must be empty or not there')
    .requiredOption('--node-id <id>', 'nodeId of the node that will start on it')
    .option('--cluster-name <name>', 'clusterName of the new cluster (default: that of the old one)')
    .addHelpText('after', RESTORE_HELP)
    .action(async (file: string, options: RestoreOptions, command: Command) => {
      await restore(open(command), file, options);
    });
}

interface RestoreOptions {
  dataDir: string;
  nodeId: string;
  clusterName?: string;
}

async function create(session: Session, name: string): Promise<void> {
  const { receiveBackup } = await import('../../node/data/receive-backup.ts');
  const client = await session.client();
  const bar = new ProgressBar(session, 'backup');
  const header = await about(name, async () => {
    try {
      const pieces = await client.stream('/cluster/backup', HEADERS_TIMEOUT_MS);
      return await receiveBackup(unbroken(pieces), pathOf(session, name), bar.update);
    } finally {
      bar.stop();
    }
  });
  session.print({ file: name, ...header }, () => `${name}: ${headerText(header)}`);
}

async function* unbroken(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* pieces;
  } catch (error) {
    throw new CliError(
      EXIT.UNAVAILABLE,
      `the connection broke off: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

async function verify(session: Session, name: string): Promise<void> {
  const summary = await read(session, name);
  session.print({ file: name, ...summary }, () => formatSummary(name, summary));
}

async function read(session: Session, name: string): Promise<BackupSummary> {
  const { readBackup } = await import('../../node/data/backup-file.ts');
  const bar = new ProgressBar(session, 'verify');
  try {
    return await about(name, () => readBackup(pathOf(session, name), undefined, bar.update));
  } finally {
    bar.stop();
  }
}

async function restore(session: Session, name: string, options: RestoreOptions): Promise<void> {
  const { restoreBackup } = await import('../../node/data/restore.ts');
  const bar = new ProgressBar(session, 'restore');
  const cluster = { nodeId: options.nodeId, operator: operatorName() };
  const restored = await about(name, async () => {
    try {
      return await restoreBackup(pathOf(session, name), pathOf(session, options.dataDir), cluster, bar.update);
    } finally {
      bar.stop();
    }
  });
  const { header } = restored.backup;
  const clusterName = options.clusterName ?? header.cluster_name;
  const { cluster_id: clusterId, data_dir: dataDir, index } = restored;
  const value = { data_dir: dataDir, node_id: cluster.nodeId, cluster_name: clusterName, cluster_id: clusterId, index };
  session.print({ ...value, backup: header }, () =>
    [
      `restored ${name} (${headerText(header)})`,
      `into ${dataDir}: a new cluster ${clusterId} with the one voter ${cluster.nodeId}`,
      `start it with nodeId ${cluster.nodeId}, clusterName ${clusterName} and this dataDir, then add the other members`,
    ].join('\n'),
  );
}

function headerText({ cluster_name: name, index, created_at: at, state_bytes: bytes }: BackupHeader): string {
  return `cluster ${name} as of ${at}, index ${String(index)}, ${mebibytes(bytes)}`;
}

function formatSummary(name: string, { header, counts }: BackupSummary): string {
  const rows = Object.entries(counts).map(([table, count]) => [table, String(count)]);
  return [
    `${name} is whole: ${headerText(header)}`,
    `cluster id ${header.cluster_id}, term ${String(header.term)}, voters ${header.membership.voters.join(', ')}`,
    '',
    formatTable(['Table', 'Records'], rows),
  ].join('\n');
}
