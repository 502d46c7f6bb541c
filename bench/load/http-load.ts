/**
 * The load generator, a process of its own: N callers, each with one request under way, over kept-alive connections
 * to all coordinators. Takes a LoadPlan as JSON in its only argument, prints a LoadResult as one line of JSON.
 * A message counts when its answer says accepted.
 */
import { Agent, request } from 'node:http';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { Latencies } from '../latency.ts';
import { cpuSeconds, type LoadPlan, type LoadResult } from '../load-plan.ts';
import { benchMessages } from '../workload.ts';

/** Bodies are made before the clock starts and sent in turn. */
const BODIES = 64;
const REFUSED_PAUSE_MS = 5;
const REQUEST_TIMEOUT_MS = 30_000;
const SAMPLES_MAX = 500;

interface Answer {
  status: number;
  text: string;
}

interface Accepted {
  accepted: number;
  refused: number;
  instances: readonly string[];
}

class Load {
  readonly #plan: LoadPlan;
  readonly #agent: Agent;
  readonly #bodies: readonly Buffer[];
  readonly #latencies = new Latencies();
  readonly #samples: string[] = [];
  readonly #startMs: number;
  readonly #endMs: number;
  #sentRequests = 0;
  #acknowledgedInTime = 0;
  #acknowledged = 0;
  #refused = 0;
  #errors = 0;
  #firstFailure: string | undefined;

  constructor(plan: LoadPlan) {
    this.#plan = plan;
    this.#agent = new Agent({ keepAlive: true, maxSockets: plan.callers });
    this.#bodies = Array.from({ length: BODIES }, (_, index) => {
      const messages = benchMessages(index * plan.batchSize, plan.batchSize, plan.matchEvery);
      return Buffer.from(messages.join('\n'));
    });
    this.#startMs = performance.now() + plan.warmupMs;
    this.#endMs = plan.durationMs === undefined ? Infinity : this.#startMs + plan.durationMs;
  }

  async run(): Promise<LoadResult> {
    await Promise.all(Array.from({ length: this.#plan.callers }, (_, caller) => this.#call(caller)));
    this.#agent.destroy();
    const countedMs = Math.min(performance.now(), this.#endMs) - this.#startMs;
    return {
      acknowledged: this.#acknowledged,
      refused: this.#refused,
      errors: this.#errors,
      perSecond: (1_000 * this.#acknowledgedInTime) / countedMs,
      cpuSeconds: cpuSeconds(),
      p50Ms: this.#latencies.percentileMs(0.5),
      p99Ms: this.#latencies.percentileMs(0.99),
      instances: this.#samples,
      ...(this.#firstFailure === undefined ? {} : { firstFailure: this.#firstFailure }),
    };
  }

  async #call(caller: number): Promise<void> {
    const { servers, batchSize, messages } = this.#plan;
    const server = servers[caller % servers.length] ?? '';
    while (performance.now() < this.#endMs) {
      if (messages !== undefined && this.#sentRequests * batchSize >= messages) return;
      const body = this.#bodies[this.#sentRequests % this.#bodies.length] ?? Buffer.alloc(0);
      this.#sentRequests += 1;
      await this.#send(server, body);
    }
  }

  async #send(server: string, body: Buffer): Promise<void> {
    const sentMs = performance.now();
    try {
      const answer = await this.#post(server, body);
      const answeredMs = performance.now();
      if (answer.status === 202) this.#count(readAnswer(answer.text), sentMs, answeredMs);
      else await this.#refuse(answer);
    } catch (error) {
      this.#errors += 1;
      this.#firstFailure ??= error instanceof Error ? error.message : String(error);
      await delay(REFUSED_PAUSE_MS);
    }
  }

  #count({ accepted, refused, instances }: Accepted, sentMs: number, answeredMs: number): void {
    this.#acknowledged += accepted;
    this.#refused += refused;
    if (answeredMs < this.#startMs || answeredMs > this.#endMs) return;
    this.#acknowledgedInTime += accepted;
    this.#latencies.record(answeredMs - sentMs);
    if (this.#samples.length < SAMPLES_MAX) this.#samples.push(...instances.slice(0, 1));
  }

  /** 429 and 503 say that nothing was kept; a caller that is told to wait waits a little. */
  async #refuse({ status, text }: Answer): Promise<void> {
    this.#firstFailure ??= `${status}: ${text.slice(0, 300)}`;
    if (status === 429 || status === 503) this.#refused += this.#plan.batchSize;
    else this.#errors += 1;
    await delay(REFUSED_PAUSE_MS);
  }

  #post(server: string, body: Buffer): Promise<Answer> {
    const type = this.#plan.batchSize === 1 ? 'application/json' : 'application/x-ndjson';
    const { apiKey } = this.#plan;
    const authorization = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
    return new Promise((resolve, reject) => {
      const sent = request(
        `${server}/api/v1/messages`,
        {
          method: 'POST',
          agent: this.#agent,
          headers: { 'content-type': type, 'content-length': body.length, ...authorization },
          timeout: REQUEST_TIMEOUT_MS,
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.once('error', reject);
          response.once('end', () =>
            resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('latin1') }),
          );
        },
      );
      sent.once('timeout', () => sent.destroy(new Error(`no answer within ${REQUEST_TIMEOUT_MS} ms`)));
      sent.once('error', reject);
      sent.end(body);
    });
  }
}

function readAnswer(text: string): Accepted {
  const answer = JSON.parse(text) as {
    accepted?: number;
    refused?: number;
    unknown?: number;
    instances?: string[];
    items?: { instances?: string[] }[];
  };
  if (answer.items === undefined) return { accepted: 1, refused: 0, instances: answer.instances ?? [] };
  return {
    accepted: answer.accepted ?? 0,
    refused: (answer.refused ?? 0) + (answer.unknown ?? 0),
    instances: answer.items.flatMap((item) => item.instances ?? []),
  };
}

const result = await new Load(JSON.parse(process.argv[2] ?? '{}') as LoadPlan).run();
console.log(JSON.stringify(result));
