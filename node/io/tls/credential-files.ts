/** The certificate, key and authorities of a node as files: read as one, and refused as one when they do not fit. */
import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { identityOf, identityUri, type Identity } from '../../../api/identity.ts';
import type { TlsFiles } from '../../../api/tls.ts';
import { DistricError } from '../../../base/errors.ts';
import { isIssuedBy, readCertificates } from '../../../pki/pem.ts';

/** All PEM. */
export interface Credentials {
  readonly certificate: string;
  readonly key: string;
  readonly authorities: string;
  readonly leaf: X509Certificate;
  readonly trusted: readonly X509Certificate[];
}

const FILE_BYTES_MAX = 1024 * 1024;

/** Others may not read a key, nor the group write it; a group may read: that is how Kubernetes mounts a secret. */
const OPEN_MODES = 0o027;

/** Whether others on this machine can read or change the file; false of one that has gone. */
export function isOpenToOthers(file: string): boolean {
  const stats = statSync(file, { throwIfNoEntry: false });
  return process.platform !== 'win32' && stats !== undefined && (stats.mode & OPEN_MODES) !== 0;
}

/** Changes when the content of any of the files may have. Empty while one is missing. */
export function filesStamp(files: TlsFiles): string {
  try {
    return [files.certificateFile, files.keyFile, files.caFile]
      .map((file) => statSync(file))
      .map(({ ino, size, mtimeMs, ctimeMs }) => `${ino}:${size}:${mtimeMs}:${ctimeMs}`)
      .join(' ');
  } catch {
    return '';
  }
}

/**
 * Reads the three files. Throws INVALID_DOCUMENT when one can't be read, the key is another certificate's, the identity
 * is not that of this node, no authority of the bundle has signed it, or TLS takes none such. Dates are not looked at: an
 * expired certificate may be replaced while the node runs.
 */
export function readCredentials(files: TlsFiles, identity: Identity): Credentials {
  const certificate = read(files.certificateFile, 'certificate');
  const key = read(files.keyFile, 'key');
  const authorities = read(files.caFile, 'authorities');
  return checkCredentials({ certificate, key, authorities }, files, identity);
}

/** As readCredentials() does, of what is in no file yet; `files` are what faults are told of. */
export function checkCredentials(
  { certificate, key, authorities }: Pick<Credentials, 'certificate' | 'key' | 'authorities'>,
  files: TlsFiles,
  identity: Identity,
): Credentials {
  const chain = readCertificates(certificate, files.certificateFile);
  const trusted = readCertificates(authorities, files.caFile);
  const [leaf] = chain;
  if (leaf === undefined) throw refusal(files.certificateFile, 'holds no certificate');
  if (!leaf.checkPrivateKey(privateKey(files.keyFile, key))) {
    throw refusal(files.keyFile, `is not the key of the certificate in ${files.certificateFile}`);
  }
  const wanted = identityUri(identity);
  const found = identityOf(leaf.subjectAltName ?? '');
  if (found === undefined || identityUri(found) !== wanted) {
    const has = found === undefined ? 'no identity' : identityUri(found);
    throw refusal(files.certificateFile, `is the certificate of another node: it has ${has}, this node is ${wanted}`);
  }
  if (![...chain.slice(1), ...trusted].some((issuer) => isIssuedBy(leaf, issuer))) {
    throw refusal(files.certificateFile, `is not signed by an authority in ${files.caFile}`);
  }
  checkForTls(files, { certificate, key, authorities });
  return { certificate, key, authorities, leaf, trusted };
}

/** OpenSSL has a say of its own, on the length of keys for one: better heard here than by the servers in use. */
function checkForTls(
  files: TlsFiles,
  { certificate, key, authorities }: Record<'certificate' | 'key' | 'authorities', string>,
): void {
  try {
    createSecureContext({ cert: certificate, key, ca: authorities });
  } catch (error) {
    throw refusal(files.certificateFile, `can't be used for TLS: ${reasonOf(error)}`);
  }
}

function read(file: string, what: string): string {
  try {
    if (statSync(file).size > FILE_BYTES_MAX) throw new Error(`it is over ${FILE_BYTES_MAX} bytes`);
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw refusal(file, `can't be read as the ${what} of this node: ${reasonOf(error)}`);
  }
}

function privateKey(file: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw refusal(file, `holds no private key: ${reasonOf(error)}`);
  }
}

function refusal(file: string, reason: string): DistricError {
  return new DistricError('INVALID_DOCUMENT', `tls: ${file} ${reason}`, [{ field: file, reason }]);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
