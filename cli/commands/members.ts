import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import type { ClusterStatus, MemberList } from '../../api/rest.ts';
import type { RestClient } from '../client.ts';
import { CliError, EXIT } from '../exit-code.ts';
import { formatTable } from '../output.ts';
import type { OpenSession, Session } from '../session.ts';
import { addressIn, numberIn } from '../session.ts';

const WAIT_POLL_MS = 300;
const WAIT_S = 600;
/** A learner that lacks no more than this has caught up. */
const CAUGHT_UP_LAG = 100;

const PAIR_RULE = `
An even number of voters decides no better than one fewer, so their number stays odd: grow from 1 to 3 by adding two
learners and promoting both at once, and shrink from 3 to 1 by removing two at once.`;

const ADD_HELP = `${PAIR_RULE}

The new coordinator runs already, with "join: [address of a member]" in its configuration, and waits to be added.

Examples:
  $ distric members add c2 --address 10.0.0.2:7400 --http-address 10.0.0.2:8080
  $ distric members add c3 --address 10.0.0.3:7400 --wait
  $ distric members promote c2 c3`;

const REPLACE_HELP = `
With --with, a learner takes the place of a voter whose machine is gone, in one step; with --with and --address it is
added first. Without --with, the member comes back under its own id with a new disk: what was on the old one no longer
counts, and the new one begins as a learner, to be promoted when it has caught up.

Examples:
  $ distric members replace c2 --promote                       the same machine, an empty disk
  $ distric members replace c2 --with c4 --address 10.0.0.4:7400`;

interface WaitOptions {
  wait?: boolean;
  promote?: boolean;
  waitTimeout: number;
}

interface AddOptions extends WaitOptions {
  address: string;
  httpAddress?: string;
}

interface ReplaceOptions extends WaitOptions {
  with?: string;
  address?: string;
  httpAddress?: string;
}

export function addMembers(parent: Command, open: OpenSession): void {
  const members = parent.command('members').description('the coordinators that keep the log: voters and learners');
  members
    .command('list')
    .description('all members, and how far each has the log')
    .addHelpText('after', '\nExample:\n  $ distric members list')
    .action(async (_options: unknown, command: Command) => {
      const session = open(command);
      print(session, await list(await session.client()));
    });
  withWait(members.command('add <id>'))
    .description('let a coordinator in that waits to join: as a learner, which gets the log and has no say')
    .requiredOption('--address <host:port>', 'where its binary protocol is reached', addressIn)
    .option('--http-address <host:port>', 'where its REST interface is reached', addressIn)
    .addHelpText('after', ADD_HELP)
    .action(async (id: string, options: AddOptions, command: Command) => {
      await add(open(command), id, options);
    });
  members
    .command('promote <id...>')
    .description('make voters of learners that have caught up, all of them in one step')
    .addHelpText('after', `${PAIR_RULE}\n\nExample:\n  $ distric members promote c2 c3`)
    .action(async (ids: string[], _options: unknown, command: Command) => {
      const session = open(command);
      print(session, await post(await session.client(), '/cluster/members/promote', { ids }));
    });
  members
    .command('remove <id...>')
    .description('take members out, all of them in one step; the leader hands over first')
    .addHelpText('after', `${PAIR_RULE}\n\nExample:\n  $ distric members remove c4 c5`)
    .action(async (ids: string[], _options: unknown, command: Command) => {
      const session = open(command);
      print(session, await post(await session.client(), '/cluster/members/remove', { ids }));
    });
  withWait(members.command('replace <id>'))
    .description('put another disk, or another coordinator, in the place of a member')
    .option('--with <id>', 'the learner that takes its place')
    .option('--address <host:port>', 'where the new one is reached, if elsewhere', addressIn)
    .option('--http-address <host:port>', 'where its REST interface is reached, if elsewhere', addressIn)
    .addHelpText('after', REPLACE_HELP)
    .action(async (id: string, options: ReplaceOptions, command: Command) => {
      await replace(open(command), id, options);
    });
  const leader = parent.command('leader').description('who leads');
  leader
    .command('transfer')
    .description('hand the leadership on, without an election time-out')
    .option('--to <id>', 'to this voter (default: the one that has most of the log)')
    .addHelpText('after', '\nExample:\n  $ distric leader transfer --to c2')
    .action(async ({ to }: { to?: string }, command: Command) => {
      const session = open(command);
      const client = await session.client();
      const answer = await client.request({
        method: 'POST',
        path: '/cluster/leader',
        body: JSON.stringify({ target: to }),
      });
      session.print(answer, () => `the leadership goes to ${to ?? 'the voter that has most of the log'}`);
    });
}

