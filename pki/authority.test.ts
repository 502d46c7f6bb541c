import { createPrivateKey, X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { identityOf, type Identity } from '../api/identity.ts';
import {
  Authority,
  createRequest,
  DAY_MS,
  readRequest,
  validFor,
  type Grant,
  type KeyedCertificate,
} from './authority.ts';
import { certificateHash, isIssuedBy, pemOf, readCertificates } from './pem.ts';

const NOW_MS = Date.now();
const identity: Identity = { clusterName: 'prod', role: 'worker', name: 'w1' };

function grant(change: Partial<Grant> = {}): Grant {
  const validity = validFor(DAY_MS, NOW_MS);
  return { identity, dnsNames: ['w1.example'], ipAddresses: ['127.0.0.1', '::1'], validity, ...change };
}

let made: KeyedCertificate;
let authority: Authority;

beforeAll(async () => {
  made = await Authority.create('prod', validFor(10 * DAY_MS, NOW_MS));
  authority = await Authority.open(made);
});

describe('Authority', () => {
  it('issues certificates that carry the identity and the names, and verify', async () => {
    const { certificate, key } = await authority.issue(grant());
    const leaf = new X509Certificate(certificate);
    expect(identityOf(leaf.subjectAltName ?? '')).toEqual(identity);
    expect(leaf.checkHost('w1.example')).toBe('w1.example');
    expect(leaf.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(leaf.checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect(leaf.ca).toBe(false);
    expect(isIssuedBy(leaf, new X509Certificate(made.certificate))).toBe(true);
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  });

  it('gives every certificate another serial number and authority name', async () => {
    const [a, b] = await Promise.all([authority.issue(grant()), authority.issue(grant())]);
    expect(new X509Certificate(a.certificate).serialNumber).not.toBe(new X509Certificate(b.certificate).serialNumber);
    const other = await Authority.create('prod', validFor(DAY_MS, NOW_MS));
    expect(new X509Certificate(other.certificate).subject).not.toBe(new X509Certificate(made.certificate).subject);
    const leaf = new X509Certificate(a.certificate);
    expect(isIssuedBy(leaf, new X509Certificate(other.certificate))).toBe(false);
    expect(isIssuedBy(leaf, leaf)).toBe(false);
  });

  it('lets no certificate outlive its authority', async () => {
    const { certificate } = await authority.issue(grant({ validity: validFor(999 * DAY_MS, NOW_MS) }));
    expect(new X509Certificate(certificate).validTo).toBe(new X509Certificate(made.certificate).validTo);
  });

  it('opens only with the key and the certificate of an authority', async () => {
    const other = await Authority.create('prod', validFor(DAY_MS, NOW_MS));
    const opened = Authority.open({ certificate: made.certificate, key: other.key });
    await expect(opened).rejects.toThrow(/does not belong/);
    await expect(Authority.open(await authority.issue(grant()))).rejects.toThrow(/not that of an authority/);
  });

  it('refuses more names than anybody needs', async () => {
    const dnsNames = Array.from({ length: 65 }, (_, index) => `n${index}.example`);
    await expect(authority.issue(grant({ dnsNames }))).rejects.toThrow(/at most 64 names/);
  });
});

describe('certificate requests', () => {
  it('are certified for their key, with what the grant says and not what they ask for', async () => {
    const { request, key } = await createRequest(identity, ['bank.example'], ['10.0.0.1']);
    expect(await readRequest(request)).toEqual({ identity, dnsNames: ['bank.example'], ipAddresses: ['10.0.0.1'] });
    const leaf = new X509Certificate(await authority.issueFor(request, grant({ dnsNames: [], ipAddresses: [] })));
    expect(leaf.checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect(leaf.checkHost('bank.example')).toBeUndefined();
    expect(leaf.subjectAltName).toBe('URI:distric://prod/worker/w1');
  });

  it('are refused when they can not be read, or were changed', async () => {
    const { request } = await createRequest(identity, [], []);
    const der = Buffer.from(request.replace(/-----[^-]+-----|\s/g, ''), 'base64');
    der.writeUInt8(der.readUInt8(der.length - 5) ^ 1, der.length - 5);
    const changed = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
    for (const text of ['', 'no PEM', changed, 'x'.repeat(20_000)]) {
      await expect(readRequest(text)).rejects.toThrow(/certificate request can't be used/);
      await expect(authority.issueFor(text, grant())).rejects.toThrow(/certificate request can't be used/);
    }
  });
});

describe('readCertificates()', () => {
  it('reads bundles and writes them back', async () => {
    const { certificate } = await authority.issue(grant());
    const bundle = readCertificates(`# a remark\n${certificate}\n\n${made.certificate}`, 'x');
    expect(pemOf(bundle)).toBe(certificate + made.certificate);
    expect(certificateHash(bundle[1]!)).toMatch(/^[0-9a-f]{64}$/);
  });

  it('names the text and what is wrong in it', () => {
    expect(() => readCertificates('', 'ca.crt')).toThrow(/ca\.crt holds no PEM/);
    const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
    expect(() => readCertificates(broken, 'ca.crt')).toThrow(/ca\.crt: certificate 1 can't be read/);
    expect(() => readCertificates(broken.repeat(65), 'ca.crt')).toThrow(/over 64/);
  });
});
