/**
 * Clients that put, read and delete the same few rules side by side, and write down when each call was made and what
 * came back when: a history for the linearizability checker (base/linearizability.ts).
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../base/random.ts';
import type { Operation } from '../base/linearizability.ts';
import type { RuleInput, RuleOutput } from '../api/models.ts';
import { call, neverSent } from './rest-call.ts';

type Call = Operation<RuleInput, RuleOutput>;

export class RuleClient {
  /** By rule id. What was refused kept nothing, and is no part of it. */
  readonly history = new Map<string, Call[]>();
  readonly #servers: readonly string[];
  readonly #random: Random;
  readonly #workflow: string;
  readonly #loops: Promise<void>[];
  #version = 0;
  #stopped = false;

  /** The rules match nothing; `workflow` must be there. */
  constructor(servers: readonly string[], random: Random, workflow: string, ids: readonly string[], loops: number) {
    this.#servers = servers;
    this.#random = random;
    this.#workflow = workflow;
    for (const id of ids) this.history.set(id, []);
    this.#loops = Array.from({ length: loops }, () => this.#run(ids));
  }

  async finish(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#loops);
  }

  async #run(ids: readonly string[]): Promise<void> {
    while (!this.#stopped) {
      const id = this.#random.pick(ids);
      const fate = this.#random.fraction();
      if (fate < 0.15) await this.#call(id, { kind: 'put', version: ++this.#version });
      else if (fate < 0.2) await this.#call(id, { kind: 'delete' });
      else await this.#call(id, { kind: 'get' });
      await delay(this.#random.integer(0, 150));
    }
  }

  async #call(id: string, input: RuleInput): Promise<void> {
    const calls = this.history.get(id) ?? [];
    const record: Call = { input, calledAt: performance.now() };
    calls.push(record);
    const drop = (): void => void calls.splice(calls.indexOf(record), 1);
    const server = this.#random.pick(this.#servers);
    try {
      const { status, body } = await call<{ version?: number }>(server, METHODS[input.kind], `/rules/${id}`, {
        ...(input.kind === 'put' ? { body: JSON.stringify(this.#rule(id, input.version)) } : {}),
      });
      const at = performance.now();
      if (status === 404) record.returned = { at, output: 'not found' };
      else if (status < 300) record.returned = { at, output: { version: status === 204 ? 0 : (body.version ?? 0) } };
      // A read without an answer says nothing; a change without one may come to pass yet.
      else if (input.kind === 'get' || status !== 504) drop();
    } catch (error) {
      if (input.kind === 'get' || neverSent(error)) drop();
    }
  }

  #rule(id: string, version: number): unknown {
    const conditions = { field: 'event_type', op: 'equals', value: 'never' };
    return { id, version, conditions, actions: [{ workflow: this.#workflow }] };
  }
}

const METHODS = { put: 'PUT', delete: 'DELETE', get: 'GET' } as const;
