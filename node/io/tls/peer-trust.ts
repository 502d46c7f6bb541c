import { X509Certificate } from 'node:crypto';
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import { isIssuedBy } from '../../../pki/pem.ts';

export type Distrust = 'certificate_untrusted' | 'certificate_expired';

export interface PeerTrustOptions {
  trusted: readonly X509Certificate[];
  /** After the authorities have changed: nodes renew their links meanwhile, and requests get their answers. */
  graceMs?: number;
  sweepMs?: number;
  wallMs?: () => number;
}

const GRACE_MS = 15_000;
const SWEEP_MS = 250;
/** Certificates looked at in one sweep: each takes some tenths of a millisecond. */
const CHECKS_PER_SWEEP = 50;
const CHAIN_MAX = 10;

/** One certificate, and the connections that were made with it. */
interface Shown {
  readonly chain: readonly X509Certificate[];
  readonly ends: Map<TLSSocket, (reason: Distrust, detail: object) => void>;
  /** The authorities it was last compared with. */
  generation: number;
  untilMs: number;
}

/**
 * A certificate is proved when a connection is made, and a connection may last for days. Here it is compared with the
 * clock, and with the authorities of now, as long as the connection is there.
 */
export class PeerTrust {
  readonly #graceMs: number;
  readonly #wallMs: () => number;
  readonly #timer: NodeJS.Timeout;
  readonly #shownByFingerprint = new Map<string, Shown>();
  #trusted: readonly X509Certificate[];
  #generation = 0;
  #graceUntilMs = 0;

  constructor({ trusted, graceMs = GRACE_MS, sweepMs = SWEEP_MS, wallMs = Date.now }: PeerTrustOptions) {
    this.#trusted = trusted;
    this.#graceMs = graceMs;
    this.#wallMs = wallMs;
    this.#timer = setInterval(() => {
      this.sweep();
    }, sweepMs).unref();
  }

  /** The authorities from now on. */
  replace(trusted: readonly X509Certificate[]): void {
    this.#trusted = trusted;
    this.#generation++;
    this.#graceUntilMs = this.#wallMs() + this.#graceMs;
  }

  /** Calls `end` once the certificate of the other end, good in the handshake, is good no longer. */
  watch(socket: TLSSocket, end: (reason: Distrust, detail: object) => void): void {
    if (socket.destroyed) return;
    const shown = socket.getPeerCertificate(true);
    // Declared as always there: empty when none was shown.
    if (!('raw' in shown)) return;
    const { fingerprint256 } = shown;
    let entry = this.#shownByFingerprint.get(fingerprint256);
    if (entry === undefined) {
      entry = { chain: chainOf(shown), ends: new Map(), generation: -1, untilMs: Infinity };
      this.#shownByFingerprint.set(fingerprint256, entry);
    }
    const watched = entry;
    const { ends } = watched;
    ends.set(socket, end);
    socket.once('close', () => {
      ends.delete(socket);
      if (ends.size > 0) return;
      // The certificate may have come back meanwhile, with connections of its own.
      if (this.#shownByFingerprint.get(fingerprint256) === watched) this.#shownByFingerprint.delete(fingerprint256);
    });
  }

  /** Called every `sweepMs`. */
  sweep(): void {
    const nowMs = this.#wallMs();
    const compares = nowMs >= this.#graceUntilMs || nowMs + this.#graceMs < this.#graceUntilMs;
    let checks = 0;
    for (const shown of this.#shownByFingerprint.values()) {
      if (shown.untilMs > nowMs && (!compares || shown.generation === this.#generation)) continue;
      if (++checks > CHECKS_PER_SWEEP) return;
      const untilMs = provenUntilMs(shown.chain, this.#trusted);
      shown.generation = this.#generation;
      shown.untilMs = untilMs ?? 0;
      if (untilMs === undefined) endAll(shown, 'certificate_untrusted');
      else if (untilMs <= nowMs) endAll(shown, 'certificate_expired');
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

function endAll({ chain, ends }: Shown, reason: Distrust): void {
  const [leaf] = chain;
  const certificate = { subjectAltName: leaf?.subjectAltName ?? '', validTo: leaf?.validTo ?? '' };
  for (const end of [...ends.values()]) end(reason, { certificate });
  ends.clear();
}

/** As the other end showed it, leaf first. */
function chainOf(shown: DetailedPeerCertificate): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let one: DetailedPeerCertificate | undefined = shown;
  while (one !== undefined && chain.length < CHAIN_MAX) {
    chain.push(new X509Certificate(one.raw));
    one = one.issuerCertificate === one ? undefined : one.issuerCertificate;
  }
  return chain;
}

/** Until when one of the authorities vouches for the chain; undefined when none does. */
function provenUntilMs(chain: readonly X509Certificate[], trusted: readonly X509Certificate[]): number | undefined {
  let untilMs = Infinity;
  for (const [index, certificate] of chain.entries()) {
    untilMs = Math.min(untilMs, certificate.validToDate.getTime());
    const vouching = trusted.filter((authority) => isIssuedBy(certificate, authority));
    if (vouching.length > 0) {
      return Math.min(untilMs, Math.max(...vouching.map(({ validToDate }) => validToDate.getTime())));
    }
    const issuer = chain[index + 1];
    if (issuer === undefined || !isIssuedBy(certificate, issuer)) return undefined;
  }
  return undefined;
}
