/** A cluster whose nodes and REST speak TLS: it works, keeps strangers out, changes its certificates, and lets a worker join. */
import { once } from 'node:events';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { connect, getCACertificates, setDefaultCACertificates } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { stringify } from 'yaml';
import type { AcceptedMessage, AuditList, InstanceResource } from '../api/rest.ts';
import { Random } from '../base/random.ts';
import { captureIo } from '../cli/captured-io.ts';
import { EXIT } from '../cli/exit-code.ts';
import { freePorts } from '../cli/free-ports.ts';
import { isNodeProcess, signalNode, startNodeProcess, waitUntilGone } from '../cli/node-process.ts';
import { run } from '../cli/program.ts';
import { DAY_MS, validFor } from '../pki/authority.ts';
import { certificateHash } from '../pki/pem.ts';
import { AUTHORITY_MS, CERTIFICATE_MS, PkiDirectory, ROTATION_STEPS } from '../pki/pki-directory.ts';
import { metricValue, scrape } from './exposition.ts';
import { LoadClient } from './load-client.ts';
import { call, get, put } from './rest-call.ts';
import { TestCluster } from './test-cluster.ts';
import { until } from './until.ts';

const TIMEOUT_MS = 180_000;
const WAIT_MS = 30_000;
/** Twice round. */
const ROTATIONS = [...ROTATION_STEPS, ...ROTATION_STEPS];

let cluster: TestCluster;
let pki: PkiDirectory;
let server: string;

beforeAll(async () => {
  cluster = await TestCluster.start({ coordinators: 3, workers: 1, profile: 'fast', tls: true });
  pki = PkiDirectory.open(path.join(cluster.processes.dataDir, 'pki'));
  trust();
  server = cluster.servers[0]!;
  await put(server, '/workflow-definitions/note', { id: 'note', tasks: [{ id: 'say', type: 'log' }] });
  const conditions = { field: 'noted', op: 'equals', value: true };
  await put(server, '/rules/note', { id: 'note', conditions, actions: [{ workflow: 'note' }] });
}, TIMEOUT_MS);

afterAll(async () => {
  await cluster.end();
}, TIMEOUT_MS);

/** For `fetch`, which takes no authorities of its own. */
function trust(): void {
  setDefaultCACertificates([...getCACertificates('bundled'), cluster.processes.authorities ?? '']);
}

async function runOne(): Promise<string[]> {
  const { body } = await call<AcceptedMessage>(server, 'POST', '/messages', { body: '{"noted":true}' });
  const [id] = body.instances;
  const instance = await until('the instance ends', WAIT_MS, async () => {
    const found = await get<InstanceResource>(server, `/workflows/${id ?? ''}`);
    return found.status === 'COMPLETED' ? found : undefined;
  });
  return instance.tasks.map(({ worker }) => worker ?? '');
}

async function errorCount(id: string, type: string): Promise<number> {
  return metricValue(await scrape(cluster.observability(id)), 'tcp_errors_total', { error_type: type });
}

async function shownFrom(folder: string): Promise<{ cert: Buffer; key: Buffer }> {
  return { cert: await readFile(path.join(folder, 'node.crt')), key: await readFile(path.join(folder, 'node.key')) };
}

/** Leaves worker-9 with a certificate that has a day of a month left. */
async function ageCertificate(folder: string): Promise<void> {
  const now = Date.now();
  const validity = { notBeforeMs: now - 29 * DAY_MS, notAfterMs: now + DAY_MS };
  const issued = await pki.issue({ role: 'worker', name: 'worker-9', validity });
  for (const file of ['node.crt', 'node.key', 'ca.crt'])
    await copyFile(path.join(issued.folder, file), path.join(folder, file));
}

/** Every node looks at its files now; resolves when all use what is in them, which they may have found by themselves. */
async function reload(): Promise<void> {
  const serials = new Map(pki.issued.map(({ identity, certificate }) => [identity.name, certificate.serialNumber]));
  const authorities = pki.trusted.map(certificateHash).sort();
  for (const { id } of cluster.processes.nodes) await cluster.processes.kill(id, 'SIGHUP');
  for (const { id } of cluster.processes.nodes) {
    await until(`${id} reloads its certificates`, WAIT_MS, async () => {
      const used = (await cluster.logged(id, 'certificates reloaded')).at(-1);
      const inUse = [used?.['serial'], [used?.['authorities']].flat().sort()];
      return isDeepStrictEqual(inUse, [serials.get(id), authorities]) ? true : undefined;
    });
  }
}

