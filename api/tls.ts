/** What the `tls` settings mean, decided from the configuration. */
import { parseAddress } from '../base/address.ts';
import type { NodeConfig } from './config-schema.ts';

type TlsSettings = Pick<NodeConfig, 'dataDir' | 'http' | 'tls'>;

export interface TlsFiles {
  certificateFile: string;
  keyFile: string;
  caFile: string;
}

/** Where the certificate, the key and the authorities lie; by default where a node that joins puts them. */
export function tlsFiles({ dataDir, tls }: TlsSettings): TlsFiles {
  const place = (given: string, name: string): string => (given === '' ? `${dataDir}/tls/${name}` : given);
  return {
    certificateFile: place(tls.certificateFile, 'node.crt'),
    keyFile: place(tls.keyFile, 'node.key'),
    caFile: place(tls.caFile, 'ca.crt'),
  };
}

export function httpTls({ http, tls }: Omit<TlsSettings, 'dataDir'>): 'disabled' | 'server' | 'mutual' {
  if (http.tls !== 'auto') return http.tls;
  return tls.mode === 'required' ? 'server' : 'disabled';
}

/** What does not go together in the `tls` settings. */
export function checkTls(config: NodeConfig, refuse: (field: string, reason: string) => void): void {
  const { role, tls } = config;
  if (tls.mode === 'disabled') {
    if (config.http.tls === 'server' || config.http.tls === 'mutual') {
      refuse('http.tls', `${config.http.tls} takes the certificate of the tls section: set tls.mode: required`);
    }
    if (tls.join.token !== '') refuse('tls.join.token', 'is for a cluster with certificates: set tls.mode: required');
    return;
  }
  const signs = tls.caKeyFile !== '' || tls.joinSecretFile !== '';
  if ((tls.caKeyFile === '') !== (tls.joinSecretFile === '')) {
    const field = tls.caKeyFile === '' ? 'tls.caKeyFile' : 'tls.joinSecretFile';
    refuse(field, 'is missing: a coordinator lets nodes join with both tls.caKeyFile and tls.joinSecretFile');
  }
  if (signs && role !== 'coordinator') refuse('tls.caKeyFile', 'belongs on coordinators only: a worker signs nothing');
  if (signs && httpTls(config) !== 'server') {
    refuse('http.tls', `must be server where nodes join, not ${httpTls(config)}: they have no certificate yet`);
  }
  const joins = tls.join.token !== '' || tls.join.address !== '';
  if (joins && !isAddress(tls.join.address)) {
    refuse('tls.join.address', `must be the "host:port" of a coordinator's REST interface, not "${tls.join.address}"`);
  }
}

function isAddress(text: string): boolean {
  try {
    return parseAddress(text).port > 0;
  } catch {
    return false;
  }
}
