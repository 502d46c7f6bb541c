import { DistricError } from '../../../base/errors.ts';
import { isRenewalDue } from '../../../pki/pem.ts';
import type { CredentialWatch, TlsLog } from './credential-watch.ts';
import { RENEWAL_INTERVAL_MS } from './join-desk.ts';

/** Between two looks, and two tries: a month is left of a certificate of 90 days when the first is due. */
const LOOK_MS = 60_000;

export interface CertificateRenewalOptions {
  watch: CredentialWatch;
  /** Puts another certificate into the files. Rejects with a DistricError, or another when it could not keep it. */
  renew: () => Promise<void>;
  log: TlsLog;
  lookMs?: number;
  /** Monotonic. */
  clockMs?: () => number;
}

/** Gets a node another certificate when a third of the life of the one in use is left, and tries until it has it. */
export class CertificateRenewal {
  readonly #options: CertificateRenewalOptions;
  readonly #timer: NodeJS.Timeout;
  #underWay: Promise<void> | undefined;
  #restUntilMs = -Infinity;

  constructor(options: CertificateRenewalOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.look(), options.lookMs ?? LOOK_MS).unref();
    void this.look();
  }

  /** Resolves when nothing is due, or one try is over. */
  look(): Promise<void> {
    this.#underWay ??= this.#tryOnce().finally(() => (this.#underWay = undefined));
    return this.#underWay;
  }

  async #tryOnce(): Promise<void> {
    const { watch, renew, log, clockMs = () => performance.now() } = this.#options;
    const { leaf } = watch.current;
    if (!isRenewalDue(leaf, Date.now()) || clockMs() < this.#restUntilMs) return;
    try {
      await renew();
      watch.look();
    } catch (error) {
      // It was signed for nothing, and will be the next time: a disk takes longer to mend than a network.
      if (!(error instanceof DistricError)) this.#restUntilMs = clockMs() + RENEWAL_INTERVAL_MS;
      const reason = error instanceof Error ? error.message : String(error);
      log.warn({ reason, validTo: leaf.validToDate.toISOString() }, 'certificate not renewed: trying again');
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
