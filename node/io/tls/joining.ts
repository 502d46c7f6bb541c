/**
 * The side of the node that joins, or renews its certificate.
 *
 * 1. It asks for the authorities without knowing whom it asks, and takes the one whose hash is in its token.
 * 2. It connects anew, and the other end must show a coordinator's certificate of that authority.
 * 3. Only then does it tell its token. Its key never leaves it.
 */
import type { X509Certificate } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { dirname } from 'node:path';
import type { checkServerIdentity } from 'node:tls';
import { type PeerCertificate } from 'node:tls';
import { identityOf, type Identity } from '../../../api/identity.ts';
import type { TlsFiles } from '../../../api/tls.ts';
import { parseAddress } from '../../../base/address.ts';
import { DistricError } from '../../../base/errors.ts';
import { createRequest } from '../../../pki/authority.ts';
import { authorityHashOf } from '../../../pki/join-token.ts';
import { certificateHash, isIssuedBy, pemOf, readCertificates } from '../../../pki/pem.ts';
import { checkCredentials, type Credentials } from './credential-files.ts';
import type { TlsLog } from './credential-watch.ts';
import { pinnedAuthority, type JoinAnswer } from './join-desk.ts';

export interface JoinOptions {
  token: string;
  /** REST of a coordinator, `host:port`. */
  address: string;
  identity: Identity;
  /** Names that HTTPS clients reach this node by; for coordinators. */
  dnsNames: readonly string[];
  ipAddresses: readonly string[];
  files: TlsFiles;
  log: TlsLog;
}

const ANSWER_MS_MAX = 10_000;
const ANSWER_BYTES_MAX = 256 * 1024;

/** Gets this node its certificate and writes it down. Throws DistricError, with what the coordinator said if it did. */
export async function joinCluster(options: JoinOptions): Promise<void> {
  const { token, address, identity, files, log } = options;
  const hash = authorityHashOf(token);
  const found = await ask<{ authorities: string }>(address, 'GET', '/api/v1/join/authorities', undefined, {
    rejectUnauthorized: false,
  });
  const authority = pinnedAuthority(found.authorities, hash);
  const { request, key } = await createRequest(identity, options.dnsNames, options.ipAddresses);
  const answer = await ask<JoinAnswer>(address, 'POST', '/api/v1/join', JSON.stringify({ token, request }), {
    ca: authority,
    checkServerIdentity: (_host, certificate) => coordinatorFault(certificate, identity.clusterName),
  });
  checkCredentials({ ...textsOf(answer), key }, files, identity);
  keep(files.keyFile, key);
  keep(files.caFile, answer.authorities);
  // Last: without a certificate the node asks again at its next start.
  keep(files.certificateFile, answer.certificate);
  log.info({ address, certificateFile: files.certificateFile }, 'joined: this node has its certificate');
}

export interface RenewOptions extends Omit<JoinOptions, 'token' | 'address'> {
  /** REST of coordinators, `host:port`: the first that answers decides. */
  addresses: readonly string[];
  current: Credentials;
}

/**
 * Another certificate for the key that there is, got by the certificate that there is. One file says which counts, so
 * a crash between two writes leaves nothing that does not fit. Throws DistricError, and the system's error when what was
 * got can't be kept.
 */
export async function renewCertificate(options: RenewOptions): Promise<void> {
  const { addresses, current, identity, dnsNames, ipAddresses, files, log } = options;
  for (const file of [files.caFile, files.certificateFile]) checkWritable(file);
  const { request } = await createRequest(identity, dnsNames, ipAddresses, current.key);
  const trust: Trust = {
    ca: current.authorities,
    cert: current.certificate,
    key: current.key,
    checkServerIdentity: (_host, certificate) => coordinatorFault(certificate, identity.clusterName),
  };
  let failure = new DistricError('INVALID_REQUEST', 'there is no address to renew the certificate at');
  for (const address of addresses) {
    try {
      const answer = await ask<JoinAnswer>(address, 'POST', '/api/v1/join', JSON.stringify({ request }), trust);
      keepRenewed(textsOf(answer), options);
      log.info({ address, certificateFile: files.certificateFile }, 'this node has renewed its certificate');
      return;
    } catch (error) {
      if (!(error instanceof DistricError)) throw error;
      failure = error;
    }
  }
  throw failure;
}

