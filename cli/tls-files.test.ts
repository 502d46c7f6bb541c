import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { DAY_MS } from '../pki/authority.ts';
import { PkiDirectory } from '../pki/pki-directory.ts';
import { planCluster } from './cluster-plan.ts';
import type { ClusterFile } from './cluster-file.ts';
import { ensureCertificates, localClientTls, tlsSettings } from './tls-files.ts';

let dataDir: string;
let file: ClusterFile;

beforeEach(async () => {
  dataDir = mkdtempSync(path.join(tmpdir(), 'distric-tls-'));
  file = await planCluster({ dataDir, tls: true, coordinators: 1, workers: 1 });
  await ensureCertificates(dataDir, file, file.nodes);
});

afterEach(() => {
  rmSync(dataDir, { recursive: true });
});

function pki(): PkiDirectory {
  return PkiDirectory.open(path.join(dataDir, 'pki'));
}

/** Gives `name` a certificate with so many of 90 days left. */
async function age(role: 'worker' | 'client' | 'coordinator', name: string, daysLeft: number): Promise<string> {
  const notAfterMs = Date.now() + daysLeft * DAY_MS;
  await pki().issue({ role, name, validity: { notBeforeMs: notAfterMs - 90 * DAY_MS, notAfterMs } });
  return serialOf(role, name);
}

function serialOf(role: string, name: string): string {
  const certificate = readFileSync(path.join(dataDir, 'pki', 'issued', `${role}-${name}`, 'node.crt'));
  return new X509Certificate(certificate).serialNumber;
}

describe('the certificates of a local cluster', () => {
  it('are made anew at a start when less than a third of their life is left, with the names they had', async () => {
    const soon = await age('coordinator', 'coordinator-1', 29);
    const later = await age('worker', 'worker-1', 31);
    await ensureCertificates(dataDir, file, file.nodes);
    expect(serialOf('coordinator', 'coordinator-1')).not.toBe(soon);
    expect(serialOf('worker', 'worker-1')).toBe(later);
    const made = pki().issued.find(({ identity }) => identity.role === 'coordinator');
    expect(made?.certificate.checkHost('localhost')).toBe('localhost');
  });

  it('are left to nodes that run', async () => {
    const soon = await age('worker', 'worker-1', 1);
    await ensureCertificates(dataDir, file, []);
    expect(serialOf('worker', 'worker-1')).toBe(soon);
    const [coordinator, worker] = file.nodes;
    expect(tlsSettings(dataDir, file, worker!)).toMatchObject({ join: { address: coordinator?.http } });
  });

  it('of commands are made anew when they are used', async () => {
    const soon = await age('client', 'distric-cli', 10);
    const { certificate = '' } = await localClientTls(dataDir);
    expect(new X509Certificate(certificate).serialNumber).not.toBe(soon);
    expect((await localClientTls(dataDir)).certificate).toBe(certificate);
  });
});
