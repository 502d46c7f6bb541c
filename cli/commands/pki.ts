import path from 'node:path';
import { Argument, InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import { durationMs } from '../../api/duration.ts';
import { identityUri, IDENTITY_ROLES, isIdentityRole, type IdentityRole } from '../../api/identity.ts';
import { isIpv4, isIpv6 } from '../../base/address.ts';
import { validFor } from '../../pki/authority.ts';
import { certificateHash } from '../../pki/pem.ts';
import {
  AUTHORITY_MS,
  CERTIFICATE_MS,
  PkiDirectory,
  ROTATION_STEPS,
  type Issued,
  type RotationStep,
} from '../../pki/pki-directory.ts';
import { CliError, EXIT } from '../exit-code.ts';
import { formatTable } from '../output.ts';
import { numberIn } from '../session.ts';
import type { OpenSession, Session } from '../session.ts';

interface DirOptions {
  dir: string;
}

const DIR_OPTION = ['--dir <path>', "folder of the authority; keep it where no node's disk is", 'pki'] as const;
const JOIN_TTL = '1h';
const USES_MAX = 10_000;

const INIT_HELP = `
Makes an authority for a cluster: ca.crt (which every node trusts), ca.key (which signs, keep it secret) and join.secret.

Example:
  $ distric pki init --cluster prod`;

const ISSUE_HELP = `
IDENTITY is ROLE/NAME: coordinator/ID and worker/ID for nodes, operator/NAME and client/NAME for people and programs.
The folder that is printed holds node.crt, node.key and ca.crt: copy it to <dataDir>/tls of the node. Nodes that run take
over new files by themselves. Issued again, a certificate keeps its names unless others are given.

Examples:
  $ distric pki issue coordinator/c1 --dns c1.example.net --ip 10.0.0.1
  $ distric pki issue worker/w1 --valid-for 30d
  $ distric pki issue --all`;

const ROTATE_HELP = `
Replaces the authority without a moment in which nodes don't trust each other. After each step, copy the folders of
pki/issued to their nodes and wait until all have taken them over (the log says "certificates reloaded"):
  trust    a new authority, which all are to trust beside the one that signs
  switch   the new one signs, and every certificate is issued anew
  drop     the old one is trusted no more

Example:
  $ distric pki rotate trust`;

const TOKEN_HELP = `
For a node without a certificate: tls.join.token and tls.join.address in its configuration. The coordinator there needs
tls.caKeyFile and tls.joinSecretFile. Whoever has the token can join under the role, so keep its life short and name the
node where you can.

Examples:
  $ distric pki join-token create --role worker --ttl 1h
  $ distric pki join-token create --role worker --name w7 --uses 1`;

export function addPki(parent: Command, open: OpenSession): void {
  const pki = parent.command('pki').description('certificates, where no Kubernetes makes them');
  pki
    .command('init')
    .description('make the authority of a cluster')
    .requiredOption('--cluster <name>', 'clusterName of its nodes')
    .option(...DIR_OPTION)
    .option('--valid-for <duration>', 'of the authority (default: 3650d)', duration)
    .addHelpText('after', INIT_HELP)
    .action(async (options: DirOptions & { cluster: string; validFor?: number }, command: Command) => {
      const session = open(command);
      const validity = validFor(options.validFor ?? AUTHORITY_MS, Date.now());
      const made = await PkiDirectory.create(dirOf(session, options), options.cluster, validity);
      session.print(authorityOf(made), () => `made the authority of ${options.cluster} in ${options.dir}`);
    });
  addIssue(pki, open);
  addRotate(pki, open);
  pki
    .command('show')
    .description('the authority, what it issued, and until when all that is valid')
    .option(...DIR_OPTION)
    .addHelpText('after', '\nExample:\n  $ distric pki show')
    .action((options: DirOptions, command: Command) => {
      const session = open(command);
      show(session, PkiDirectory.open(dirOf(session, options)));
    });
  addJoinToken(pki, open);
}

interface IssueOptions extends DirOptions {
  dns?: string[];
  ip?: string[];
  validFor?: number;
  all?: boolean;
}

function addIssue(pki: Command, open: OpenSession): void {
  pki
    .command('issue [identity]')
    .description('make a key and its certificate, or make them anew')
    .option(...DIR_OPTION)
    .option('--dns <name...>', 'host names that HTTPS clients reach it by')
    .option('--ip <address...>', 'IP addresses that HTTPS clients reach it by')
    .option('--valid-for <duration>', 'such as 12h or 30d (default: 90d)', duration)
    .option('--all', 'everything that was issued, anew')
    .addHelpText('after', ISSUE_HELP)
    .action(async (identity: string | undefined, options: IssueOptions, command: Command) => {
      await issue(open(command), identity, options);
    });
}

async function issue(session: Session, identity: string | undefined, options: IssueOptions): Promise<void> {
  const directory = PkiDirectory.open(dirOf(session, options));
  const validity = validFor(options.validFor ?? CERTIFICATE_MS, Date.now());
  if ((identity === undefined) !== (options.all === true)) {
    throw new CliError(EXIT.USAGE, 'give an identity such as worker/w1, or --all');
  }
  for (const address of options.ip ?? []) {
    if (!isIpv4(address) && !isIpv6(address))
      throw new CliError(EXIT.USAGE, `--ip must be an IP address, not ${address}`);
  }
  const { dns: dnsNames, ip: ipAddresses } = options;
  const made =
    identity === undefined
      ? await directory.reissueAll(validity)
      : [await directory.issue({ ...roleAndName(identity), dnsNames, ipAddresses, validity })];
  session.print({ issued: made.map(resourceOf) }, () => formatIssued(session, made));
}

function addRotate(pki: Command, open: OpenSession): void {
  pki
    .command('rotate')
    .description('replace the authority, in three steps')
    .addArgument(new Argument('<step>', 'the step to take').choices([...ROTATION_STEPS]))
    .option(...DIR_OPTION)
    .option('--valid-for <duration>', 'of the certificates that are issued anew (default: 90d)', duration)
    .addHelpText('after', ROTATE_HELP)
    .action(async (step: RotationStep, options: DirOptions & { validFor?: number }, command: Command) => {
      const session = open(command);
      const directory = PkiDirectory.open(dirOf(session, options));
      const now = Date.now();
      await directory.rotate(step, validFor(AUTHORITY_MS, now), validFor(options.validFor ?? CERTIFICATE_MS, now));
      const next = directory.pendingStep;
      session.print({ step, next: next ?? null, ...authorityOf(directory) }, () => {
        const copy = `copy the folders of ${path.join(options.dir, 'issued')} to their nodes`;
        return next === undefined ? `done; ${copy}` : `done; now ${copy}, wait, and then: distric pki rotate ${next}`;
      });
    });
}

interface TokenOptions extends DirOptions {
  role: 'coordinator' | 'worker';
  ttl?: number;
  name?: string;
  uses: number;
}

function addJoinToken(pki: Command, open: OpenSession): void {
  const tokens = pki.command('join-token').description('lets a node without a certificate get one');
  tokens
    .command('create')
    .description('make a token')
    .addOption(
      new Option('--role <role>', 'of the node that joins').choices(['coordinator', 'worker']).makeOptionMandatory(),
    )
    .option(...DIR_OPTION)
    .option('--ttl <duration>', `how long it is good for (default: ${JOIN_TTL})`, duration)
    .option('--name <id>', 'the one node that may join')
    .option('--uses <count>', 'how often each coordinator takes it', numberIn(1, USES_MAX, true), 100)
    .addHelpText('after', TOKEN_HELP)
    .action((options: TokenOptions, command: Command) => {
      const session = open(command);
      const directory = PkiDirectory.open(dirOf(session, options));
      const { role, name, uses, ttl = durationMs(JOIN_TTL) } = options;
      const expiresMs = Date.now() + ttl;
      const token = directory.joinToken({ role, expiresMs, uses, ...(name === undefined ? {} : { name }) });
      session.note(`a secret until ${new Date(expiresMs).toISOString()}`);
      session.print({ token, role, expires_at: new Date(expiresMs).toISOString() }, () => token);
    });
}

function show(session: Session, directory: PkiDirectory): void {
  const { issued } = directory;
  const value = { ...authorityOf(directory), issued: issued.map(resourceOf) };
  session.print(value, () => {
    const authorities = formatTable(
      ['Authority', 'Signs', 'Valid until', 'SHA-256'],
      value.authorities.map(({ subject, signs, valid_until: until, sha256 }) => [
        subject,
        signs ? 'yes' : 'no',
        until,
        sha256,
      ]),
    );
    return issued.length === 0 ? authorities : `${authorities}\n\n${formatIssued(session, issued)}`;
  });
}

function authorityOf(directory: PkiDirectory) {
  const signing = certificateHash(directory.signing);
  return {
    cluster: directory.clusterName,
    authorities: directory.trusted.map((certificate) => ({
      subject: certificate.subject.replaceAll('\n', ', '),
      signs: certificateHash(certificate) === signing,
      valid_until: certificate.validToDate.toISOString(),
      sha256: certificateHash(certificate),
    })),
  };
}

function resourceOf({ identity, certificate, folder }: Issued) {
  return {
    identity: identityUri(identity),
    names: certificate.subjectAltName ?? '',
    valid_until: certificate.validToDate.toISOString(),
    serial: certificate.serialNumber,
    folder,
  };
}

function formatIssued({ io }: Session, issued: readonly Issued[]): string {
  return formatTable(
    ['Identity', 'Valid until', 'Folder'],
    issued.map(({ identity, certificate, folder }) => [
      identityUri(identity),
      certificate.validToDate.toISOString(),
      path.relative(io.cwd, folder) || folder,
    ]),
  );
}

function dirOf(session: Session, { dir }: DirOptions): string {
  return path.resolve(session.io.cwd, dir);
}

function roleAndName(identity: string): { role: IdentityRole; name: string } {
  const [role = '', name = '', ...more] = identity.split('/');
  if (isIdentityRole(role) && name !== '' && more.length === 0) return { role, name };
  const roles = IDENTITY_ROLES.join(', ');
  throw new CliError(EXIT.USAGE, `${JSON.stringify(identity)} is no identity: expected ROLE/NAME with one of ${roles}`);
}

/** In milliseconds. */
function duration(value: string): number {
  try {
    return durationMs(value);
  } catch {
    throw new InvalidArgumentError('It must be like 90d, 12h, 30m or 45s.');
  }
}
