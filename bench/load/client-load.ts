/**
 * The load generator that speaks the binary protocol, a process of its own, made of the client that users have. Either
 * `callers` batches are under way at any time, or so many messages a second are offered whatever becomes of them.
 * Takes a LoadPlan and prints a LoadResult as http-load.ts does.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { DistricClient, type OutgoingMessage, type SendOutcome } from '../../client/client.ts';
import type { LoadPlan, LoadResult } from '../load-plan.ts';
import { benchMessages } from '../workload.ts';
import { Tally } from './tally.ts';

const BATCHES = 64;
const PACE_MS = 1;
/** Batches of one client that may be unanswered in open loop: what is offered beyond is refused, as by any bounded queue. */
const UNANSWERED_MAX = 500;

class Load {
  readonly #plan: LoadPlan;
  readonly #clients: readonly DistricClient[];
  readonly #prepared: readonly (readonly OutgoingMessage[])[];
  readonly #tally: Tally;
  readonly #run = Date.now().toString(36);
  #offeredBatches = 0;

  constructor(plan: LoadPlan, clients: readonly DistricClient[]) {
    this.#plan = plan;
    this.#clients = clients;
    this.#prepared = Array.from({ length: BATCHES }, (_, index) =>
      benchMessages(index * plan.batchSize, plan.batchSize, plan.matchEvery).map((text) => ({
        payload: Buffer.from(text),
      })),
    );
    this.#tally = new Tally(plan);
  }

  async run(): Promise<LoadResult> {
    const { offeredPerSecond, callers } = this.#plan;
    if (offeredPerSecond === undefined) {
      await Promise.all(Array.from({ length: callers }, (_, caller) => this.#call(caller)));
    } else await this.#offer(offeredPerSecond / this.#plan.batchSize / 1_000);
    const result = this.#tally.result();
    await Promise.all(this.#clients.map((client) => client.close()));
    return result;
  }

  async #call(caller: number): Promise<void> {
    const { messages, batchSize } = this.#plan;
    const client = this.#clientOf(caller);
    while (performance.now() < this.#tally.endMs) {
      if (messages !== undefined && this.#offeredBatches * batchSize >= messages) return;
      await this.#send(client, this.#offeredBatches++);
    }
  }

  async #offer(batchesPerMs: number): Promise<void> {
    const underWay = new Set<Promise<void>>();
    const firstMs = performance.now();
    for (let nowMs = firstMs; nowMs < this.#tally.endMs; nowMs = performance.now()) {
      for (; this.#offeredBatches < (nowMs - firstMs) * batchesPerMs; this.#offeredBatches++) {
        const client = this.#clientOf(this.#offeredBatches);
        if (client.unanswered >= UNANSWERED_MAX) {
          this.#tally.refused += this.#plan.batchSize;
          continue;
        }
        const sent = this.#send(client, this.#offeredBatches).finally(() => underWay.delete(sent));
        underWay.add(sent);
      }
      await delay(PACE_MS);
    }
    await Promise.all(underWay);
  }

  #clientOf(index: number): DistricClient {
    const client = this.#clients[index % this.#clients.length];
    if (client === undefined) throw new Error('there is a client');
    return client;
  }

  async #send(client: DistricClient, batch: number): Promise<void> {
    const messages = this.#messagesOf(batch);
    const sentMs = performance.now();
    this.#count(await client.send(messages), sentMs, performance.now());
  }

  /** Payloads come again, keys do not. */
  #messagesOf(batch: number): readonly OutgoingMessage[] {
    const { keyEvery = 0, batchSize } = this.#plan;
    const prepared = this.#prepared[batch % BATCHES] ?? [];
    if (keyEvery === 0) return prepared;
    return prepared.map((message, index) => {
      const sequence = batch * batchSize + index;
      if (sequence % keyEvery !== 0) return message;
      return { ...message, idempotencyKey: `bench-${this.#run}-${sequence}` };
    });
  }

  #count(outcomes: readonly SendOutcome[], sentMs: number, answeredMs: number): void {
    const accepted = outcomes.flatMap((outcome) => ('accepted' in outcome ? [outcome.accepted] : []));
    const [instance] = accepted.flatMap(({ instances }) => instances);
    this.#tally.answered(accepted.length, instance, sentMs, answeredMs);
    for (const outcome of outcomes) {
      if ('accepted' in outcome) continue;
      this.#tally.failed(`${outcome.error.code}: ${outcome.error.message}`);
      if (outcome.error.code === 'OUTCOME_UNKNOWN') this.#tally.errors++;
      else this.#tally.refused++;
    }
  }
}

const plan = JSON.parse(process.argv[2] ?? '{}') as LoadPlan;
const clients = await Promise.all(
  Array.from({ length: plan.connections ?? 1 }, () =>
    DistricClient.connect({
      servers: plan.servers,
      ...(plan.apiKey === undefined ? {} : { apiKey: plan.apiKey }),
    }),
  ),
);
console.log(JSON.stringify(await new Load(plan, clients).run()));
