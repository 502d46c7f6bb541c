import type { Command } from 'commander';
import type { AuditList } from '../../api/rest.ts';
import { PAGE_LIMIT_MAX } from '../../api/rest.ts';
import { formatMoment } from '../moment.ts';
import { formatTable } from '../output.ts';
import { numberIn } from '../session.ts';
import type { OpenSession, Session } from '../session.ts';

interface AuditOptions {
  limit: number;
  cursor?: string;
  actor?: string;
  action?: string;
}

const ROWS = 50;

const HELP = `
With -o json or yaml each entry has the state before and after.

Examples:
  $ distric audit list
  $ distric audit list --action rule.put --actor ci -o yaml`;

export function addAudit(parent: Command, open: OpenSession): void {
  const audit = parent.command('audit').description('who changed what');
  audit
    .command('list')
    .description('administrative changes, newest first')
    .option('--limit <count>', 'how many', numberIn(1, PAGE_LIMIT_MAX, true), ROWS)
    .option('--cursor <cursor>', 'go on where an earlier list ended')
    .option('--actor <id>', 'only by this key or certificate: its id or name')
    .option('--action <action>', 'only this, such as rule.put, workflow.delete, instance.cancel, key.create')
    .addHelpText('after', HELP)
    .action(async (options: AuditOptions, command: Command) => {
      await list(open(command), options);
    });
}

async function list(session: Session, { limit, cursor, actor, action }: AuditOptions): Promise<void> {
  const client = await session.client();
  const page = await client.get<AuditList>('/audit', { limit, cursor, actor, action });
  session.print(page, () => formatAudit(page));
}

function formatAudit({ entries, next_cursor: next }: AuditList): string {
  const table = formatTable(
    ['At', 'Actor', 'Role', 'Action', 'Target', 'Outcome'],
    entries.map((row) => [
      formatMoment(row.at),
      row.actor.kind === 'key' ? `${row.actor.name} (${row.actor.id})` : row.actor.id || row.actor.kind,
      row.actor.role,
      row.action,
      row.target,
      row.outcome,
    ]),
  );
  return next === undefined ? table : `${table}\n\nMore: --cursor ${next}`;
}