describe('a cluster over TLS', () => {
  it(
    'runs workflows, and says how long its certificates last',
    async () => {
      expect(server).toMatch(/^https:/);
      expect(await runOne()).toEqual(['worker-1']);
      const { dataDir } = cluster.processes;
      const io = captureIo({ cwd: dataDir });
      expect(await run(['send', '{"noted":true}', '--binary', '--data', dataDir], io)).toBe(EXIT.OK);
      expect(io.out()).toContain('workflow/note started');
      for (const { id } of cluster.processes.nodes) {
        const metrics = await scrape(cluster.observability(id));
        const days = (kind: string): number =>
          metricValue(metrics, 'distric_certificate_expiry_seconds', { kind }) / 86_400;
        expect([Math.round(days('node')), Math.round(days('ca'))]).toEqual([90, 3_650]);
      }
    },
    TIMEOUT_MS,
  );

  it(
    'keeps out who has no certificate, a foreign one, or none of a node, and says why',
    async () => {
      const other = await PkiDirectory.create(
        path.join(cluster.processes.dataDir, 'other'),
        'distric',
        validFor(AUTHORITY_MS, Date.now()),
      );
      const validity = validFor(CERTIFICATE_MS, Date.now());
      const foreign = await other.issue({ role: 'worker', name: 'worker-1', validity });
      const { peer } = cluster.processes.node('coordinator-1');
      const port = Number(peer.slice(peer.lastIndexOf(':') + 1));
      for (const [options, reason] of [
        [{}, 'certificate_missing'],
        [await shownFrom(foreign.folder), 'certificate_untrusted'],
      ] as const) {
        const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
        socket.on('error', () => undefined).resume();
        await once(socket, 'close');
        // The socket is closed before the fault is counted and written down.
        const seen = await until('it is counted and logged', WAIT_MS, async () => {
          const counted = await errorCount('coordinator-1', reason);
          const logged = (await cluster.logged('coordinator-1', reason)).length;
          return counted > 0 && logged > 0 ? { counted, logged } : undefined;
        });
        expect(seen).toEqual({ counted: 1, logged: 1 });
      }
      expect(await runOne()).toEqual(['worker-1']);
    },
    TIMEOUT_MS,
  );

  it(
    'replaces its authority under load, and no request fails for it',
    async () => {
      const load = new LoadClient({
        servers: cluster.servers,
        random: new Random(7),
        loops: 4,
        itemsPerBatch: 10,
        pauseMs: 5,
        payload: () => ({ noted: false }),
        name: 'rotation',
      });
      const before = pki.signing.fingerprint256;
      for (const step of ROTATIONS) {
        await pki.rotate(step, validFor(AUTHORITY_MS, Date.now()), validFor(CERTIFICATE_MS, Date.now()));
        trust();
        await reload();
      }
      await load.finish();
      const sent = [...load.sent.values()];
      expect(pki.signing.fingerprint256).not.toBe(before);
      expect(sent.length).toBeGreaterThan(100);
      expect(
        sent.filter(({ refused, unknown, acknowledged }) => refused + unknown > 0 || acknowledged.length !== 1),
      ).toEqual([]);
      for (const { id } of cluster.processes.nodes) {
        // At the start some are not there yet; later on no link may be lost.
        const lost = (await cluster.logged(id, 'link lost or not made')).map(({ reason }) => String(reason));
        expect(lost.filter((reason) => !reason.includes('ECONNREFUSED'))).toEqual([]);
        expect(await errorCount(id, 'certificate_untrusted')).toBe(id === 'coordinator-1' ? 1 : 0);
      }
      expect(await runOne()).toEqual(['worker-1']);
    },
    TIMEOUT_MS,
  );

  it(
    'lets a worker join by a token, which then takes part and renews its certificate',
    async () => {
      const [metricsPort = 0] = await freePorts(1);
      const dir = path.join(cluster.processes.dataDir, 'worker-9');
      await mkdir(dir);
      const configFile = path.join(dir, 'config.yaml');
      const coordinators = cluster.processes.nodes
        .filter(({ role }) => role === 'coordinator')
        .map(({ id, peer }) => ({ id, address: peer }));
      const token = pki.joinToken({ role: 'worker', name: 'worker-9', expiresMs: Date.now() + 300_000, uses: 1 });
      await writeFile(
        configFile,
        stringify({
          nodeId: 'worker-9',
          role: 'worker',
          dataDir: path.join(dir, 'data'),
          coordinators,
          metrics: { port: metricsPort },
          tls: { mode: 'required', join: { token, address: cluster.processes.node('coordinator-1').http } },
        }),
      );
      const logFile = cluster.processes.logFile('worker-9');
      let { pid } = await startNodeProcess(configFile, logFile, process.env);
      try {
        await until('the new worker is registered', WAIT_MS, async () => {
          const { workers } = await cluster.status('coordinator-1');
          return workers.some(({ id, status }) => id === 'worker-9' && status === 'alive') ? true : undefined;
        });
        expect(isNodeProcess(pid, configFile)).toBe(true);
        const log = await readFile(logFile, 'utf8');
        expect(log).toContain('joined: this node has its certificate');
        expect(log).not.toContain(token.split('@')[0]);
        signalNode(pid, configFile, 'SIGKILL');
        await waitUntilGone(pid, configFile, WAIT_MS);
        await ageCertificate(path.join(dir, 'data', 'tls'));
        ({ pid } = await startNodeProcess(configFile, logFile, process.env));
        await until('it renews its certificate', WAIT_MS, async () =>
          (await readFile(logFile, 'utf8')).includes('this node has renewed its certificate') ? true : undefined,
        );
        await until('both are on record', WAIT_MS, async () => {
          const { entries } = await get<AuditList>(server, '/audit');
          const rows = entries.filter(({ target }) => target === 'worker/worker-9').map(({ action }) => action);
          return rows.join() === 'node.renew,node.join' ? true : undefined;
        });
        const joined = await until('it is in the log', WAIT_MS, async () => {
          const lines = await cluster.logged('coordinator-1', 'a node joined by a token');
          return lines.length > 0 ? lines : undefined;
        });
        expect(joined).toHaveLength(1);
      } finally {
        signalNode(pid, configFile, 'SIGKILL');
        await waitUntilGone(pid, configFile, WAIT_MS);
      }
    },
    TIMEOUT_MS,
  );
});
