/** One way to answer for every resource: headers, deadlines and the shutdown note are decided here only. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { assert } from '../../../base/assert.ts';
import { DistricError } from '../../../base/errors.ts';
import type { Command, Consistency, Gateway, Query } from '../../requests.ts';
import { RETRY_AFTER_S, type ApiLimits, type ApiTimeouts } from './limits.ts';
import { PROBLEM_TYPE, problemOf } from './problem.ts';

export const JSON_TYPE = 'application/json; charset=utf-8';

/** What the resources share. */
export interface ApiContext {
  readonly gateway: Gateway;
  readonly limits: ApiLimits;
  readonly timeouts: ApiTimeouts;
  /** True once close() was called: answers then ask the client to leave. */
  closing: boolean;
}

export function respond(context: ApiContext, reply: FastifyReply, status: number, json: string): void {
  if (context.closing) reply.header('connection', 'close');
  reply.code(status).header('content-type', JSON_TYPE).send(json);
}

export function respondEmpty(context: ApiContext, reply: FastifyReply, status: number): void {
  if (context.closing) reply.header('connection', 'close');
  reply.code(status).send();
}

export function respondProblem(context: ApiContext, reply: FastifyReply, error: DistricError): void {
  if (context.closing) reply.header('connection', 'close');
  if (error.retryable && error.status !== 504 && !reply.hasHeader('retry-after'))
    reply.header('retry-after', String(error.retryAfterS ?? RETRY_AFTER_S));
  reply
    .code(error.status)
    .header('content-type', PROBLEM_TYPE)
    .send(JSON.stringify(problemOf(error)));
}

/** Guards one call of the gateway: it answers once, and if it takes too long the client hears so. */
export class PendingAnswer {
  readonly #timer: NodeJS.Timeout;
  #settled = false;
  #late = false;

  constructor(context: ApiContext, reply: FastifyReply) {
    this.#timer = setTimeout(() => {
      this.#late = true;
      if (reply.sent) return;
      const seconds = context.timeouts.answerMs / 1000;
      respondProblem(
        context,
        reply,
        new DistricError('OUTCOME_UNKNOWN', `no answer from the cluster within ${seconds} s: the outcome is unknown`),
      );
    }, context.timeouts.answerMs);
    // A gateway that throws never settles; that must not hold up the end of the process.
    this.#timer.unref();
  }

  /** True when the caller may answer; false when the deadline has done so. */
  settle(): boolean {
    assert(!this.#settled, 'the gateway answers a request once');
    this.#settled = true;
    clearTimeout(this.#timer);
    return !this.#late;
  }
}

export function answerQuery(context: ApiContext, reply: FastifyReply, query: Query, consistency: Consistency): void {
  const pending = new PendingAnswer(context, reply);
  context.gateway.query(query, consistency, (outcome) => {
    if (!pending.settle()) return;
    if ('error' in outcome) {
      respondProblem(context, reply, outcome.error);
      return;
    }
    reply.header('distric-applied-index', String(outcome.appliedIndex)).header('distric-consistency', consistency);
    respond(context, reply, 200, JSON.stringify(outcome.result));
  });
}

interface CommandAnswer {
  /** Names the resource made. */
  location?: string;
  /** Told beside the resource, and kept nowhere. */
  extra?: Record<string, string>;
}

/** `status` 204 answers without a body. */
export function answerCommand(
  context: ApiContext,
  reply: FastifyReply,
  command: Command,
  status: 200 | 201 | 204,
  { location, extra }: CommandAnswer = {},
): void {
  const pending = new PendingAnswer(context, reply);
  context.gateway.command(command, reply.request.actor, (outcome) => {
    if (!pending.settle()) return;
    if ('error' in outcome) {
      respondProblem(context, reply, outcome.error);
      return;
    }
    if (location !== undefined) reply.header('location', location);
    if (status === 204) respondEmpty(context, reply, 204);
    else respond(context, reply, status, JSON.stringify(withExtra(outcome.result ?? null, extra)));
  });
}

function withExtra(result: unknown, extra: Record<string, string> | undefined): unknown {
  return extra === undefined || typeof result !== 'object' ? result : { ...result, ...extra };
}

/** The `{id}` of the path, percent-decoded. Control characters are in no id, and keys of the store separate by them. */
export function idOf(request: FastifyRequest): string {
  const { id } = request.params as { id: string };
  if (id === '') throw new DistricError('NOT_FOUND', 'no such path: the id is missing');
  for (let i = 0; i < id.length; i++) {
    const code = id.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) {
      throw new DistricError('INVALID_REQUEST', 'the id in the path has a control character', [
        { field: 'id', reason: 'control character' },
      ]);
    }
  }
  return id;
}
