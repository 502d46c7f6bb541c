import type { Command } from 'commander';
import { loadDocuments, plural } from '../documents.ts';
import type { LoadedDocuments } from '../documents.ts';
import type { OpenSession } from '../session.ts';

const HELP = `
Needs no cluster. Whether a task type is registered, and whether a workflow exists that no file defines, only a cluster
can tell: see apply --dry-run.

Examples:
  $ distric validate -f examples/github
  $ distric validate -f - < rules.yaml`;

export function addValidate(parent: Command, open: OpenSession): void {
  parent
    .command('validate')
    .description('check rules and workflows, without a cluster')
    .requiredOption('-f, --file <path...>', 'files or directories, or - for standard input')
    .addHelpText('after', HELP)
    .action(async (options: { file: string[] }, command: Command) => {
      const session = open(command);
      const documents = await loadDocuments(options.file, session.io);
      const warnings = [...documents.warnings, ...unknownWorkflows(documents)];
      for (const warning of warnings) session.note(`warning: ${warning}`);
      const workflows = documents.workflows.map(({ document }) => document.id);
      const rules = documents.rules.map(({ document }) => document.id);
      session.print({ valid: true, workflows, rules, warnings }, () => {
        const counts = [
          `${String(workflows.length)} ${plural(workflows.length, 'workflow')}`,
          `${String(rules.length)} ${plural(rules.length, 'rule')}`,
        ];
        return `valid: ${counts.join(', ')}`;
      });
    });
}

/** Rules may name workflows that only the cluster has, so this is a warning. */
function unknownWorkflows({ rules, workflows }: LoadedDocuments): string[] {
  const known = new Set(workflows.map(({ document }) => document.id));
  return rules.flatMap(({ document, place }) =>
    document.actions
      .filter(({ workflow }) => !known.has(workflow))
      .map(({ workflow }) => `${place}: rule ${document.id} starts ${workflow}, which no file here defines`),
  );
}
