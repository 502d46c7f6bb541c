import type { Command } from 'commander';
import type { DataSummary } from '../../node/data/inspect.ts';
import type { RecoveryPlan } from '../../node/data/recover.ts';
import type { VerifyReport } from '../../node/data/verify.ts';
import { CliError, EXIT } from '../exit-code.ts';
import { about, mebibytes, operatorName, pathOf } from '../offline.ts';
import { formatTable } from '../output.ts';
import type { OpenSession, Session } from '../session.ts';
import { singleLine } from '../terminal.ts';

const VERIFY_HELP = `
Changes nothing, and refuses while a node runs on the directory. Checks the records of the node, that the log has no gap and
that every entry carries its checksum and continues the one before it; that every record of the state can be read and says
what its key says; that indexes point to records, and back; that counters are right; that what the log has beyond the state
can be applied. Records of the state carry no checksum of their own: compare "content" with another node at the same
applied index.

Example:
  $ distric data verify /var/lib/distric`;

const INSPECT_HELP = `
Example:
  $ distric data inspect /var/lib/distric -o json`;

const EXPORT_HELP = `
One JSON object a line, on standard output: messages, instances, outputs, rules, workflows and their revisions, API keys
(never a secret, nor the hash of one) and the audit log, as the state was last committed to this disk.

Example:
  $ distric data export /var/lib/distric | grep '"type":"message"' > messages.ndjson`;

const RECOVER_HELP = `
The last resort, when a majority of the coordinators' disks is gone for good. Makes a new cluster with one voter out of the
directory of one that is left. Without --yes it only says what may be lost. Take the disk that got furthest: compare
last_term, then last_index, of "distric data inspect". Copy the directory first. docs/backup.md has the whole procedure.

Example:
  $ distric data recover /var/lib/distric --node-id c2
  $ distric data recover /var/lib/distric --node-id c2 --yes`;

export function addData(parent: Command, open: OpenSession): void {
  const data = parent.command('data').description('look into the data directory of a coordinator that is stopped');
  const argument = ['<dir>', 'dataDir of its configuration'] as const;
  data
    .command('verify')
    .description('check that it is whole')
    .argument(...argument)
    .addHelpText('after', VERIFY_HELP)
    .action(async (dir: string, _options: unknown, command: Command) => {
      await verify(open(command), dir);
    });
  data
    .command('inspect')
    .description('tell what is in it')
    .argument(...argument)
    .addHelpText('after', INSPECT_HELP)
    .action(async (dir: string, _options: unknown, command: Command) => {
      const session = open(command);
      const { inspectData } = await import('../../node/data/inspect.ts');
      const summary = await about(dir, () => inspectData(pathOf(session, dir)));
      session.print(summary, () => formatInspected(summary));
    });
  data
    .command('export')
    .description('print its records as NDJSON')
    .argument(...argument)
    .addHelpText('after', EXPORT_HELP)
    .action(async (dir: string, _options: unknown, command: Command) => {
      await exportRecords(open(command), dir);
    });
  data
    .command('recover')
    .description('make a new cluster of it, after the loss of a majority')
    .argument(...argument)
    .requiredOption('--node-id <id>', 'nodeId of the node that it belongs to')
    .option('--yes', 'do it')
    .addHelpText('after', RECOVER_HELP)
    .action(async (dir: string, options: { nodeId: string; yes?: boolean }, command: Command) => {
      await recover(open(command), dir, options);
    });
}

async function verify(session: Session, dir: string): Promise<void> {
  const { verifyInChild } = await import('../../node/data/verify-in-child.ts');
  const report = await about(dir, () => verifyInChild(pathOf(session, dir)));
  session.print(report, () => formatVerified(dir, report));
  if (!report.ok) throw new CliError(EXIT.FAILURE, `${dir} is damaged: replace this node by an empty one`);
}

