/** Writes that fill a state, and writes that tell how it is to write at all. */
import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchCluster } from './bench-cluster.ts';
import { Latencies } from './latency.ts';
import { benchMessage } from './workload.ts';

const FILL_CALLERS = 4;
const FILL_PAYLOAD_BYTES = 512 * 1024;
const REFUSED_PAUSE_MS = 100;
const REQUEST_TIMEOUT_MS = 30_000;
const UNAVAILABLE = 503;
/** Begun this often, whether the one before is through or not: a slow answer keeps nothing from being measured. */
const LIGHT_GAP_MS = 20;
const LIGHT_SOCKETS = 64;

/** Messages of half a MiB, until their payloads are so much. */
export async function fillState(cluster: BenchCluster, bytes: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: FILL_CALLERS });
  const { leader } = await cluster.status();
  const server = cluster.serverOf(leader ?? '');
  const body = JSON.stringify({ event_type: 'filling', padding: 'x'.repeat(FILL_PAYLOAD_BYTES) });
  let left = Math.ceil(bytes / body.length);
  const fill = async (): Promise<void> => {
    while (left-- > 0) {
      while ((await send(agent, server, cluster.apiKey, body)) === UNAVAILABLE) await delay(REFUSED_PAUSE_MS);
    }
  };
  await Promise.all(Array.from({ length: FILL_CALLERS }, fill)).finally(() => agent.destroy());
}

/** A small message every few milliseconds to one coordinator, until it is stopped. */
export class LightLoad {
  readonly latencies = new Latencies();
  failures = 0;
  firstFailure: string | undefined;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: LIGHT_SOCKETS });
  readonly #timer: NodeJS.Timeout;
  readonly #open = new Set<Promise<void>>();
  #sent = 0;

  constructor(server: string, apiKey: string | undefined) {
    this.#timer = setInterval(() => {
      const one = this.#send(server, apiKey).finally(() => this.#open.delete(one));
      this.#open.add(one);
    }, LIGHT_GAP_MS);
  }

  async #send(server: string, apiKey: string | undefined): Promise<void> {
    const startedMs = performance.now();
    try {
      const status = await send(this.#agent, server, apiKey, benchMessage(this.#sent++, false));
      if (status === UNAVAILABLE) throw new Error('refused by 503');
      this.latencies.record(performance.now() - startedMs);
    } catch (error) {
      this.failures++;
      this.firstFailure ??= error instanceof Error ? error.message : String(error);
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#open);
    this.#agent.destroy();
  }
}

/** 202 or 503. @throws Error: anything else. */
async function send(agent: Agent, server: string, apiKey: string | undefined, body: string): Promise<number> {
  const headers = {
    'content-type': 'application/json',
    ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
  };
  return new Promise((resolve, reject) => {
    const sent = request(`${server}/api/v1/messages`, { method: 'POST', agent, headers, timeout: REQUEST_TIMEOUT_MS });
    sent.once('error', reject);
    sent.once('timeout', () => sent.destroy(new Error('no answer in time')));
    sent.once('response', (response) => {
      response.resume();
      response.once('error', reject);
      response.once('end', () => {
        const { statusCode = 0 } = response;
        if (statusCode === 202 || statusCode === UNAVAILABLE) resolve(statusCode);
        else reject(new Error(`answered by ${statusCode}`));
      });
    });
    sent.end(body);
  });
}