/**
 * The bundle of this node may be ahead of the coordinator's, in the middle of a rotation: it is left alone, or added to
 * when the certificate is of an authority that it lacks. Throws INVALID_DOCUMENT for what does not fit, keeping nothing.
 */
function keepRenewed({ certificate, authorities }: AnswerTexts, { current, files, identity }: RenewOptions): void {
  const own = readFileSync(files.caFile, 'utf8');
  const [leaf] = readCertificates(certificate, 'the answer');
  const trusted = readCertificates(own, files.caFile);
  const isVouchedFor = leaf !== undefined && trusted.some((authority) => isIssuedBy(leaf, authority));
  const bundle = isVouchedFor ? own : unionOf(trusted, readCertificates(authorities, 'the answer'));
  checkCredentials({ certificate, key: current.key, authorities: bundle }, files, identity);
  if (!isVouchedFor) keep(files.caFile, bundle);
  keep(files.certificateFile, certificate);
}

function unionOf(...bundles: X509Certificate[][]): string {
  const byHash = new Map(bundles.flat().map((authority) => [certificateHash(authority), authority]));
  return pemOf([...byHash.values()]);
}

type AnswerTexts = Pick<JoinAnswer, 'certificate' | 'authorities'>;

/** Whoever answered may be of another version. */
function textsOf({ certificate, authorities }: Partial<Record<keyof AnswerTexts, unknown>>): AnswerTexts {
  if (typeof certificate === 'string' && typeof authorities === 'string') return { certificate, authorities };
  throw new DistricError('INVALID_DOCUMENT', 'the answer has no certificate and authorities');
}

/** The host name counts for nothing: a coordinator of the cluster is one wherever it is reached. */
function coordinatorFault(certificate: PeerCertificate, clusterName: string): Error | undefined {
  const identity = identityOf((certificate as { subjectaltname?: string }).subjectaltname ?? '');
  if (identity?.role === 'coordinator' && identity.clusterName === clusterName) return undefined;
  return new Error(`the other end is no coordinator of the cluster "${clusterName}"`);
}

interface Trust {
  rejectUnauthorized?: boolean;
  ca?: string;
  cert?: string;
  key?: string;
  checkServerIdentity?: typeof checkServerIdentity;
}

function ask<T>(address: string, method: string, path: string, body: string | undefined, trust: Trust): Promise<T> {
  const { host, port } = parseAddress(address);
  const failed = (reason: string): DistricError =>
    new DistricError('INVALID_REQUEST', `no certificate from ${address}: ${reason}`);
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        host,
        port,
        method,
        path,
        agent: false,
        minVersion: 'TLSv1.3',
        headers: body === undefined ? {} : { 'content-type': 'application/json' },
        signal: AbortSignal.timeout(ANSWER_MS_MAX),
        ...trust,
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
          if (text.length > ANSWER_BYTES_MAX) request.destroy(failed('the answer is too long'));
        });
        response.on('end', () => {
          const { status, value } = { status: response.statusCode ?? 0, value: parsed(text) };
          if (status === 200 && value !== undefined) resolve(value as T);
          else reject(failed(detailOf(value) ?? `it answered ${status}`));
        });
      },
    );
    request.on('error', (error) => {
      reject(error instanceof DistricError ? error : failed(error.message));
    });
    request.end(body);
  });
}

function parsed(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function detailOf(problem: object | undefined): string | undefined {
  return problem !== undefined && 'detail' in problem ? String(problem.detail) : undefined;
}

/** Whole or not at all, and for this user alone. */
function keep(file: string, text: string): void {
  renameSync(writeDraft(file, text), file);
}

/** Before anybody signs what could not be kept. */
function checkWritable(file: string): void {
  try {
    rmSync(writeDraft(file, ''));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DistricError('INVALID_DOCUMENT', `no certificate asked for, it could not be kept: ${reason}`);
  }
}

function writeDraft(file: string, text: string): string {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${String(process.pid)}.tmp`;
  writeFileSync(draft, text, { mode: 0o600, flush: true });
  chmodSync(draft, 0o600);
  return draft;
}