function withWait(command: Command): Command {
  return command
    .option('--wait', 'until it has caught up with the log')
    .option('--promote', 'wait, then make it a voter, if that leaves an odd number of them')
    .option('--wait-timeout <seconds>', 'how long at most', numberIn(1, 86_400), WAIT_S);
}

/** As the leader has it, which alone knows how far the others are; else as whoever answers has it. */
async function list(client: RestClient): Promise<MemberList> {
  const { leader, coordinators } = await client.get<ClusterStatus>('/cluster/status', { consistency: 'stale' });
  const address = coordinators.find(({ id }) => id === leader)?.http_address;
  return (address === undefined ? client : client.at(address)).get<MemberList>('/cluster/members');
}

function post(client: RestClient, path: string, body: unknown): Promise<MemberList> {
  return client.request<MemberList>({ method: 'POST', path, body: JSON.stringify(body) });
}

async function add(session: Session, id: string, options: AddOptions): Promise<void> {
  const client = await session.client();
  const { address, httpAddress } = options;
  const added = await post(client, '/cluster/members', { id, address, http_address: httpAddress });
  print(session, await finish(session, client, id, options, added));
}

async function replace(session: Session, id: string, options: ReplaceOptions): Promise<void> {
  const client = await session.client();
  const { with: other, address, httpAddress } = options;
  const path = `/cluster/members/${encodeURIComponent(id)}/replace`;
  if (other === undefined) {
    const begun = await post(client, path, { address, http_address: httpAddress });
    print(session, await finish(session, client, id, options, begun));
    return;
  }
  const known = (await list(client)).members.some((member) => member.id === other);
  if (!known && address === undefined) {
    throw new CliError(EXIT.USAGE, `${other} is no member yet: say where it is reached, with --address`);
  }
  if (!known) await post(client, '/cluster/members', { id: other, address, http_address: httpAddress });
  await untilCaughtUp(session, client, other, options.waitTimeout);
  print(session, await post(client, path, { with: other }));
}

/** What `--wait` and `--promote` ask for after a learner was let in. */
async function finish(
  session: Session,
  client: RestClient,
  id: string,
  { wait, promote, waitTimeout }: WaitOptions,
  begun: MemberList,
): Promise<MemberList> {
  if (wait !== true && promote !== true) return begun;
  const there = await untilCaughtUp(session, client, id, waitTimeout);
  return promote === true ? await post(client, '/cluster/members/promote', { ids: [id] }) : there;
}

async function untilCaughtUp(session: Session, client: RestClient, id: string, seconds: number): Promise<MemberList> {
  const deadline = performance.now() + seconds * 1_000;
  let told = '';
  for (;;) {
    const members = await list(client);
    const member = members.members.find((one) => one.id === id && one.role === 'learner');
    const lag = member?.data_uuid === undefined ? undefined : member.lag;
    if (lag !== undefined && (member?.match_index ?? 0) > 0 && lag <= CAUGHT_UP_LAG) return members;
    const progress = lag === undefined ? `${id} has not been heard of yet` : `${id} lacks ${String(lag)} entries`;
    if (progress !== told) session.note(progress);
    told = progress;
    if (performance.now() >= deadline) throw new CliError(EXIT.FAILURE, `${progress}, after ${String(seconds)} s`);
    await delay(WAIT_POLL_MS);
  }
}

function print(session: Session, members: MemberList): void {
  session.print(members, () => format(members));
}

function format({ members, changing }: MemberList): string {
  const table = formatTable(
    ['ID', 'Role', 'Address', 'Lag', 'Disk'],
    members.map((member) => [
      member.id,
      member.returning === true ? `${member.role}, comes back` : member.role,
      member.address ?? '-',
      member.lag === undefined ? '-' : String(member.lag),
      member.data_uuid ?? 'not heard of yet',
    ]),
  );
  return changing ? `${table}\nA change of the voters is under way.` : table;
}
