/** `/messages`: events in, and what became of them. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { API_BASE } from '../../../api/rest.ts';
import { assert } from '../../../base/assert.ts';
import { DistricError } from '../../../base/errors.ts';
import { scopeOf } from '../../idempotency-scope.ts';
import type { IncomingItem } from '../../requests.ts';
import { acceptBody, bodyOf } from './body.ts';
import { answerQuery, idOf, PendingAnswer, respond, respondProblem, type ApiContext } from './exchange.ts';
import { readArray, readLines, readSingle, type Batch } from './ingest.ts';
import { envelopeOf, idempotencyKeyOf } from './kept-headers.ts';
import { RETRY_AFTER_S } from './limits.ts';
import { acceptedText, batchAnswer } from './outcome.ts';
import { consistencyOf, pageOf, queryOf } from './query.ts';
import { startsArray } from './split.ts';

function isLines(request: FastifyRequest): boolean {
  return request.headers['content-type']?.toLowerCase().startsWith('application/x-ndjson') === true;
}

function postMessages(context: ApiContext, request: FastifyRequest, reply: FastifyReply): void {
  queryOf(request, []);
  const body = bodyOf(request);
  if (body.length === 0) {
    throw new DistricError('INVALID_JSON', 'the body is empty', [{ field: 'body', reason: 'empty' }]);
  }
  const envelope = envelopeOf(request.headers, context.limits);
  const key = idempotencyKeyOf(request.headers);
  const scope = scopeOf(request.actor, envelope.source);
  const lines = isLines(request);
  if (!lines && !startsArray(body)) {
    const item = readSingle(body, context.limits, envelope);
    if (key !== undefined) item.idempotencyKey = key;
    submitSingle(context, reply, item, scope);
    return;
  }
  if (key !== undefined) {
    const reason = 'names one message, so it cannot go with an array or NDJSON: send that message on its own';
    throw new DistricError('INVALID_REQUEST', `header Idempotency-Key ${reason}`, [
      { field: 'Idempotency-Key', reason },
    ]);
  }
  const batch = lines ? readLines(body, context.limits, envelope) : readArray(body, context.limits, envelope);
  submitBatch(context, reply, batch, scope);
}

function submitSingle(context: ApiContext, reply: FastifyReply, item: IncomingItem, scope: string): void {
  const pending = new PendingAnswer(context, reply);
  context.gateway.submit([item], scope, (outcomes) => {
    if (!pending.settle()) return;
    const outcome = outcomes[0];
    assert(outcome !== undefined && outcomes.length === 1, 'each item has one outcome');
    if ('accepted' in outcome) respond(context, reply, 202, acceptedText(outcome.accepted));
    else respondProblem(context, reply, outcome.error);
  });
}

function submitBatch(context: ApiContext, reply: FastifyReply, batch: Batch, scope: string): void {
  const { items, refused, total } = batch;
  const answer = (outcomes: Parameters<typeof batchAnswer>[0]): void => {
    assert(outcomes.length + refused.length === total, 'each item has one outcome');
    const { status, text, retryable } = batchAnswer(outcomes, refused);
    if (retryable && status !== 504) reply.header('retry-after', String(RETRY_AFTER_S));
    respond(context, reply, status, text);
  };
  if (items.length === 0) {
    answer([]);
    return;
  }
  const pending = new PendingAnswer(context, reply);
  context.gateway.submit(items, scope, (outcomes) => {
    if (pending.settle()) answer(outcomes);
  });
}

export function registerMessages(app: FastifyInstance, context: ApiContext): void {
  const path = `${API_BASE}/messages`;
  const onRequest = acceptBody(['application/json', 'application/x-ndjson'], context.limits.requestBytesMax);
  app.post(path, { onRequest }, (request, reply) => {
    postMessages(context, request, reply);
  });
  app.get(path, (request, reply) => {
    const query = queryOf(request, ['limit', 'cursor', 'consistency']);
    answerQuery(context, reply, { kind: 'messages', page: pageOf(query) }, consistencyOf(query));
  });
  app.get(`${path}/:id`, (request, reply) => {
    const query = queryOf(request, ['consistency']);
    answerQuery(context, reply, { kind: 'message', id: idOf(request) }, consistencyOf(query));
  });
}
