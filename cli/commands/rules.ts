import type { Command } from 'commander';
import { loadDocuments } from '../documents.ts';
import { CliError, EXIT } from '../exit-code.ts';
import { formatTable, toYaml } from '../output.ts';
import type { RuleList } from '../resources.ts';
import type { OpenSession, Session } from '../session.ts';
import { applyDocuments } from './apply.ts';

const RELOAD_HELP = `
Every rule of the file is put into the cluster. With --prune the file is the whole truth: other rules are deleted.

Examples:
  $ distric rules reload -f rules.yaml
  $ distric rules reload -f rules/ --prune`;

export function addRules(parent: Command, open: OpenSession): void {
  const rules = parent.command('rules').description('conditions, and the workflows to start when they hold');
  rules
    .command('list')
    .description('all rules, highest priority first')
    .addHelpText('after', '\nExample:\n  $ distric rules list')
    .action(async (_options: unknown, command: Command) => {
      const session = open(command);
      const list = await (await session.client()).get<RuleList>('/rules');
      session.print(list, () => formatRules(list));
    });
  rules
    .command('get <id>')
    .description('one rule as the cluster has it')
    .addHelpText('after', '\nExample:\n  $ distric rules get high-value-payment -o json')
    .action(async (id: string, _options: unknown, command: Command) => {
      const session = open(command);
      const rule = await (await session.client()).get(`/rules/${encodeURIComponent(id)}`);
      session.print(rule, () => toYaml(rule));
    });
  rules
    .command('delete <id...>')
    .description('delete rules; running instances go on')
    .addHelpText('after', '\nExample:\n  $ distric rules delete high-value-payment')
    .action(async (ids: string[], _options: unknown, command: Command) => {
      await deleteAll(open(command), 'rule', '/rules', ids);
    });
  rules
    .command('reload')
    .description('put all rules of a file into the cluster')
    .requiredOption('-f, --file <path...>', 'files or directories, or - for standard input')
    .option('--prune', 'delete the rules that are not in it')
    .addHelpText('after', RELOAD_HELP)
    .action(async (options: { file: string[]; prune?: boolean }, command: Command) => {
      await reload(open(command), options.file, options.prune === true);
    });
}

/** Deletes one after the other; the first that can't be deleted ends it. */
export async function deleteAll(
  session: Session,
  kind: string,
  base: string,
  ids: readonly string[],
  done = 'deleted',
): Promise<void> {
  const client = await session.client();
  for (const id of ids) {
    await client.request({ method: 'DELETE', path: `${base}/${encodeURIComponent(id)}` });
    if (session.options.output === 'table') session.io.stdout.write(`${kind}/${id} ${done}\n`);
  }
  if (session.options.output !== 'table') session.print({ [done]: ids }, () => '');
}

function formatRules({ rules }: RuleList): string {
  const rows = [...rules].sort((a, b) => numberOf(b['priority']) - numberOf(a['priority']));
  return formatTable(
    ['ID', 'Version', 'Priority', 'Enabled', 'Workflows'],
    rows.map((rule) => [
      text(rule['id']),
      text(rule['version']),
      text(rule['priority']),
      text(rule['enabled']),
      workflowsOf(rule['actions']).join(', '),
    ]),
  );
}

function workflowsOf(actions: unknown): string[] {
  if (!Array.isArray(actions)) return [];
  return actions.map((action: unknown) =>
    typeof action === 'object' && action !== null && 'workflow' in action ? String(action.workflow) : '?',
  );
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : '-';
}

async function reload(session: Session, paths: readonly string[], prune: boolean): Promise<void> {
  session.note(`Reloading rules from ${paths.join(', ')}...`);
  const documents = await loadDocuments(paths, session.io);
  if (documents.rules.length === 0) throw new CliError(EXIT.REFUSED, `there is no rule in ${paths.join(', ')}`);
  for (const warning of documents.warnings) session.note(`warning: ${warning}`);
  const client = await session.client();
  const changes = await applyDocuments(client, { ...documents, workflows: [] }, false);
  const deleted: string[] = [];
  if (prune) {
    const kept = new Set(documents.rules.map(({ document }) => document.id));
    const { rules } = await client.get<RuleList>('/rules');
    for (const id of rules.map((rule) => text(rule['id'])).filter((candidate) => !kept.has(candidate))) {
      await client.request({ method: 'DELETE', path: `/rules/${encodeURIComponent(id)}` });
      deleted.push(id);
    }
  }
  const { catalog_version: version } = await client.get<RuleList>('/rules');
  session.print({ changes, deleted, catalog_version: version }, () => {
    const removed = prune ? `, deleted ${String(deleted.length)}` : '';
    return `Successfully reloaded ${String(changes.length)} rules (version ${String(version)})${removed}`;
  });
}
