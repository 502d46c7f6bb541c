import path from 'node:path';
import type { Command } from 'commander';
import { Option } from 'commander';
import { findPluginDirs, loadDocuments } from '../documents.ts';
import type { LoadedDocuments } from '../documents.ts';
import { CliError, EXIT } from '../exit-code.ts';
import { LocalCluster } from '../local-cluster.ts';
import { numberIn } from '../session.ts';
import type { OpenSession, Session } from '../session.ts';
import { applyDocuments, describeChange, summary } from './apply.ts';

interface UpOptions {
  coordinators?: number;
  workers?: number;
  profile?: 'default' | 'fast';
  tls?: boolean;
  file?: string[];
}

const WORKERS_MAX = 32;

const HELP = `
Starts a cluster of real processes on this machine, with data, logs and configuration under .distric.
When the cluster runs already, nothing happens; after a crash or a reboot the missing nodes come back with their data.
Documents and plugins (*.plugin.ts, .js, .mjs) found at -f are applied and loaded.

Examples:
  $ distric up
  $ distric up --coordinators 1 --workers 1 --profile fast
  $ distric up --tls
  $ distric up -f examples/github`;

export function addUp(parent: Command, open: OpenSession): void {
  parent
    .command('up')
    .description('start a cluster on this machine')
    .option('--coordinators <count>', '1, 3, 5 or 7 (default: 3, for a new cluster)', coordinatorCount)
    .option('--workers <count>', 'how many (default: 2, for a new cluster)', numberIn(0, WORKERS_MAX, true))
    .addOption(new Option('--profile <name>', 'timing of elections and heartbeats').choices(['default', 'fast']))
    .option('--tls', 'nodes and REST speak TLS, with certificates made for it (for a new cluster)')
    .option('-f, --file <path...>', 'documents to apply and plugins to load: files or directories')
    .addHelpText('after', HELP)
    .action(async (options: UpOptions, command: Command) => {
      await up(open(command), options);
    });
}

function coordinatorCount(value: string): number {
  const count = numberIn(1, 7, true)(value);
  if (count % 2 === 1) return count;
  throw new CliError(EXIT.USAGE, `--coordinators must be 1, 3, 5 or 7, not ${value}: an even one adds no safety`);
}

async function up(session: Session, options: UpOptions): Promise<void> {
  const paths = options.file ?? [];
  // Faults in the documents are told before anything is started.
  const documents = await loadDocuments(paths, session.io);
  const pluginDirs = await findPluginDirs(paths, session.io);
  const { file, ...wanted } = options;
  const dataDir = session.newDataDir();
  const cluster = await LocalCluster.start({
    ...wanted,
    dataDir,
    pluginDirs,
    env: { ...session.io.env },
    onProgress: (line) => {
      session.note(line);
    },
  });
  session.print({ data_dir: dataDir, started: cluster.started, nodes: cluster.nodes }, () => report(session, cluster));
  if (file !== undefined) await applyAll(session, cluster, documents);
}

function report(session: Session, cluster: LocalCluster): string {
  const count = (role: string): string => {
    const nodes = cluster.nodes.filter((node) => node.role === role).length;
    return `${String(nodes)} ${role}${nodes === 1 ? '' : 's'}`;
  };
  const what = cluster.started.length === 0 ? 'was running already' : 'is up';
  const where = path.relative(session.io.cwd, cluster.dataDir) || cluster.dataDir;
  const lines = [`The cluster ${what}: ${count('coordinator')}, ${count('worker')}; data in ${where}`];
  if (cluster.started.length > 0) lines.push('Next: distric status, distric send, distric logs -f, distric down');
  return lines.join('\n');
}

async function applyAll(session: Session, cluster: LocalCluster, documents: LoadedDocuments): Promise<void> {
  for (const warning of documents.warnings) session.note(`warning: ${warning}`);
  const client = cluster.client(session.options.timeout * 1_000);
  // With -o json the cluster is the output; the changes are remarks then.
  const tell = (line: string): void => {
    if (session.options.output === 'table') session.io.stdout.write(`${line}\n`);
    else session.note(line);
  };
  const changes = await applyDocuments(client, documents, false, (change) => {
    tell(describeChange(change));
  });
  tell(summary(changes));
}
