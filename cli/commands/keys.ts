import type { Command } from 'commander';
import { Option } from 'commander';
import { ACCESS_ROLES, RATE_LIMIT_MAX } from '../../api/access.ts';
import type { IssuedKey, KeyList, KeyResource } from '../../api/rest.ts';
import { formatTable, toYaml } from '../output.ts';
import { numberIn } from '../session.ts';
import type { OpenSession, Session } from '../session.ts';
import { formatMoment } from '../moment.ts';
import { deleteAll } from './rules.ts';

interface CreateOptions {
  name: string;
  role: string;
  expiresIn?: string;
  rateLimit?: number;
}

const CREATE_HELP = `
The key is shown once and kept nowhere: the cluster has only a hash of it.

Roles: admin (everything), operator (rules, workflows, cancelling, messages, all reads but keys and the audit log),
submitter (messages, and what became of them), read-only (all reads but keys and the audit log).

Examples:
  $ distric keys create --name ci --role operator --expires-in 90d
  $ distric keys create --name shop --role submitter --rate-limit 200 -o json`;

export function addKeys(parent: Command, open: OpenSession): void {
  const keys = parent.command('keys').description('API keys: who may come in');
  keys
    .command('create')
    .description('make a key, and show it this once')
    .requiredOption('--name <name>', 'whose it is')
    .addOption(new Option('--role <role>', 'what it may do').choices([...ACCESS_ROLES]).makeOptionMandatory())
    .option('--expires-in <duration>', 'such as 12h or 90d (default: never)')
    .option('--rate-limit <count>', 'requests per second; 0 for no limit', numberIn(0, RATE_LIMIT_MAX, true))
    .addHelpText('after', CREATE_HELP)
    .action(async (options: CreateOptions, command: Command) => {
      await create(open(command), options);
    });
  keys
    .command('list')
    .description('all keys, without their secrets')
    .addHelpText('after', '\nExample:\n  $ distric keys list')
    .action(async (_options: unknown, command: Command) => {
      const session = open(command);
      const list = await (await session.client()).get<KeyList>('/keys');
      session.print(list, () => formatKeys(list));
    });
  keys
    .command('get <id>')
    .description('one key, without its secret')
    .addHelpText('after', '\nExample:\n  $ distric keys get abcdefgh12345678')
    .action(async (id: string, _options: unknown, command: Command) => {
      const session = open(command);
      const key = await (await session.client()).get(`/keys/${encodeURIComponent(id)}`);
      session.print(key, () => toYaml(key));
    });
  keys
    .command('revoke <id...>')
    .description('end keys for good, at once')
    .addHelpText('after', '\nExample:\n  $ distric keys revoke abcdefgh12345678')
    .action(async (ids: string[], _options: unknown, command: Command) => {
      await deleteAll(open(command), 'key', '/keys', ids, 'revoked');
    });
  keys
    .command('rotate <id>')
    .description('give a key a new secret; the one before stays good for a while')
    .option('--overlap <duration>', 'how long both are good; 0 ends the one before at once (default: 24h)')
    .addHelpText('after', '\nExample:\n  $ distric keys rotate abcdefgh12345678 --overlap 7d')
    .action(async (id: string, { overlap }: { overlap?: string }, command: Command) => {
      await rotate(open(command), id, overlap);
    });
}

async function create(session: Session, options: CreateOptions): Promise<void> {
  const { name, role, expiresIn, rateLimit } = options;
  const client = await session.client();
  const key = await client.request<IssuedKey>({
    method: 'POST',
    path: '/keys',
    body: JSON.stringify({ name, role, expires_in: expiresIn, rate_limit: rateLimit }),
  });
  printIssued(session, key);
}

async function rotate(session: Session, id: string, overlap: string | undefined): Promise<void> {
  const client = await session.client();
  const key = await client.request<IssuedKey>({
    method: 'POST',
    path: `/keys/${encodeURIComponent(id)}/rotate`,
    body: JSON.stringify({ overlap: overlap === '0' ? 0 : overlap }),
  });
  printIssued(session, key);
}

/** The key alone on standard output, so that it can go straight into a file. */
function printIssued(session: Session, key: IssuedKey): void {
  session.note(`key/${key.id} (${key.name}, ${key.role}): it is shown this once`);
  session.print(key, () => key.key);
}

function formatKeys({ keys }: KeyList): string {
  return formatTable(
    ['ID', 'Name', 'Role', 'State', 'Created', 'Expires', 'Last used'],
    keys.map((key) => [
      key.id,
      key.name,
      key.role,
      stateOf(key),
      formatMoment(key.created_at),
      key.expires_at === null ? 'never' : formatMoment(key.expires_at),
      key.last_used_at === null ? '-' : formatMoment(key.last_used_at),
    ]),
  );
}

function stateOf({ revoked_at: revoked, expires_at: expires }: KeyResource): string {
  if (revoked !== null) return 'revoked';
  return expires !== null && Date.parse(expires) <= Date.now() ? 'expired' : 'active';
}
