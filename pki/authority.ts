/**
 * A certificate authority of one cluster (RFC 5280): ECDSA P-256 throughout, so that every handshake is cheap.
 *
 * 1. A node's certificate carries exactly one identity (api/identity.ts), and is good for both ends of a connection.
 * 2. It never outlives the authority that signed it.
 * 3. An authority signs nodes and no other authorities (path length 0), and each has a name and key id of its own, so
 *    that two of them may stand in one bundle while one follows the other.
 */
import type { Pkcs10CertificateRequest, X509Certificate as SigningCertificate } from '@peculiar/x509';
import { createPrivateKey, createPublicKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { identityUri, parseIdentityUri, IDENTITY_SCHEME, type Identity } from '../api/identity.ts';
import { DistricError } from '../base/errors.ts';

const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** Takes a while to load: only for whoever signs, or asks for a signature. */
async function x509() {
  await import('reflect-metadata');
  return import('@peculiar/x509');
}

/** Clocks of nodes differ; a certificate is valid a little before it is made. */
const BACKDATE_MS = 5 * 60_000;

export const DAY_MS = 86_400_000;

/** Of names that clients may know a node by, beside its identity. */
const NAMES_MAX = 64;
const REQUEST_CHARS_MAX = 16 * 1024;

export interface Validity {
  notBeforeMs: number;
  notAfterMs: number;
}

export interface Grant {
  identity: Identity;
  /** Host names and IP addresses under which HTTPS clients reach the node. */
  dnsNames: readonly string[];
  ipAddresses: readonly string[];
  validity: Validity;
}

/** A certificate and its private key, PEM (PKCS #8). */
export interface KeyedCertificate {
  certificate: string;
  key: string;
}

export function validFor(durationMs: number, nowMs: number): Validity {
  return { notBeforeMs: nowMs - BACKDATE_MS, notAfterMs: nowMs + durationMs };
}

export class Authority {
  readonly #certificate: SigningCertificate;
  readonly #signingKey: webcrypto.CryptoKey;

  private constructor(certificate: SigningCertificate, signingKey: webcrypto.CryptoKey) {
    this.#certificate = certificate;
    this.#signingKey = signingKey;
  }

  /** A new authority, self-signed. */
  static async create(clusterName: string, validity: Validity): Promise<KeyedCertificate> {
    const keys = await generateKeys();
    const { BasicConstraintsExtension, KeyUsageFlags, KeyUsagesExtension, ...more } = await x509();
    const certificate = await more.X509CertificateGenerator.createSelfSigned({
      serialNumber: serialNumber(),
      name: [{ O: [clusterName] }, { CN: [`distric authority ${randomBytes(6).toString('hex')}`] }],
      notBefore: new Date(validity.notBeforeMs),
      notAfter: new Date(validity.notAfterMs),
      signingAlgorithm: KEY_ALGORITHM,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await more.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return { certificate: pem(certificate), key: await keyPem(keys.privateKey) };
  }

  /** Throws INVALID_DOCUMENT when the key is not the certificate's, or the certificate no authority's. */
  static async open({ certificate, key }: KeyedCertificate): Promise<Authority> {
    const parsed = new X509Certificate(certificate);
    if (!parsed.ca) throw new DistricError('INVALID_DOCUMENT', 'the certificate is not that of an authority');
    const privateKey = createPrivateKey(key);
    if (!parsed.checkPrivateKey(privateKey)) {
      throw new DistricError('INVALID_DOCUMENT', "the key does not belong to the authority's certificate");
    }
    const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
    const signingKey = await webcrypto.subtle.importKey('pkcs8', pkcs8, KEY_ALGORITHM, false, ['sign']);
    const { X509Certificate: Certificate } = await x509();
    return new Authority(new Certificate(certificate), signingKey);
  }

  get certificate(): string {
    return pem(this.#certificate);
  }

  /** A new key and its certificate. */
  async issue(grant: Grant): Promise<KeyedCertificate> {
    const keys = await generateKeys();
    return { certificate: await this.#sign(keys.publicKey, grant), key: await keyPem(keys.privateKey) };
  }

  /**
   * The certificate for the key of a request (PKCS #10), which only its holder can have signed. What the request asks
   * for counts for nothing: `grant` decides. Throws INVALID_REQUEST.
   */
  async issueFor(request: string, grant: Grant): Promise<string> {
    const { rawData } = (await verifiedRequest(request)).publicKey;
    return this.#sign(await webcrypto.subtle.importKey('spki', rawData, KEY_ALGORITHM, true, ['verify']), grant);
  }

  async #sign(publicKey: webcrypto.CryptoKey, grant: Grant): Promise<string> {
    const { identity, dnsNames, ipAddresses, validity } = grant;
    if (dnsNames.length + ipAddresses.length > NAMES_MAX) {
      throw new DistricError('INVALID_REQUEST', `a certificate may carry at most ${NAMES_MAX} names`);
    }
    const notAfterMs = Math.min(validity.notAfterMs, this.#certificate.notAfter.getTime());
    const { KeyUsageFlags, ExtendedKeyUsage, ...kinds } = await x509();
    const certificate = await kinds.X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: [{ O: [identity.clusterName] }, { OU: [identity.role] }, { CN: [identity.name] }],
      issuer: this.#certificate.subjectName,
      notBefore: new Date(validity.notBeforeMs),
      notAfter: new Date(notAfterMs),
      signingAlgorithm: KEY_ALGORITHM,
      publicKey,
      signingKey: this.#signingKey,
      extensions: [
        new kinds.BasicConstraintsExtension(false, undefined, true),
        new kinds.KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new kinds.ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
        new kinds.SubjectAlternativeNameExtension([
          { type: 'url', value: identityUri(identity) },
          ...dnsNames.map((value) => ({ type: 'dns' as const, value })),
          ...ipAddresses.map((value) => ({ type: 'ip' as const, value })),
        ]),
        await kinds.SubjectKeyIdentifierExtension.create(publicKey),
        await kinds.AuthorityKeyIdentifierExtension.create(this.#certificate.publicKey),
      ],
    });
    return pem(certificate);
  }
}

/** A request for a certificate that says whose it is to be, and its key: a new one, unless `key` (PEM) is given. */
export async function createRequest(
  identity: Identity,
  dnsNames: readonly string[],
  ipAddresses: readonly string[],
  key?: string,
): Promise<{ request: string; key: string }> {
  const keys = key === undefined ? await generateKeys() : await importKeys(key);
  const { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } = await x509();
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: [{ O: [identity.clusterName] }, { CN: [identity.name] }],
    keys,
    signingAlgorithm: KEY_ALGORITHM,
    extensions: [
      new SubjectAlternativeNameExtension([
        { type: 'url', value: identityUri(identity) },
        ...dnsNames.map((value) => ({ type: 'dns' as const, value })),
        ...ipAddresses.map((value) => ({ type: 'ip' as const, value })),
      ]),
    ],
  });
  return { request: pem(request), key: await keyPem(keys.privateKey) };
}

/** What a request asks for. Throws INVALID_REQUEST when it can't be read, or names not exactly one identity. */
export async function readRequest(
  request: string,
): Promise<{ identity: Identity; dnsNames: string[]; ipAddresses: string[] }> {
  const parsed = await verifiedRequest(request);
  const { SubjectAlternativeNameExtension } = await x509();
  const extension = parsed.extensions.find((one) => one instanceof SubjectAlternativeNameExtension);
  const names = extension?.names.items ?? [];
  const of = (type: string): string[] => names.filter((name) => name.type === type).map(({ value }) => value);
  const uris = of('url').filter((uri) => uri.startsWith(IDENTITY_SCHEME));
  const identity = uris.length === 1 && uris[0] !== undefined ? parseIdentityUri(uris[0]) : undefined;
  if (identity === undefined) throw invalidRequest('it must carry exactly one distric:// URI as its identity');
  return { identity, dnsNames: of('dns'), ipAddresses: of('ip') };
}

async function verifiedRequest(text: string): Promise<Pkcs10CertificateRequest> {
  if (text.length > REQUEST_CHARS_MAX) throw invalidRequest(`it is over ${REQUEST_CHARS_MAX} characters`);
  const { request, curve, verified } = await examined(text).catch((error: unknown) => {
    throw invalidRequest(error instanceof Error ? error.message : String(error));
  });
  if (curve !== 'prime256v1') throw invalidRequest('its key must be ECDSA P-256');
  if (!verified) throw invalidRequest('its signature is not that of its key');
  return request;
}

async function examined(
  text: string,
): Promise<{ request: Pkcs10CertificateRequest; curve: string | undefined; verified: boolean }> {
  const { Pkcs10CertificateRequest: Request } = await x509();
  const request = new Request(text);
  const key = createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: 'der', type: 'spki' });
  return { request, curve: key.asymmetricKeyDetails?.namedCurve, verified: await request.verify() };
}

function invalidRequest(reason: string): DistricError {
  return new DistricError('INVALID_REQUEST', `the certificate request can't be used: ${reason}`);
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify']);
}

/** Throws INVALID_DOCUMENT for another kind of key than this authority makes and signs. */
async function importKeys(key: string): Promise<webcrypto.CryptoKeyPair> {
  const privateKey = createPrivateKey(key);
  if (privateKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new DistricError('INVALID_DOCUMENT', 'the key of this node is none of ECDSA P-256');
  }
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  return {
    privateKey: await webcrypto.subtle.importKey('pkcs8', pkcs8, KEY_ALGORITHM, true, ['sign']),
    publicKey: await webcrypto.subtle.importKey('spki', spki, KEY_ALGORITHM, true, ['verify']),
  };
}

/** 127 random bits, positive (RFC 5280 §4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes.toString('hex');
}

async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  return createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
    .export({ type: 'pkcs8', format: 'pem' })
    .toString();
}

function pem(value: { toString(format: 'pem'): string }): string {
  return `${value.toString('pem').trimEnd()}\n`;
}
