/** The client over mutual TLS: whom it takes, who takes it, what it is told otherwise, and certificates that change. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { TlsFiles } from '../api/tls.ts';
import { DistricError } from '../base/errors.ts';
import { TlsTransport, type TlsMaterial } from '../node/io/net/tls-transport.ts';
import { DAY_MS, validFor, type Validity } from '../pki/authority.ts';
import { PkiDirectory } from '../pki/pki-directory.ts';
import { DistricClient, type ClientOptions } from './client.ts';
import { openTls } from './client-tls.ts';
import { TestCoordinator, TestState } from './test-coordinator.ts';

type Role = 'coordinator' | 'worker' | 'client';

const closers: (() => Promise<void>)[] = [];
let root: string;
let ours: PkiDirectory;
let theirs: PkiDirectory;
let state: TestState;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'distric-client-'));
  ours = await PkiDirectory.create(join(root, 'ours'), 'test', validFor(DAY_MS, Date.now()));
  theirs = await PkiDirectory.create(join(root, 'theirs'), 'test', validFor(DAY_MS, Date.now()));
});

beforeEach(() => {
  state = new TestState();
});

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

afterAll(() => {
  rmSync(root, { recursive: true });
});

const past = (): Validity => ({ notBeforeMs: Date.now() - DAY_MS, notAfterMs: Date.now() - 60_000 });
const valid = (): Validity => validFor(DAY_MS, Date.now());

async function files(role: Role, name: string, validity = valid(), pki = ours): Promise<TlsFiles> {
  const { folder } = await pki.issue({ role, name, validity });
  const [certificateFile = '', keyFile = '', caFile = ''] = ['node.crt', 'node.key', 'ca.crt'].map((file) =>
    join(folder, file),
  );
  return { certificateFile, keyFile, caFile };
}

async function material(role: Role, name: string, validity = valid(), pki = ours): Promise<TlsMaterial> {
  const { certificateFile, keyFile, caFile } = await files(role, name, validity, pki);
  const [certificate = '', key = '', authorities = ''] = [certificateFile, keyFile, caFile].map((file) =>
    readFileSync(file, 'utf8'),
  );
  return { certificate, key, authorities };
}

async function coordinator(id: string, tls?: TlsMaterial): Promise<TestCoordinator> {
  const transport = new TlsTransport('test', tls ?? (await material('coordinator', id)));
  const started = await new TestCoordinator(id, state, transport).start();
  closers.push(() => started.crash());
  return started;
}

async function connect(options: ClientOptions, deadlineMs = 20_000): Promise<DistricClient> {
  const client = await DistricClient.connect(options, { deadlineMs });
  closers.push(() => client.close());
  return client;
}

async function refusalOf(options: ClientOptions, deadlineMs?: number): Promise<DistricError> {
  try {
    await connect(options, deadlineMs);
  } catch (error) {
    if (error instanceof DistricError) return error;
    throw error;
  }
  throw new Error('it was let in');
}

describe('a client over TLS', () => {
  it('sends under its certificate, without a key', async () => {
    const c1 = await coordinator('c1');
    const client = await connect({ servers: [c1.address], tls: await material('client', 'shop') });
    expect(await client.send([{ payload: { a: 1 } }])).toMatchObject([{ accepted: { duplicate: false } }]);
    expect(c1.hellos).toHaveLength(1);
  });

  const refusedClients: [string, () => Promise<TlsMaterial>, RegExp][] = [
    ['certificate_expired', () => material('client', 'shop', past()), /its time is over; .*distric pki issue client/],
    [
      'certificate_untrusted',
      async () => ({
        ...(await material('client', 'shop', valid(), theirs)),
        authorities: readFileSync(ours.caFile, 'utf8'),
      }),
      /no authority that the coordinator trusts/,
    ],
    ['certificate_of_another_role', () => material('worker', 'w1'), /only certificates of clients and operators/],
  ];

  it.each(refusedClients)('is told why it is refused, and the way out: %s', async (reason, own, words) => {
    const c1 = await coordinator('c1');
    const error = await refusalOf({ servers: [c1.address], tls: await own() });
    expect(error).toMatchObject({ code: 'UNAUTHENTICATED', fields: [{ reason }] });
    expect(error.message).toContain(`${c1.address} refuses this client: ${reason}`);
    expect(error.message).toMatch(words);
  });

  const refusedServers: [string, () => Promise<TlsMaterial>, RegExp][] = [
    ['certificate_expired', () => material('coordinator', 'c1', past()), /renew the certificate of that coordinator/],
    ['certificate_untrusted', () => material('coordinator', 'c1', valid(), theirs), /give the cluster's ca\.crt/],
    ['certificate_of_another_role', () => material('worker', 'c1'), /no coordinator: look at the servers/],
  ];

  it.each(refusedServers)('says whom it refuses, tells it nothing: %s', async (reason, server, words) => {
    const c1 = await coordinator('c1', await server());
    const tls = await material('client', 'shop');
    const error = await refusalOf({ servers: [c1.address], tls, apiKey: 'dk_a_b' });
    expect(error).toMatchObject({ code: 'UNAUTHENTICATED', fields: [{ reason }] });
    expect(error.message).toContain(`${c1.address} is refused here: ${reason}`);
    expect(error.message).toMatch(words);
    expect(c1.hellos).toEqual([]);
  });

  it('is told that its HELLO names another cluster', async () => {
    const plain = await new TestCoordinator('c1', state).start();
    closers.push(() => plain.crash());
    const error = await refusalOf({ servers: [plain.address], clusterName: 'other' });
    expect(error).toMatchObject({
      code: 'UNAUTHENTICATED',
      fields: [{ field: 'clusterName', reason: 'wrong_cluster' }],
    });
  });

  it('goes to a coordinator that it can trust, when another is not', async () => {
    const [c1, c2] = [await coordinator('c1', await material('coordinator', 'c1', past())), await coordinator('c2')];
    state.leaderId = 'c2';
    const client = await connect({ servers: [c1.address, c2.address], tls: await material('client', 'shop') });
    expect(client.address).toBe(c2.address);
  });

  it('says at its deadline why it did not get through', async () => {
    const error = await refusalOf({ servers: ['127.0.0.1:1'], tls: await material('client', 'shop') }, 300);
    expect(error.code).toBe('NO_LEADER');
    expect(error.message).toMatch(/ECONNREFUSED/);
  });

  it('refuses what is no certificate of a client at once', async () => {
    const tls = { certificateFile: join(root, 'none'), keyFile: '', caFile: '' };
    expect(await refusalOf({ servers: ['127.0.0.1:1'], tls })).toMatchObject({ code: 'INVALID_DOCUMENT' });
    const text = { certificate: 'text', key: '', authorities: '' };
    expect(await refusalOf({ servers: ['127.0.0.1:1'], tls: text })).toMatchObject({ code: 'INVALID_REQUEST' });
  });

  it('takes over certificates that change, and loses nothing by it', async () => {
    const transport = new TlsTransport('test', await material('coordinator', 'c1'));
    const c1 = await new TestCoordinator('c1', state, transport).start();
    closers.push(() => c1.crash());
    const tls = await files('client', 'shop');
    let changed: (() => void) | undefined;
    const taken = new Promise<void>((resolve) => (changed = resolve));
    const client = await connect({
      servers: [c1.address],
      tls,
      log: {
        debug: () => undefined,
        warn: () => undefined,
        info: (_, text) => {
          if (text === 'certificates reloaded') changed?.();
        },
      },
    });
    await client.send([{ payload: { n: 0 } }]);
    await ours.issue({ role: 'client', name: 'shop', validity: valid() });
    const sending = client.send([{ payload: { n: 1 } }]);
    await taken;
    const outcomes = [...(await sending), ...(await client.send([{ payload: { n: 2 } }]))];
    expect(outcomes.every((outcome) => 'accepted' in outcome)).toBe(true);
    expect(c1.hellos).toHaveLength(2);
    expect(state.byKey.size).toBe(3);
  }, 30_000);
});

describe('openTls', () => {
  it('keeps the certificate in use when the files hold another identity', async () => {
    const tls = await files('client', 'shop');
    const changes: number[] = [];
    const log = { debug: () => undefined, info: () => undefined, warn: () => undefined };
    const opened = openTls(tls, undefined, log, () => void changes.push(1));
    expect(opened.clusterName).toBe('test');
    const other = await material('client', 'other');

    writeFileSync(tls.certificateFile, other.certificate);
    writeFileSync(tls.keyFile, other.key);
    opened.watch?.look();
    expect(changes).toEqual([]);
    opened.watch?.close();
  });
});
