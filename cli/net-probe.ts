/** Round trips to one port, by a TCP connection or by a datagram that a node answers. */
import { lookup } from 'node:dns/promises';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { GossipKeys } from '../api/gossip-keys.ts';
import type { Address } from '../base/address.ts';
import { DatagramProbe } from '../client/datagram-probe.ts';
import { CliError, EXIT } from './exit-code.ts';

/** One try: the time it took, or why there was no answer. */
export interface ProbeOutcome {
  sequence: number;
  address: string;
  ms?: number;
  failure?: string;
}

/** What the tries of one address add up to; the times are left out when none was answered. */
export interface ProbeSummary {
  address: string;
  sent: number;
  answered: number;
  lost_percent: number;
  min_ms?: number;
  avg_ms?: number;
  max_ms?: number;
  last_failure?: string;
}

export interface ProbePlan {
  protocol: 'tcp' | 'udp';
  /** Tries per address. */
  count: number;
  intervalMs: number;
  /** How long one answer is waited for. */
  waitMs: number;
  keys?: GossipKeys;
}

/** Every IP address of a host, in the order that the system prefers. */
export async function resolveHost(host: string): Promise<string[]> {
  try {
    const found = await lookup(host, { all: true });
    return [...new Set(found.map(({ address }) => address))];
  } catch (error) {
    throw new CliError(EXIT.NOT_FOUND, `the host ${JSON.stringify(host)} has no address: ${codeOf(error)}`);
  }
}

/** Tries all addresses in turn, `count` times; stops early when `signal` fires. */
export async function probeAll(
  targets: readonly Address[],
  plan: ProbePlan,
  onOutcome: (target: Address, outcome: ProbeOutcome) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const datagrams = new Map<string, DatagramProbe>();
  try {
    for (let sequence = 1; sequence <= plan.count; sequence++) {
      if (sequence > 1) await delay(plan.intervalMs, undefined, signal === undefined ? {} : { signal });
      for (const target of targets) {
        if (signal?.aborted === true) return;
        onOutcome(target, { sequence, address: target.host, ...(await probe(target, plan, datagrams)) });
      }
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  } finally {
    for (const one of datagrams.values()) one.close();
  }
}

export function summarize(address: string, outcomes: readonly ProbeOutcome[]): ProbeSummary {
  const times = outcomes.flatMap(({ ms }) => (ms === undefined ? [] : [ms]));
  const failure = outcomes.findLast((outcome) => outcome.failure !== undefined)?.failure;
  const sent = outcomes.length;
  const lost = sent === 0 ? 0 : Math.round(((sent - times.length) / sent) * 1_000) / 10;
  const summary: ProbeSummary = { address, sent, answered: times.length, lost_percent: lost };
  if (times.length > 0) {
    summary.min_ms = Math.min(...times);
    summary.avg_ms = rounded(times.reduce((sum, ms) => sum + ms, 0) / times.length);
    summary.max_ms = Math.max(...times);
  }
  if (failure !== undefined) summary.last_failure = failure;
  return summary;
}

async function probe(
  target: Address,
  { protocol, waitMs, keys }: ProbePlan,
  datagrams: Map<string, DatagramProbe>,
): Promise<{ ms: number } | { failure: string }> {
  try {
    const ms = protocol === 'tcp' ? await connectMs(target, waitMs) : await ping(target, waitMs, keys, datagrams);
    return ms === undefined ? { failure: `no answer in ${waitMs} ms` } : { ms: rounded(ms) };
  } catch (error) {
    return { failure: codeOf(error) };
  }
}

function ping(
  target: Address,
  waitMs: number,
  keys: GossipKeys | undefined,
  datagrams: Map<string, DatagramProbe>,
): Promise<number | undefined> {
  const family = DatagramProbe.familyOf(target.host);
  const probe = datagrams.get(family) ?? new DatagramProbe(family, keys);
  datagrams.set(family, probe);
  return probe.ping(target, waitMs);
}

/** One round trip: a connection is there once the other side has answered. */
function connectMs({ host, port }: Address, waitMs: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    const socket = connect({ host, port });
    const timer = setTimeout(() => {
      socket.destroy();
      resolve(undefined);
    }, waitMs);
    socket.once('connect', () => {
      const elapsedMs = performance.now() - startedMs;
      clearTimeout(timer);
      socket.destroy();
      resolve(elapsedMs);
    });
    socket.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}

function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return String(error);
  if ('code' in error) return String(error.code);
  return error instanceof Error ? error.message : 'unknown';
}
