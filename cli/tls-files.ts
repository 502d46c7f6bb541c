/** Where the certificates of a cluster on this machine lie, and what a command shows and trusts. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { validFor } from '../pki/authority.ts';
import { isRenewalDue, readCertificates } from '../pki/pem.ts';
import { AUTHORITY_MS, PkiDirectory, defaultValidity } from '../pki/pki-directory.ts';
import type { ClusterFile, LocalNode } from './cluster-file.ts';
import type { ClientTls } from './exchange.ts';
import { CliError, EXIT } from './exit-code.ts';

export const PKI_DIR_NAME = 'pki';

/** What the commands of this machine show to nodes, which want a certificate of everybody; their key says what they may. */
const CLI_CLIENT = { role: 'client', name: 'distric-cli' } as const;

function pkiDir(dataDir: string): string {
  return path.join(dataDir, PKI_DIR_NAME);
}

/**
 * Makes the authority of a local cluster and the certificates of its commands and of the `nodes` that are about to start,
 * those that are not there yet or have less than a third of their life left. Nodes that run renew their own.
 */
export async function ensureCertificates(
  dataDir: string,
  { settings }: ClusterFile,
  nodes: readonly LocalNode[],
): Promise<void> {
  if (settings.tls !== true) return;
  const now = Date.now();
  const dir = pkiDir(dataDir);
  const pki = existsSync(path.join(dir, 'ca.key'))
    ? PkiDirectory.open(dir)
    : await PkiDirectory.create(dir, settings.clusterName, validFor(AUTHORITY_MS, now));
  const fresh = pki.issued.filter(({ certificate }) => !isRenewalDue(certificate, now));
  const issued = new Set(fresh.map(({ identity }) => `${identity.role}/${identity.name}`));
  const validity = defaultValidity(now);
  if (!issued.has(`${CLI_CLIENT.role}/${CLI_CLIENT.name}`)) await pki.issue({ ...CLI_CLIENT, validity });
  for (const { role, id } of nodes) {
    if (issued.has(`${role}/${id}`)) continue;
    // A name is what an HTTPS client goes by: only those who serve some have one.
    const names = role === 'coordinator' ? { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] } : {};
    await pki.issue({ role, name: id, validity, ...names });
  }
}

/** The `tls` section of a node. */
export function tlsSettings(
  dataDir: string,
  { settings, nodes }: ClusterFile,
  node: LocalNode,
): Record<string, unknown> {
  if (settings.tls !== true) return { mode: 'disabled' };
  const folder = path.join(pkiDir(dataDir), 'issued', `${node.role}-${node.id}`);
  return {
    mode: 'required',
    certificateFile: path.join(folder, 'node.crt'),
    keyFile: path.join(folder, 'node.key'),
    caFile: path.join(folder, 'ca.crt'),
    join: { address: nodes.find(({ http }) => http !== null)?.http ?? '' },
    ...(node.role === 'coordinator'
      ? { caKeyFile: path.join(pkiDir(dataDir), 'ca.key'), joinSecretFile: path.join(pkiDir(dataDir), 'join.secret') }
      : {}),
  };
}

/** The authority of a local cluster, if it has one; undefined makes commands trust what the system trusts. */
export function localAuthorities(dataDir: string): string | undefined {
  const file = path.join(pkiDir(dataDir), 'ca.crt');
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

/** What a client of the binary protocol needs in a local cluster with TLS; nothing of it where `distric up` made none yet. */
export async function localClientTls(dataDir: string): Promise<ClientTls> {
  const folder = path.join(pkiDir(dataDir), 'issued', `${CLI_CLIENT.role}-${CLI_CLIENT.name}`);
  const file = path.join(folder, 'node.crt');
  if (existsSync(file)) await renewOwn(dataDir, readFileSync(file, 'utf8'));
  const read = (file: string): string | undefined => (existsSync(file) ? readFileSync(file, 'utf8') : undefined);
  return {
    ca: localAuthorities(dataDir),
    certificate: read(path.join(folder, 'node.crt')),
    key: read(path.join(folder, 'node.key')),
  };
}

async function renewOwn(dataDir: string, certificate: string): Promise<void> {
  const now = Date.now();
  const [leaf] = readCertificates(certificate, 'the certificate of the commands');
  if (leaf === undefined || !isRenewalDue(leaf, now)) return;
  await PkiDirectory.open(pkiDir(dataDir)).issue({ ...CLI_CLIENT, validity: defaultValidity(now) });
}

export interface TlsOptions {
  ca?: string;
  cert?: string;
  certKey?: string;
}

/** Reads the files that options or environment name. */
export function clientTls(
  options: TlsOptions,
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): ClientTls {
  const read = (option: string | undefined, variable: string): string | undefined => {
    const file = option ?? env[variable] ?? '';
    if (file === '') return undefined;
    try {
      return readFileSync(path.resolve(cwd, file), 'utf8');
    } catch (error) {
      throw new CliError(
        EXIT.NOT_FOUND,
        `can't read ${file}: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  };
  const tls = {
    ca: read(options.ca, 'DISTRIC_CA'),
    certificate: read(options.cert, 'DISTRIC_CERT'),
    key: read(options.certKey, 'DISTRIC_CERT_KEY'),
  };
  if ((tls.certificate === undefined) === (tls.key === undefined)) return tls;
  throw new CliError(EXIT.USAGE, '--cert and --cert-key go together: a certificate is nothing without its key');
}
