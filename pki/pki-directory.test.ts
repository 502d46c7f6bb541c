import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { DAY_MS, validFor } from './authority.ts';
import { authorityHashOf, readJoinSecret, verifyJoinToken } from './join-token.ts';
import { certificateHash, isIssuedBy, readCertificates } from './pem.ts';
import { PkiDirectory } from './pki-directory.ts';

let path: string;
let pki: PkiDirectory;
const validity = validFor(DAY_MS, Date.now());
const long = validFor(100 * DAY_MS, Date.now());

beforeEach(async () => {
  path = mkdtempSync(join(tmpdir(), 'distric-pki-'));
  pki = await PkiDirectory.create(path, 'prod', long);
});

afterEach(() => {
  rmSync(path, { recursive: true });
});

function read(file: string): string {
  return readFileSync(join(path, file), 'utf8');
}

/** Which of the trusted authorities has signed the node's certificate, and whether the node trusts it. */
function signerOf(folder: string): number {
  const leaf = new X509Certificate(read(`${folder}/node.crt`));
  return readCertificates(read(`${folder}/ca.crt`), 'ca').findIndex((authority) => isIssuedBy(leaf, authority));
}

describe('PkiDirectory', () => {
  it('keeps keys for their owner alone, and never loses one to a second init', async () => {
    const { folder } = await pki.issue({ role: 'worker', name: 'w1', validity });
    for (const file of ['ca.key', 'join.secret']) expect(statSync(join(path, file)).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'node.key')).mode & 0o777).toBe(0o600);
    const key = read('ca.key');
    await expect(PkiDirectory.create(path, 'prod', long)).rejects.toThrow(/already/);
    expect(read('ca.key')).toBe(key);
    expect(() => PkiDirectory.open(join(path, 'none'))).toThrow(/distric pki init/);
    await expect(PkiDirectory.create(join(path, 'other'), 'a b', long)).rejects.toThrow(/letters, digits/);
  });

  it('issues what a node needs in one folder, and again with the same names', async () => {
    const names = { dnsNames: ['c1.example'], ipAddresses: ['10.0.0.1'] };
    const first = await pki.issue({ role: 'coordinator', name: 'c1', ...names, validity });
    expect(first.identity).toEqual({ clusterName: 'prod', role: 'coordinator', name: 'c1' });
    expect(signerOf('issued/coordinator-c1')).toBe(0);
    const again = await pki.issue({ role: 'coordinator', name: 'c1', validity });
    expect(again.certificate.serialNumber).not.toBe(first.certificate.serialNumber);
    expect(again.certificate.subjectAltName).toBe(first.certificate.subjectAltName);
    expect(pki.issued.map(({ identity }) => identity.name)).toEqual(['c1']);
    await expect(pki.issue({ role: 'worker', name: '../x', validity })).rejects.toThrow(/can't be the name/);
  });

  it('replaces the authority in three steps, and at each every node trusts every other', async () => {
    await pki.issue({ role: 'worker', name: 'w1', validity });
    const old = certificateHash(pki.signing);
    await expect(pki.rotate('switch', long, validity)).rejects.toThrow(/next step of the rotation is trust/);
    await pki.rotate('trust', long, validity);
    expect([pki.trusted.length, pki.pendingStep, signerOf('issued/worker-w1')]).toEqual([2, 'switch', 0]);
    expect(certificateHash(pki.signing)).toBe(old);
    await expect(pki.rotate('drop', long, validity)).rejects.toThrow(/next step of the rotation is switch/);
    await pki.rotate('switch', long, validity);
    expect([pki.trusted.length, pki.pendingStep, signerOf('issued/worker-w1')]).toEqual([2, 'drop', 1]);
    await pki.rotate('drop', long, validity);
    expect([pki.trusted.length, pki.pendingStep, signerOf('issued/worker-w1')]).toEqual([1, undefined, 0]);
    expect(certificateHash(pki.signing)).not.toBe(old);
    expect(pki.clusterName).toBe('prod');
  });

  it('drops no authority that a certificate still needs', async () => {
    await pki.issue({ role: 'worker', name: 'w1', validity });
    await pki.issue({ role: 'worker', name: 'w2', validity });
    await pki.rotate('trust', long, validity);
    // As if the switch had been cut off after the new key was in place.
    renameSync(join(path, 'ca-next.key'), join(path, 'ca.key'));
    await pki.issue({ role: 'worker', name: 'w1', validity });
    await expect(pki.rotate('drop', long, validity)).rejects.toThrow(/worker\/w2.*distric pki issue --all/);
    expect(pki.trusted).toHaveLength(2);
    await pki.reissueAll(validity);
    await pki.rotate('drop', long, validity);
    expect(signerOf('issued/worker-w2')).toBe(0);
  });

  it('makes join tokens that pin the authority which signs', () => {
    const token = pki.joinToken({ role: 'worker', expiresMs: 2_000, uses: 1 });
    expect(authorityHashOf(token)).toBe(certificateHash(pki.signing));
    expect(verifyJoinToken(readJoinSecret(read('join.secret')), token, 1_000).role).toBe('worker');
  });
});
