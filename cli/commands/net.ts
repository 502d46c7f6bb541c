import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { parseGossipKeys, type GossipKeys } from '../../api/gossip-keys.ts';
import { formatAddress, parseAddress, type Address } from '../../base/address.ts';
import { CliError, EXIT } from '../exit-code.ts';
import { probeAll, resolveHost, summarize, type ProbeOutcome, type ProbeSummary } from '../net-probe.ts';
import { formatTable } from '../output.ts';
import { numberIn } from '../session.ts';
import type { OpenSession, Session } from '../session.ts';

const COUNT = 4;
const COUNT_MAX = 10_000;
const INTERVAL_S = 0.5;
const WAIT_S = 2;
const SECONDS_MAX = 60;

const PING_HELP = `
By TCP it measures how long a connection takes, to any port. By UDP it asks the gossip port of a node, which answers;
beyond this machine that takes the key file of the cluster.

Examples:
  $ distric net ping 127.0.0.1:7400
  $ distric net ping node-2.example.org:7400 --udp --key-file gossip-keys.yaml -c 20`;

const INTERFACES_HELP = `
Example:
  $ distric net interfaces -o json`;

interface PingOptions {
  tcp?: boolean;
  udp?: boolean;
  count: number;
  interval: number;
  wait: number;
  keyFile?: string;
}

export function addNet(parent: Command, open: OpenSession): void {
  const net = parent.command('net').description('look into the network between nodes');
  net
    .command('ping')
    .description('measure round trips to a port, on every address that its host has')
    .argument('<address>', 'host:port or [IPv6]:port', addressOf)
    .option('--tcp', 'by TCP connections (the default)')
    .option('--udp', 'by datagrams that a node answers')
    .option('-c, --count <n>', 'tries per address', numberIn(1, COUNT_MAX, true), COUNT)
    .option('--interval <seconds>', 'pause between tries', numberIn(0, SECONDS_MAX), INTERVAL_S)
    .option('--wait <seconds>', 'how long to wait for an answer', numberIn(0.01, SECONDS_MAX), WAIT_S)
    .option('--key-file <file>', 'keys of the gossip of a cluster, for --udp')
    .addHelpText('after', PING_HELP)
    .action(async (address: Address, options: PingOptions, command: Command) => {
      await ping(open(command), address, options);
    });
  net
    .command('interfaces')
    .description('list the network interfaces of this machine')
    .addHelpText('after', INTERFACES_HELP)
    .action((_options: unknown, command: Command) => {
      showInterfaces(open(command));
    });
}

function addressOf(text: string): Address {
  try {
    return parseAddress(text);
  } catch {
    throw new InvalidArgumentError('It must be host:port or [IPv6]:port.');
  }
}

async function ping(session: Session, { host, port }: Address, options: PingOptions): Promise<void> {
  if (options.tcp === true && options.udp === true) throw new CliError(EXIT.USAGE, 'choose one of --tcp and --udp');
  const protocol = options.udp === true ? 'udp' : 'tcp';
  const keys = options.keyFile === undefined ? undefined : await readKeys(session, options.keyFile);
  const targets = (await resolveHost(host)).map((ip) => ({ host: ip, port }));
  const live = session.options.output === 'table';
  if (live) session.io.stdout.write(`ping ${formatAddress(host, port)} by ${protocol}\n`);
  const outcomes = new Map<Address, ProbeOutcome[]>(targets.map((target) => [target, []]));
  const plan = {
    protocol,
    count: options.count,
    intervalMs: options.interval * 1_000,
    waitMs: options.wait * 1_000,
    ...(keys === undefined ? {} : { keys }),
  } as const;
  const onOutcome = (target: Address, outcome: ProbeOutcome): void => {
    outcomes.get(target)?.push(outcome);
    if (live) session.io.stdout.write(`${formatOutcome(outcome, port)}\n`);
  };
  await probeAll(targets, plan, onOutcome, session.io.signal);
  const summaries = [...outcomes].map(([target, list]) => summarize(target.host, list));
  session.print({ host, port, protocol, addresses: summaries }, () => `\n${formatSummaries(summaries)}`);
  if (summaries.every(({ answered }) => answered === 0)) {
    throw new CliError(EXIT.UNAVAILABLE, `${formatAddress(host, port)} does not answer by ${protocol}`);
  }
}

async function readKeys({ io }: Session, file: string): Promise<GossipKeys> {
  let text: string;
  try {
    text = await readFile(path.resolve(io.cwd, file), 'utf8');
  } catch (error) {
    throw new CliError(EXIT.NOT_FOUND, error instanceof Error ? error.message : String(error));
  }
  return parseGossipKeys(text);
}

function formatOutcome({ sequence, address, ms, failure }: ProbeOutcome, port: number): string {
  return `${String(sequence)}  ${formatAddress(address, port)}  ${ms === undefined ? (failure ?? '') : `${ms.toFixed(3)} ms`}`;
}

function formatSummaries(summaries: readonly ProbeSummary[]): string {
  const time = (ms: number | undefined): string => (ms === undefined ? '-' : ms.toFixed(3));
  return formatTable(
    ['Address', 'Sent', 'Answered', 'Lost', 'Min ms', 'Avg ms', 'Max ms', 'Last failure'],
    summaries.map((summary) => [
      summary.address,
      String(summary.sent),
      String(summary.answered),
      `${String(summary.lost_percent)}%`,
      time(summary.min_ms),
      time(summary.avg_ms),
      time(summary.max_ms),
      summary.last_failure ?? '-',
    ]),
  );
}

function showInterfaces(session: Session): void {
  const interfaces = Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    (addresses ?? []).map(({ address, family, cidr, mac, internal }) => ({
      name,
      family,
      address,
      cidr,
      mac,
      internal,
    })),
  );
  session.print({ interfaces }, () =>
    formatTable(
      ['Interface', 'Family', 'Address', 'Network', 'MAC', 'Scope'],
      interfaces.map(({ name, family, address, cidr, mac, internal }) => [
        name,
        family,
        address,
        cidr ?? '-',
        mac,
        internal ? 'this machine' : 'network',
      ]),
    ),
  );
}
