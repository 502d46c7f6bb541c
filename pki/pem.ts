import { createHash, X509Certificate } from 'node:crypto';
import { DistricError } from '../base/errors.ts';

const BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/** A bundle or chain longer than this is a mistake, and would be work for every handshake. */
const CERTIFICATES_MAX = 64;

/** The certificates of a PEM text, in its order. Throws INVALID_DOCUMENT; `what` names the text in it. */
export function readCertificates(pem: string, what: string): X509Certificate[] {
  const blocks = pem.match(BLOCK) ?? [];
  if (blocks.length === 0) throw new DistricError('INVALID_DOCUMENT', `${what} holds no PEM certificate`);
  if (blocks.length > CERTIFICATES_MAX) {
    throw new DistricError('INVALID_DOCUMENT', `${what} holds over ${CERTIFICATES_MAX} certificates`);
  }
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new DistricError('INVALID_DOCUMENT', `${what}: certificate ${index + 1} can't be read: ${reason}`);
    }
  });
}

export function pemOf(certificates: readonly X509Certificate[]): string {
  return certificates.map((certificate) => certificate.toString()).join('');
}

/** SHA-256 of the whole certificate (DER), in hexadecimal: what a join token pins an authority by. */
export function certificateHash(certificate: X509Certificate): string {
  return createHash('sha256').update(certificate.raw).digest('hex');
}

/** Less than a third of its life is left: time enough for many tries, and for somebody to look. */
export function isRenewalDue({ validFromDate, validToDate }: X509Certificate, nowMs: number): boolean {
  const endsMs = validToDate.getTime();
  return endsMs - nowMs < (endsMs - validFromDate.getTime()) / 3;
}

/** True when `issuer` has signed `certificate`; dates are not looked at. */
export function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}
