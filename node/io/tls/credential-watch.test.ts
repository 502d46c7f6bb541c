import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  PemConverter,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { identityUri, type Identity } from '../../../api/identity.ts';
import type { TlsFiles } from '../../../api/tls.ts';
import { DAY_MS, validFor, type Validity } from '../../../pki/authority.ts';
import { PkiDirectory } from '../../../pki/pki-directory.ts';
import type { Credentials } from './credential-files.ts';
import { CredentialWatch } from './credential-watch.ts';

const identity: Identity = { clusterName: 'prod', role: 'worker', name: 'w1' };

let root: string;
let pki: PkiDirectory;
let files: TlsFiles;
let lines: string[];
const watches: CredentialWatch[] = [];

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'distric-tls-'));
  pki = await PkiDirectory.create(join(root, 'pki'), 'prod', validFor(100 * DAY_MS, Date.now()));
  lines = [];
  await issue();
});

afterEach(() => {
  for (const watch of watches.splice(0)) watch.close();
  rmSync(root, { recursive: true });
});

async function issue(validity: Validity = validFor(30 * DAY_MS, Date.now()), name = 'w1'): Promise<void> {
  const { folder } = await pki.issue({ role: 'worker', name, validity });
  files = {
    certificateFile: join(folder, 'node.crt'),
    keyFile: join(folder, 'node.key'),
    caFile: join(folder, 'ca.crt'),
  };
}

/** The node's certificate again, for an RSA key of 1,024 bits. */
async function issueWeak(): Promise<void> {
  const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const rsa = { name: 'RSASSA-PKCS1-v1_5', modulusLength: 1_024, publicExponent: new Uint8Array([1, 0, 1]) };
  const keys = await webcrypto.subtle.generateKey({ ...rsa, hash: 'SHA-256' }, true, ['sign', 'verify']);
  const [caKey = new ArrayBuffer(0)] = PemConverter.decode(readFileSync(join(root, 'pki', 'ca.key'), 'utf8'));
  const certificate = await X509CertificateGenerator.create({
    issuer: new X509Certificate(readFileSync(files.caFile, 'utf8')).subjectName,
    notAfter: new Date(Date.now() + DAY_MS),
    publicKey: keys.publicKey,
    signingKey: await webcrypto.subtle.importKey('pkcs8', caKey, ecdsa, false, ['sign']),
    signingAlgorithm: ecdsa,
    extensions: [new SubjectAlternativeNameExtension([{ type: 'url', value: identityUri(identity) }])],
  });
  writeFileSync(files.certificateFile, certificate.toString('pem'));
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  writeFileSync(files.keyFile, PemConverter.encode(key, 'PRIVATE KEY'));
}

function open(intervalMs = 3_600_000): CredentialWatch {
  const log =
    (level: string) =>
    (fields: object, message: string): void =>
      void lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  const watch = new CredentialWatch({
    files,
    identity,
    intervalMs,
    log: { info: log('info'), warn: log('warn'), error: log('error') },
  });
  watches.push(watch);
  return watch;
}

