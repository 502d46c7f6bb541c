import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { TLSSocket } from 'node:tls';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { identityOf, type Identity } from '../../../api/identity.ts';
import { tlsFiles, type TlsFiles } from '../../../api/tls.ts';
import { DistricError } from '../../../base/errors.ts';
import { createRequest, DAY_MS, validFor } from '../../../pki/authority.ts';
import { readJoinSecret } from '../../../pki/join-token.ts';
import { certificateHash } from '../../../pki/pem.ts';
import { PkiDirectory } from '../../../pki/pki-directory.ts';
import { readCredentials } from './credential-files.ts';
import { CertificateRenewal } from './certificate-renewal.ts';
import { CredentialWatch } from './credential-watch.ts';
import { JoinDesk, RENEWAL_INTERVAL_MS, RENEWALS_BURST, type JoinDeskOptions } from './join-desk.ts';
import { joinCluster, renewCertificate } from './joining.ts';

const HOUR_MS = 3_600_000;
const w1: Identity = { clusterName: 'prod', role: 'worker', name: 'w1' };

let root: string;
let pki: PkiDirectory;
let files: TlsFiles;
const servers: Server[] = [];
const log = { info: () => undefined, warn: () => undefined, error: () => undefined };

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'distric-join-'));
  pki = await PkiDirectory.create(join(root, 'pki'), 'prod', validFor(100 * DAY_MS, Date.now()));
  const tls = { certificateFile: '', keyFile: '', caFile: '' };
  files = tlsFiles({ dataDir: join(root, 'data'), tls } as Parameters<typeof tlsFiles>[0]);
});

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
  rmSync(root, { recursive: true });
});

function desk(change: Partial<JoinDeskOptions> = {}): JoinDesk {
  return new JoinDesk({
    clusterName: 'prod',
    coordinatorIds: () => new Set(['c1', 'c2']),
    secret: readJoinSecret(readFileSync(pki.joinSecretFile, 'utf8')),
    authorityKey: () => readFileSync(pki.caKeyFile, 'utf8'),
    bundle: () => readFileSync(pki.caFile, 'utf8'),
    certificateDays: 7,
    log,
    ...change,
  });
}

/** As it is now. */
function fixedText(file: string): () => string {
  const text = readFileSync(file, 'utf8');
  return () => text;
}

function token(grant: Partial<Parameters<PkiDirectory['joinToken']>[0]> = {}): string {
  return pki.joinToken({ role: 'worker', expiresMs: Date.now() + HOUR_MS, uses: 10, ...grant });
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}

