/** The certificate of a client: given once, or as files that are followed. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { identityOf, type Identity } from '../api/identity.ts';
import type { TlsFiles } from '../api/tls.ts';
import { DistricError } from '../base/errors.ts';
import type { NetLog } from '../node/io/net/net-metrics.ts';
import { TlsTransport, type TlsMaterial } from '../node/io/net/tls-transport.ts';
import { CredentialWatch } from '../node/io/tls/credential-watch.ts';

export interface ClientTls {
  transport: TlsTransport;
  clusterName: string;
  watch: CredentialWatch | undefined;
}

const RELOAD_INTERVAL_MS = 5_000;

/**
 * Throws INVALID_REQUEST for a certificate without an identity, INVALID_DOCUMENT for files that can't be read or do not
 * fit together. `clusterName` is by default that of the certificate. `onChange` is called when the files have changed
 * and new connections use them.
 */
export function openTls(
  tls: TlsMaterial | TlsFiles,
  clusterName: string | undefined,
  log: NetLog,
  onChange: () => void,
): ClientTls {
  if ('certificate' in tls) {
    const name = clusterName ?? identityIn(tls.certificate, 'tls.certificate').clusterName;
    return { transport: new TlsTransport(name, tls), clusterName: name, watch: undefined };
  }
  const identity = identityIn(read(tls.certificateFile), tls.certificateFile);
  const watchLog = { info: log.info.bind(log), warn: log.warn.bind(log), error: log.warn.bind(log) };
  const watch = new CredentialWatch({ files: tls, identity, intervalMs: RELOAD_INTERVAL_MS, log: watchLog });
  const name = clusterName ?? identity.clusterName;
  const transport = new TlsTransport(name, watch.current);
  watch.onChange((credentials) => {
    transport.replace(credentials);
    onChange();
  });
  return { transport, clusterName: name, watch };
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DistricError('INVALID_DOCUMENT', `tls.certificateFile: can't be read: ${reason}`);
  }
}

function identityIn(certificate: string, what: string): Identity {
  let names: string | undefined;
  try {
    names = new X509Certificate(certificate).subjectAltName;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DistricError('INVALID_REQUEST', `${what}: holds no certificate: ${reason}`);
  }
  const identity = identityOf(names ?? '');
  if (identity !== undefined) return identity;
  throw new DistricError('INVALID_REQUEST', `${what}: carries no distric:// identity`);
}
