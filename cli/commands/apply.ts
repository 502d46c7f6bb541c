import { isDeepStrictEqual } from 'node:util';
import type { Command } from 'commander';
import type { RestClient } from '../client.ts';
import { ProblemError } from '../client.ts';
import { loadDocuments, plural } from '../documents.ts';
import type { LoadedDocuments } from '../documents.ts';
import { CliError, EXIT } from '../exit-code.ts';
import type { OpenSession } from '../session.ts';

export interface Change {
  kind: 'workflow' | 'rule';
  id: string;
  action: 'created' | 'configured' | 'unchanged';
  dry_run: boolean;
}

/** Keys that the cluster adds to a stored document: they are no difference. */
const ADDED_KEYS = new Set(['revision', 'waiting_for_types', 'created_at', 'updated_at', 'catalog_version']);

const HELP = `
Reads YAML (also several documents in a file) and JSON; directories with all below them. Workflows go first, then rules.
Kinds that are neither Rule nor Workflow are left out with a warning; other files (plugins) are not looked at.

Examples:
  $ distric apply -f rules.yaml
  $ distric apply -f examples/github --dry-run
  $ cat workflow.json | distric apply -f -`;

export function addApply(parent: Command, open: OpenSession): void {
  parent
    .command('apply')
    .description('create or change rules and workflows')
    .requiredOption('-f, --file <path...>', 'files or directories, or - for standard input')
    .option('--dry-run', 'tell what would change, and change nothing')
    .addHelpText('after', HELP)
    .action(async (options: { file: string[]; dryRun?: boolean }, command: Command) => {
      const session = open(command);
      const documents = await loadDocuments(options.file, session.io);
      for (const warning of documents.warnings) session.note(`warning: ${warning}`);
      const people = session.options.output === 'table';
      const changes = await applyDocuments(await session.client(), documents, options.dryRun === true, (change) => {
        if (people) session.io.stdout.write(`${describeChange(change)}\n`);
      });
      session.print(changes, () => summary(changes));
    });
}

export function describeChange({ kind, id, action, dry_run: dryRun }: Change): string {
  return `${kind}/${id} ${action}${dryRun ? ' (dry run)' : ''}`;
}

export function summary(changes: readonly Change[]): string {
  const count = (action: Change['action']): string =>
    `${String(changes.filter((change) => change.action === action).length)} ${action}`;
  return `${count('created')}, ${count('configured')}, ${count('unchanged')}`;
}

/** Puts every document that differs from what the cluster has. Stops at the first refusal, naming the document. */
export async function applyDocuments(
  client: RestClient,
  documents: LoadedDocuments,
  dryRun: boolean,
  onChange: (change: Change) => void = () => undefined,
): Promise<Change[]> {
  const work = [
    ...documents.workflows.map((placed) => ({ ...placed, kind: 'workflow' as const, base: '/workflow-definitions' })),
    ...documents.rules.map((placed) => ({ ...placed, kind: 'rule' as const, base: '/rules' })),
  ];
  const changes: Change[] = [];
  for (const { document, place, kind, base } of work) {
    const path = `${base}/${encodeURIComponent(document.id)}`;
    const action = compare(document, await getIfThere(client, path));
    try {
      if (!dryRun && action !== 'unchanged') await client.put(path, document);
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      const done = `${String(changes.length)} of ${String(work.length)} ${plural(work.length, 'document')} applied`;
      const message = `${kind}/${document.id} (${place}) refused: ${error.message} (${done})`;
      throw new CliError(error.exitCode, message, error.fields);
    }
    const change: Change = { kind, id: document.id, action, dry_run: dryRun };
    changes.push(change);
    onChange(change);
  }
  return changes;
}

async function getIfThere(client: RestClient, path: string): Promise<unknown> {
  try {
    return await client.get(path);
  } catch (error) {
    if (error instanceof CliError && error.exitCode === EXIT.NOT_FOUND) return undefined;
    throw error;
  }
}

/** Both are in canonical form, so equal meaning is equal content; key order does not count. */
function compare(wanted: object, there: unknown): Change['action'] {
  if (typeof there !== 'object' || there === null) return 'created';
  const known = Object.fromEntries(Object.entries(there).filter(([key]) => key in wanted || !ADDED_KEYS.has(key)));
  // Through JSON, so that an undefined key equals a missing one.
  const plain: unknown = JSON.parse(JSON.stringify(wanted));
  return isDeepStrictEqual(plain, known) ? 'unchanged' : 'configured';
}