/** What a coordinator serves at /join, with the certificate of `role`; `asked` gets what it was told. */
async function serve(
  gate: JoinDesk,
  asked: string[] = [],
  role: 'coordinator' | 'worker' = 'coordinator',
): Promise<string> {
  const { folder } = await pki.issue({ role, name: 'c1', validity: validFor(DAY_MS, Date.now()) });
  const options = {
    cert: readFileSync(join(folder, 'node.crt')),
    key: readFileSync(join(folder, 'node.key')),
    ca: readFileSync(join(folder, 'ca.crt')),
    requestCert: true,
    rejectUnauthorized: false,
  };
  const server = createServer(options, (request, response) => {
    const answer = async (): Promise<object> => {
      const text = await bodyOf(request);
      if (request.method === 'GET') return { authorities: gate.authorities() };
      asked.push(text);
      const { token: given, request: wanted } = JSON.parse(text) as { token?: string; request: string };
      if (given !== undefined) return gate.admit(given, wanted, Date.now());
      const { socket } = request;
      const shown = socket instanceof TLSSocket ? socket.getPeerX509Certificate()?.subjectAltName : undefined;
      const holder = identityOf(shown ?? '');
      if (holder === undefined) throw new DistricError('UNAUTHENTICATED', 'no certificate');
      return gate.renew(holder, wanted, Date.now());
    };
    answer().then(
      (value) => response.end(JSON.stringify(value)),
      (error: unknown) => {
        const { status, message } = error as DistricError;
        response.writeHead(status).end(JSON.stringify({ detail: message }));
      },
    );
  });
  servers.push(server);
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function joining(address: string, given: string, identity = w1): Promise<void> {
  return joinCluster({ token: given, address, identity, dnsNames: ['x.example'], ipAddresses: [], files, log });
}

describe('a node that joins', () => {
  it('gets a certificate of its own for its token, and keeps it for itself', async () => {
    await joining(await serve(desk()), token());
    const { leaf } = readCredentials(files, w1);
    expect(leaf.subjectAltName).toBe('URI:distric://prod/worker/w1');
    expect((leaf.validToDate.getTime() - Date.now()) / DAY_MS).toBeCloseTo(7, 1);
    for (const file of [files.certificateFile, files.keyFile, files.caFile])
      expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('keeps the names it asked for when it is a coordinator', async () => {
    const c2: Identity = { clusterName: 'prod', role: 'coordinator', name: 'c2' };
    await joining(await serve(desk()), token({ role: 'coordinator' }), c2);
    expect(readCredentials(files, c2).leaf.checkHost('x.example')).toBe('x.example');
  });

  it('tells its token to nobody but a coordinator of the authority in it', async () => {
    const asked: string[] = [];
    const other = await PkiDirectory.create(join(root, 'other'), 'prod', validFor(DAY_MS, Date.now()));
    const foreign = other.joinToken({ role: 'worker', expiresMs: Date.now() + HOUR_MS, uses: 1 });
    await expect(joining(await serve(desk(), asked), foreign)).rejects.toThrow(/no authority there has the hash/);
    // Public certificates are easily copied: this one shows those of the other cluster, and has no key of theirs.
    const copied = desk({ bundle: () => readFileSync(other.caFile, 'utf8') });
    await expect(joining(await serve(copied, asked), foreign)).rejects.toThrow(/no certificate from .*: (unable|self)/);
    const worker = await serve(desk(), asked, 'worker');
    await expect(joining(worker, token())).rejects.toThrow(/no coordinator of the cluster "prod"/);
    expect(asked).toEqual([]);
    await expect(joining('127.0.0.1:1', token())).rejects.toThrow(/ECONNREFUSED/);
    await expect(joining('127.0.0.1:1', 'no token')).rejects.toThrow(/no join token/);
  });

  it('is told why it may not', async () => {
    const address = await serve(desk());
    await expect(joining(address, token({ role: 'coordinator' }))).rejects.toThrow(
      /for the role coordinator, not worker/,
    );
    expect(() => statSync(files.certificateFile)).toThrow(/ENOENT/);
  });
});

describe('a node that has a certificate', () => {
  const w1Grant = { role: 'worker', name: 'w1' } as const;
  const lines: string[] = [];
  beforeEach(() => void lines.splice(0));
  const told = { info: () => undefined, warn: (_: object, text: string) => lines.push(text), error: () => undefined };

  /** A node with 5 of 30 days left, or as many as `leftDays`. */
  async function watched(leftDays = 5): Promise<CredentialWatch> {
    const now = Date.now();
    const validity = { notBeforeMs: now + (leftDays - 30) * DAY_MS, notAfterMs: now + leftDays * DAY_MS };
    const { folder } = await pki.issue({ ...w1Grant, validity });
    mkdirSync(dirname(files.certificateFile), { recursive: true });
    for (const [name, file] of Object.entries({
      'node.crt': files.certificateFile,
      'node.key': files.keyFile,
      'ca.crt': files.caFile,
    })) {
      copyFileSync(join(folder, name), file);
    }
    return new CredentialWatch({ files, identity: w1, intervalMs: 1e6, log });
  }

  function renewal(watch: CredentialWatch, addresses: string[]): CertificateRenewal {
    const fixed = { addresses, identity: w1, dnsNames: [], ipAddresses: [], files, log };
    const renew = (): Promise<void> => renewCertificate({ ...fixed, current: watch.current });
    return new CertificateRenewal({ watch, renew, log: told, lookMs: 1e6 });
  }

  it('gets another one for it when a third of its life is left, and keeps its key', async () => {
    const watch = await watched();
    const before = watch.current;
    const one = renewal(watch, ['127.0.0.1:1', await serve(desk())]);
    await one.look();
    expect(watch.current.leaf.serialNumber).not.toBe(before.leaf.serialNumber);
    expect(watch.current.key).toBe(before.key);
    expect(watch.secondsLeft('node', Date.now()) / 86_400).toBeCloseTo(7, 1);
    const renewed = watch.current;
    await one.look();
    expect(watch.current).toBe(renewed);
    one.close();
    watch.close();
  });

  it('keeps the one it has until another can be had, and says so', async () => {
    const watch = await watched();
    const before = watch.current;
    const one = renewal(watch, ['127.0.0.1:1']);
    await one.look();
    await one.look();
    expect(watch.current).toBe(before);
    expect(lines).toEqual(Array(2).fill('certificate not renewed: trying again'));
    one.close();
    watch.close();
  });

  it('keeps its authorities, which may be ahead of those of the coordinator that renews', async () => {
    const watch = await watched();
    const before = desk({ bundle: fixedText(pki.caFile), authorityKey: fixedText(pki.caKeyFile) });
    await pki.rotate('trust', validFor(DAY_MS, Date.now()), validFor(DAY_MS, Date.now()));
    copyFileSync(pki.caFile, files.caFile);
    watch.look();
    const { trusted, leaf } = watch.current;
    expect(trusted).toHaveLength(2);
    const one = renewal(watch, [await serve(before)]);
    await one.look();
    expect(watch.current.leaf.serialNumber).not.toBe(leaf.serialNumber);
    expect(readFileSync(files.caFile, 'utf8')).toBe(readFileSync(pki.caFile, 'utf8'));
    one.close();
    watch.close();
  });

  it('adds the authority of its next certificate to its own', async () => {
    const watch = await watched();
    const [before] = watch.current.trusted;
    const address = await serve(desk());
    await pki.rotate('trust', validFor(DAY_MS, Date.now()), validFor(DAY_MS, Date.now()));
    await pki.rotate('switch', validFor(DAY_MS, Date.now()), validFor(DAY_MS, Date.now()));
    const one = renewal(watch, [address]);
    await one.look();
    expect(watch.current.trusted.map(certificateHash).sort()).toEqual(
      [before, pki.signing]
        .flatMap((authority) => (authority === undefined ? [] : [certificateHash(authority)]))
        .sort(),
    );
    one.close();
    watch.close();
  });

  it('keeps nothing of an answer that does not fit, and asks the next', async () => {
    const watch = await watched();
    const before = [files.caFile, files.certificateFile].map((file) => readFileSync(file, 'utf8'));
    const wrong = desk();
    // It signs for whom it likes.
    wrong.renew = async (holder, _request, nowMs) => {
      const other = await createRequest(holder, [], []);
      return desk().renew(holder, other.request, nowMs);
    };
    const one = renewal(watch, [await serve(wrong)]);
    await one.look();
    expect([files.caFile, files.certificateFile].map((file) => readFileSync(file, 'utf8'))).toEqual(before);
    expect(lines).toHaveLength(1);
    one.close();
    const two = renewal(watch, [await serve(wrong), await serve(desk())]);
    await two.look();
    expect(readFileSync(files.certificateFile, 'utf8')).not.toBe(before[1]);
    two.close();
    watch.close();
  });

  it('asks for none that it could not keep', async () => {
    const watch = await watched();
    const asked: string[] = [];
    const addresses = [await serve(desk(), asked)];
    // A folder can't be made below a file.
    const caFile = join(files.certificateFile, 'ca.crt');
    const fixed = { addresses, identity: w1, dnsNames: [], ipAddresses: [], current: watch.current, log };
    await expect(renewCertificate({ ...fixed, files: { ...files, caFile } })).rejects.toThrow(/could not be kept/);
    expect(asked).toEqual([]);
    watch.close();
  });

  it('waits longer when it could not keep one after all', async () => {
    const watch = await watched();
    let nowMs = 0;
    let tries = 0;
    const renew = (): Promise<void> => {
      tries++;
      return Promise.reject(new Error('EBUSY'));
    };
    const one = new CertificateRenewal({ watch, renew, log: told, lookMs: 1e6, clockMs: () => nowMs });
    await one.look();
    await one.look();
    expect(tries).toBe(1);
    nowMs += RENEWAL_INTERVAL_MS;
    await one.look();
    expect(tries).toBe(2);
    one.close();
    watch.close();
  });

  it('gets it for itself only, while it has its place in the cluster', async () => {
    const request = async (identity: Identity): Promise<string> => (await createRequest(identity, [], [])).request;
    const gate = desk();
    const w2: Identity = { ...w1, name: 'w2' };
    const client: Identity = { ...w1, role: 'client' };
    const lost: Identity = { clusterName: 'prod', role: 'coordinator', name: 'c9' };
    const tries = [
      gate.renew(w1, await request(w2), Date.now()),
      gate.renew(client, await request(client), Date.now()),
      gate.renew(lost, await request(lost), Date.now()),
    ];
    for (const one of tries) await expect(one).rejects.toMatchObject({ code: 'FORBIDDEN' });
    expect(await gate.renew(w1, await request(w1), Date.now())).toMatchObject({ by: { id: 'worker/w1' } });
  });
});

describe('JoinDesk', () => {
  it('renews a few times at once, then seldom, whatever others do', async () => {
    let nowMs = 0;
    const gate = desk({ clockMs: () => nowMs });
    const renew = async (identity: Identity): Promise<string> => {
      const { request } = await createRequest(identity, [], []);
      return gate.renew(identity, request, Date.now()).then(
        () => 'renewed',
        (error: unknown) => (error as DistricError).code,
      );
    };
    for (let i = 0; i < RENEWALS_BURST; i++) expect(await renew(w1)).toBe('renewed');
    expect(await renew(w1)).toBe('RATE_LIMITED');
    expect(await renew({ ...w1, name: 'w2' })).toBe('renewed');
    nowMs += RENEWAL_INTERVAL_MS;
    expect([await renew(w1), await renew(w1)]).toEqual(['renewed', 'RATE_LIMITED']);
  });

  async function codeOf(gate: JoinDesk, given: string, identity: Identity = w1): Promise<string> {
    const { request } = await createRequest(identity, [], []);
    try {
      await gate.admit(given, request, Date.now());
      return 'admitted';
    } catch (error) {
      return error instanceof DistricError ? `${error.code} ${error.message}` : String(error);
    }
  }

  it.each([
    [
      'another role',
      { role: 'coordinator' as const },
      w1,
      'FORBIDDEN the token is for the role coordinator, not worker',
    ],
    ['another name', { name: 'w2' }, w1, 'FORBIDDEN the token lets w2 join'],
    ['another cluster', {}, { ...w1, clusterName: 'test' }, 'FORBIDDEN this is the cluster prod'],
    ['a coordinator id for a worker', {}, { ...w1, name: 'c1' }, 'FORBIDDEN c1 is the id of a coordinator'],
    [
      'a coordinator nobody knows',
      { role: 'coordinator' as const },
      { ...w1, role: 'coordinator' as const, name: 'c9' },
      'FORBIDDEN c9 is no coordinator of this cluster',
    ],
    ['an admin', {}, { ...w1, role: 'operator' as const }, 'FORBIDDEN the token is for the role worker, not operator'],
    ['an expired token', { expiresMs: 1 }, w1, 'UNAUTHENTICATED the join token expired'],
  ])('refuses %s', async (_, grant, identity, words) => {
    expect(await codeOf(desk(), token(grant), identity)).toContain(words);
  });

  it('lets coordinators in as the membership is now, and one that is to be added by a token with its name', async () => {
    const ids = new Set(['c1']);
    const gate = desk({ coordinatorIds: () => ids });
    const c2: Identity = { clusterName: 'prod', role: 'coordinator', name: 'c2' };
    const { request } = await createRequest(c2, [], []);
    const renewed = (): Promise<object> => gate.renew(c2, request, Date.now());
    expect(await codeOf(gate, token({ role: 'coordinator' }), c2)).toContain('FORBIDDEN c2 is no coordinator');
    expect(await codeOf(gate, token({ role: 'coordinator', name: 'c3' }), c2)).toContain('FORBIDDEN');
    expect(await codeOf(gate, token({ role: 'coordinator', name: 'c2' }), c2)).toBe('admitted');
    await expect(renewed()).rejects.toMatchObject({ code: 'FORBIDDEN' });
    ids.add('c2');
    expect(await codeOf(gate, token({ role: 'coordinator' }), c2)).toBe('admitted');
    expect(await renewed()).toMatchObject({ identity: c2 });
    ids.delete('c2');
    await expect(renewed()).rejects.toMatchObject({ code: 'FORBIDDEN' });
  });

  it('takes a token as often as it says', async () => {
    const gate = desk();
    const twice = token({ uses: 2 });
    expect([await codeOf(gate, twice), await codeOf(gate, twice)]).toEqual(['admitted', 'admitted']);
    expect(await codeOf(gate, twice)).toContain('FORBIDDEN the token was used 2 times');
    expect(await codeOf(gate, token({ uses: 1 }))).toBe('admitted');
  });

  it('signs with its own authority in the middle of a rotation, and not once that is dropped', async () => {
    const now = Date.now();
    const key = readFileSync(pki.caKeyFile, 'utf8');
    const before = desk({ authorityKey: () => key });
    const following = desk();
    const given = token();
    expect(given).toContain(certificateHash(pki.signing));
    await pki.rotate('trust', validFor(DAY_MS, now), validFor(DAY_MS, now));
    expect(await codeOf(before, given)).toBe('admitted');
    await pki.rotate('switch', validFor(DAY_MS, now), validFor(DAY_MS, now));
    await pki.rotate('drop', validFor(DAY_MS, now), validFor(DAY_MS, now));
    expect(await codeOf(before, given)).toContain('INVALID_DOCUMENT tls.caKeyFile is the key of no authority');
    expect(await codeOf(following, token())).toBe('admitted');
  });
});