function formatVerified(dir: string, { faults, more_faults: more, log, state, ...report }: VerifyReport): string {
  const found = faults.map((fault) => `  ${singleLine(fault, 300)}`);
  return [
    report.ok ? `${dir} is whole` : `${dir}: ${String(faults.length)}${more ? ' and more' : ''} faults`,
    ...found,
    `log      entries ${String(log.first_index)} to ${String(log.last_index)}`,
    `state    applied index ${String(state.applied_index)}; ${String(report.replayed_entries)} entries behind it can be applied`,
    `content  sha256 ${state.content_sha256}`,
    `hash     ${state.running_hash === null ? '-' : String(state.running_hash)} over all writes so far (can't be computed anew from the content)`,
  ].join('\n');
}

function formatInspected(summary: DataSummary): string {
  const { log, state, membership, counts } = summary;
  const members = membership === null ? 'as configured' : membership.voters.join(', ');
  const learners =
    membership === null || membership.learners.length === 0 ? '' : `; learners ${membership.learners.join(', ')}`;
  const rows = [
    ['Cluster id', summary.cluster_id || '-'],
    ['Data uuid', summary.data_uuid ?? '-'],
    ['Boots', `${String(summary.boots)}, last ${summary.last_boot ?? '-'}`],
    ['Format', String(summary.format_version)],
    ['Term', `${String(summary.term)}, voted for ${summary.voted_for ?? '-'}`],
    [
      'Log',
      `${String(log.first_index)} to ${String(log.last_index)} (term ${String(log.last_term)}), ${mebibytes(log.used_bytes)} in use`,
    ],
    ['Applied', `${String(state.applied_index)}, ${mebibytes(state.used_bytes)} in use`],
    ['Voters', `${members}${learners} (entry ${String(summary.membership_index)})`],
    ...Object.entries(counts).map(([name, count]) => [name.replaceAll('_', ' '), String(count)]),
  ];
  return formatTable(['', ''], rows).trimStart();
}

async function exportRecords(session: Session, dir: string): Promise<void> {
  const { exportData } = await import('../../node/data/export.ts');
  await about(dir, async () => {
    for await (const record of exportData(pathOf(session, dir))) session.io.stdout.write(`${JSON.stringify(record)}\n`);
  });
}

async function recover(session: Session, dir: string, options: { nodeId: string; yes?: boolean }): Promise<void> {
  const { planRecovery, recoverData } = await import('../../node/data/recover.ts');
  const { verifyInChild } = await import('../../node/data/verify-in-child.ts');
  const absolute = pathOf(session, dir);
  const plan = await about(dir, () => planRecovery(absolute, options.nodeId, verifyInChild));
  session.note(whatMayBeLost(dir, plan));
  if (options.yes !== true) throw new CliError(EXIT.USAGE, 'nothing was done: add --yes to go on');
  const recovered = await recoverData(absolute, plan, operatorName());
  session.print({ ...recovered, plan }, () =>
    [
      `${dir} is the data of a new cluster ${recovered.cluster_id} with the one voter ${plan.node_id}`,
      `start it with coordinators: only ${plan.node_id}; then add the others as new members, with empty data directories`,
    ].join('\n'),
  );
}

/** In plain words, before anything is done. */
function whatMayBeLost(dir: string, plan: RecoveryPlan): string {
  const { node_id: nodeId, applied_index: applied, last_index: last, membership } = plan;
  const others = membership?.voters.filter((id) => id !== nodeId).join(', ') ?? 'the other coordinators';
  const tail =
    last > applied
      ? `Entries ${String(applied + 1)} to ${String(last)} are here, and nobody can tell whether they were ever committed. All of them count
  from now on, also those whose senders were told that they failed, or nothing.`
      : 'Every entry that is here was applied, so it was committed.';
  return `This makes a new cluster with the one voter ${nodeId} out of ${dir}, and can't be undone: copy the directory first.

What it has: entries up to ${String(last)}, the last one made ${plan.last_entry_at ?? '(none)'}; known to be committed up to ${String(applied)}.

What may be lost:
- What other coordinators acknowledged and this disk never got. Nobody can tell from here whether there is any: another disk
  with a higher last term, or at the same one a higher last index, has more (distric data inspect).
- ${tail}
- Tasks that were running are run again, also those whose results were on their way.

Never start ${others} on their old data again: erase it, and add them as new members.
`;
}
