import type { Identity } from '../../../api/identity.ts';
import type { TlsFiles } from '../../../api/tls.ts';
import { DistricError } from '../../../base/errors.ts';
import { certificateHash } from '../../../pki/pem.ts';
import { filesStamp, isOpenToOthers, readCredentials, type Credentials } from './credential-files.ts';

/** Shape of pino's methods: fields first. */
export interface TlsLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface CredentialWatchOptions {
  files: TlsFiles;
  /** Of this node: no other certificate is taken. */
  identity: Identity;
  /** How often the files are looked at. */
  intervalMs: number;
  log: TlsLog;
}

export type CertificateKind = 'node' | 'ca';

/** Renewed by then, or the node says that it is DEGRADED. */
export const EXPIRY_WARNING_MS = 7 * 86_400_000;

/**
 * The credentials of a node, followed while it runs: by polling, since what Kubernetes mounts changes behind a symbolic
 * link, which file events do not show. Files that do not fit together, as in the middle of being replaced, change
 * nothing; they are looked at again until they do.
 */
export class CredentialWatch {
  readonly #options: CredentialWatchOptions;
  readonly #listeners = new Set<(credentials: Credentials) => void>();
  readonly #timer: NodeJS.Timeout;
  #current: Credentials;
  #stamp: string;
  /** Of the last set that did not fit. */
  #refused: string | undefined;

  /** Throws INVALID_DOCUMENT when the node has no credentials to begin with. */
  constructor(options: CredentialWatchOptions) {
    this.#options = options;
    const { files, identity, intervalMs } = options;
    this.#stamp = filesStamp(files);
    this.#current = readCredentials(files, identity);
    this.#describe('certificate loaded');
    this.#timer = setInterval(() => {
      this.look();
    }, intervalMs).unref();
  }

  get current(): Credentials {
    return this.#current;
  }

  /** Called with each new set. */
  onChange(listener: (credentials: Credentials) => void): void {
    this.#listeners.add(listener);
  }

  /** Takes over what has changed. */
  look(): void {
    const { files, identity, log } = this.#options;
    const stamp = filesStamp(files);
    if (stamp === this.#stamp) return;
    let credentials: Credentials;
    try {
      credentials = readCredentials(files, identity);
    } catch (error) {
      if (!(error instanceof DistricError)) throw error;
      // Half of a change is seen now and then; a fault that stays is told once.
      if (this.#refused === stamp) return;
      this.#refused = stamp;
      log.warn({ reason: error.message }, 'new certificates not taken: the ones before stay in use');
      return;
    }
    this.#stamp = stamp;
    this.#refused = undefined;
    this.#current = credentials;
    this.#describe('certificates reloaded');
    for (const listener of this.#listeners) listener(credentials);
  }

  /** Until it expires, in seconds; negative after. Of the authorities the one that expires first counts. */
  secondsLeft(kind: CertificateKind, nowMs: number): number {
    const { leaf, trusted } = this.#current;
    const certificates = kind === 'node' ? [leaf] : trusted;
    return Math.min(...certificates.map(({ validToDate }) => (validToDate.getTime() - nowMs) / 1_000));
  }

  /** Why somebody should look, if so. */
  concern(nowMs: number): string | undefined {
    for (const kind of ['node', 'ca'] as const) {
      const secondsLeft = this.secondsLeft(kind, nowMs);
      if (secondsLeft * 1_000 > EXPIRY_WARNING_MS) continue;
      const what = kind === 'node' ? "this node's certificate" : 'a trusted authority';
      const at = new Date(nowMs + secondsLeft * 1_000).toISOString();
      return secondsLeft > 0 ? `${what} expires at ${at}` : `${what} has expired at ${at}: other nodes refuse it`;
    }
    return undefined;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #describe(what: string): void {
    const { files, log } = this.#options;
    const { leaf, trusted } = this.#current;
    log.info(
      {
        certificate: leaf.subjectAltName,
        serial: leaf.serialNumber,
        validTo: leaf.validToDate.toISOString(),
        authorities: trusted.map(certificateHash),
      },
      what,
    );
    if (isOpenToOthers(files.keyFile)) {
      log.warn({ file: files.keyFile }, 'the key of this node can be read by others: chmod 600 it');
    }
    const concern = this.concern(Date.now());
    if (concern !== undefined) log.error({ concern }, 'the certificates of this node need to be renewed');
  }
}