describe('CredentialWatch', () => {
  it('says what it loaded, and warns when others can read the key', () => {
    open();
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('distric://prod/worker/w1');
    chmodSync(files.keyFile, 0o644);
    open();
    expect(lines.at(-1)).toMatch(/^warn the key of this node can be read by others/);
    expect(lines.join('\n')).not.toContain('PRIVATE KEY');
  });

  it('takes over new files, once', async () => {
    const watch = open();
    const taken: Credentials[] = [];
    watch.onChange((credentials) => taken.push(credentials));
    watch.look();
    expect(taken).toEqual([]);
    await issue();
    watch.look();
    watch.look();
    expect(taken).toHaveLength(1);
    expect(watch.current.certificate).toBe(readFileSync(files.certificateFile, 'utf8'));
  });

  it('looks by itself', async () => {
    const watch = open(5);
    const changed = new Promise<Credentials>((resolve) => {
      watch.onChange(resolve);
    });
    await issue();
    const { key } = await changed;
    expect(key).toBe(readFileSync(files.keyFile, 'utf8'));
  });

  it('keeps what it has while the files do not fit together, and says so once', async () => {
    const watch = open();
    const before = watch.current;
    const oldKey = readFileSync(files.keyFile, 'utf8');
    await issue();
    const newKey = readFileSync(files.keyFile, 'utf8');
    writeFileSync(files.keyFile, oldKey);
    watch.look();
    watch.look();
    expect(watch.current).toBe(before);
    expect(lines.filter((line) => line.startsWith('warn'))).toHaveLength(1);
    expect(lines.at(-1)).toContain('is not the key of the certificate');
    writeFileSync(files.keyFile, newKey);
    watch.look();
    expect(watch.current.key).toBe(newKey);
  });

  it('keeps what it has when a file is gone, or of another node, or signed by nobody it trusts', async () => {
    const watch = open();
    const before = watch.current;
    const good = readFileSync(files.certificateFile, 'utf8');
    rmSync(files.certificateFile);
    watch.look();
    expect(lines.at(-1)).toContain("can't be read as the certificate");
    writeFileSync(files.certificateFile, good);
    const other = await PkiDirectory.create(join(root, 'other'), 'prod', validFor(DAY_MS, Date.now()));
    writeFileSync(files.caFile, readFileSync(other.caFile));
    watch.look();
    expect(lines.at(-1)).toContain('is not signed by an authority');
    expect(watch.current).toBe(before);
    const own = files;
    await issue(undefined, 'w2');
    for (const name of ['certificateFile', 'keyFile', 'caFile'] as const) {
      writeFileSync(own[name], readFileSync(files[name]));
    }
    watch.look();
    expect(lines.at(-1)).toContain('it has distric://prod/worker/w2, this node is distric://prod/worker/w1');
    expect(watch.current).toBe(before);
  });

  it('keeps what it has when TLS refuses a key that is too short', async () => {
    const watch = open();
    const before = watch.current;
    await issueWeak();
    watch.look();
    expect(lines.at(-1)).toMatch(/^warn new certificates not taken.*key too small/);
    expect(watch.current).toBe(before);
  });

  it('does not start without credentials', () => {
    files = { ...files, caFile: join(root, 'nowhere') };
    expect(() => open()).toThrow(/nowhere can't be read as the authorities of this node/);
    const { certificateFile, keyFile } = files;
    files = { ...files, caFile: keyFile };
    expect(() => open()).toThrow(/node\.key holds no PEM certificate/);
    files = { ...files, caFile: certificateFile, keyFile: certificateFile };
    expect(() => open()).toThrow(/node\.crt holds no private key/);
  });

  it('knows how long they last, and is concerned in the last week and after', async () => {
    const now = Date.now();
    const watch = open();
    expect(watch.secondsLeft('node', now) / 86_400).toBeCloseTo(30, 2);
    expect(watch.secondsLeft('ca', now) / 86_400).toBeCloseTo(100, 2);
    expect(watch.concern(now)).toBeUndefined();
    expect(watch.concern(now + 24 * DAY_MS)).toContain("this node's certificate expires at");
    expect(watch.concern(now + 31 * DAY_MS)).toContain('has expired at');
    expect(lines.some((line) => line.startsWith('error'))).toBe(false);
    await issue({ notBeforeMs: now - 2 * DAY_MS, notAfterMs: now - DAY_MS });
    watch.look();
    expect(watch.secondsLeft('node', now)).toBeLessThan(0);
    expect(lines.at(-1)).toMatch(/^error the certificates of this node need to be renewed/);
    await pki.rotate('trust', validFor(3 * DAY_MS, now), validFor(30 * DAY_MS, now));
    await issue();
    watch.look();
    expect(watch.concern(now)).toContain('a trusted authority expires at');
  });
});
