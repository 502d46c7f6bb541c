import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../cli/free-ports.ts';
import { runProgram, stopChild } from '../children.ts';
import { buildGo } from './go-programs.ts';

const SOURCE_DIR = join(import.meta.dirname, 'etcd');
const READY_LIMIT_MS = 30_000;
const READY_POLL_MS = 100;

export interface EtcdPrograms {
  server: string;
  load: string;
}

export interface EtcdRun {
  members: number;
  callers: number;
  valueBytes: number;
  durationMs: number;
  dataRoot?: string;
}

/** What `bench/peers/etcd/load` prints; a put counts once it is acknowledged inside the counted time. */
export interface EtcdResult {
  puts: number;
  errors: number;
  putsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  firstFailure?: string;
}

/** The pinned server and load generator (see `etcd/go.mod`). Throws when there is neither Go nor a module proxy. */
export function buildEtcd(progress: (line: string) => void): Promise<EtcdPrograms> {
  return buildGo('etcd', SOURCE_DIR, { server: 'server', load: 'load' }, progress);
}

/** Starts a fresh cluster on loopback with its default durability (every commit is synced), loads it, and removes it. */
export async function measureEtcd(programs: EtcdPrograms, run: EtcdRun): Promise<EtcdResult> {
  const dataDir = mkdtempSync(join(run.dataRoot ?? tmpdir(), 'distric-bench-etcd-'));
  const children: ChildProcess[] = [];
  try {
    const clientPorts = await startMembers(programs, run.members, dataDir, children);
    await Promise.all(clientPorts.map((port) => untilHealthy(port)));
    const output = await runProgram(
      programs.load,
      [
        `-endpoints=${clientPorts.map((port) => `127.0.0.1:${String(port)}`).join(',')}`,
        `-callers=${String(run.callers)}`,
        `-value-bytes=${String(run.valueBytes)}`,
        `-duration=${String(run.durationMs)}ms`,
      ],
      { timeoutMs: run.durationMs + 60_000 },
    );
    return JSON.parse(output) as EtcdResult;
  } finally {
    await Promise.all(children.map((child) => stopChild(child)));
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function startMembers(
  programs: EtcdPrograms,
  count: number,
  dataDir: string,
  children: ChildProcess[],
): Promise<number[]> {
  const ports = await freePorts(count * 2);
  const members = Array.from({ length: count }, (_, index) => ({
    name: `etcd-${String(index)}`,
    client: ports[index * 2] ?? 0,
    peer: ports[index * 2 + 1] ?? 0,
  }));
  const cluster = members.map(({ name, peer }) => `${name}=http://127.0.0.1:${String(peer)}`).join(',');
  for (const { name, client, peer } of members) {
    const clientUrl = `http://127.0.0.1:${String(client)}`;
    const peerUrl = `http://127.0.0.1:${String(peer)}`;
    const args = ['--name', name, '--data-dir', join(dataDir, name), '--log-level', 'error'];
    args.push('--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl);
    args.push('--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl);
    args.push('--initial-cluster', cluster, '--initial-cluster-state', 'new');
    args.push('--quota-backend-bytes', String(8 * 1024 ** 3));
    children.push(spawn(programs.server, args, { stdio: 'ignore' }));
  }
  return members.map(({ client }) => client);
}

async function untilHealthy(port: number): Promise<void> {
  const deadline = performance.now() + READY_LIMIT_MS;
  for (;;) {
    try {
      const answer = await fetch(`http://127.0.0.1:${String(port)}/health`, { signal: AbortSignal.timeout(1_000) });
      if (answer.ok) return;
    } catch {
      // Not listening yet.
    }
    if (performance.now() > deadline) throw new Error(`etcd on port ${String(port)} did not become healthy`);
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  }
}
