/**
 * The load generator, a process of its own: N callers, each with one request under way, over kept-alive connections
 * to all coordinators. Takes a LoadPlan as JSON in its only argument, prints a LoadResult as one line of JSON.
 * A message counts when its answer says accepted.
 */
import { Agent, request } from 'node:http';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { LoadPlan, LoadResult } from '../load-plan.ts';
import { benchMessages } from '../workload.ts';
import { Tally } from './tally.ts';

/** Bodies are made before the clock starts and sent in turn. */
const BODIES = 64;
const REFUSED_PAUSE_MS = 5;
const REQUEST_TIMEOUT_MS = 30_000;

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
  readonly #tally: Tally;
  #sentRequests = 0;

  constructor(plan: LoadPlan) {
    this.#plan = plan;
    this.#agent = new Agent({ keepAlive: true, maxSockets: plan.callers });
    this.#bodies = Array.from({ length: BODIES }, (_, index) => {
      const messages = benchMessages(index * plan.batchSize, plan.batchSize, plan.matchEvery);
      return Buffer.from(messages.join('\n'));
    });
    this.#tally = new Tally(plan);
  }

  async run(): Promise<LoadResult> {
    await Promise.all(Array.from({ length: this.#plan.callers }, (_, caller) => this.#call(caller)));
    this.#agent.destroy();
    return this.#tally.result();
  }

  async #call(caller: number): Promise<void> {
    const { servers, batchSize, messages } = this.#plan;
    const server = servers[caller % servers.length] ?? '';
    while (performance.now() < this.#tally.endMs) {
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
      this.#tally.errors += 1;
      this.#tally.failed(error instanceof Error ? error.message : String(error));
      await delay(REFUSED_PAUSE_MS);
    }
  }

  #count({ accepted, refused, instances }: Accepted, sentMs: number, answeredMs: number): void {
    this.#tally.refused += refused;
    this.#tally.answered(accepted, instances[0], sentMs, answeredMs);
  }

  /** 429 and 503 say that nothing was kept; a caller that is told to wait waits a little. */
  async #refuse({ status, text }: Answer): Promise<void> {
    this.#tally.failed(`${status}: ${text.slice(0, 300)}`);
    if (status === 429 || status === 503) this.#tally.refused += this.#plan.batchSize;
    else this.#tally.errors += 1;
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
