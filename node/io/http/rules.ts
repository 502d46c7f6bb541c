/** `/rules`: the conditions that start workflows. */
import type { FastifyInstance } from 'fastify';
import { API_BASE } from '../../../api/rest.ts';
import { acceptBody } from './body.ts';
import { DOCUMENT_TYPES, readRule } from './document.ts';
import { answerCommand, answerQuery, idOf, type ApiContext } from './exchange.ts';
import { consistencyOf, forceOf, queryOf } from './query.ts';

export function registerRules(app: FastifyInstance, context: ApiContext): void {
  const path = `${API_BASE}/rules`;
  const onRequest = acceptBody(DOCUMENT_TYPES, context.limits.documentBytesMax);
  app.get(path, (request, reply) => {
    const query = queryOf(request, ['consistency']);
    answerQuery(context, reply, { kind: 'rules' }, consistencyOf(query));
  });
  app.post(path, { onRequest }, (request, reply) => {
    queryOf(request, []);
    const rule = readRule(request);
    const location = `${path}/${encodeURIComponent(rule.id)}`;
    answerCommand(context, reply, { kind: 'putRule', rule, mode: 'create' }, 201, { location });
  });
  app.get(`${path}/:id`, (request, reply) => {
    const query = queryOf(request, ['consistency']);
    answerQuery(context, reply, { kind: 'rule', id: idOf(request) }, consistencyOf(query));
  });
  app.put(`${path}/:id`, { onRequest }, (request, reply) => {
    const force = forceOf(request);
    const rule = readRule(request, idOf(request));
    answerCommand(context, reply, { kind: 'putRule', rule, mode: 'upsert', ...force }, 200);
  });
  app.delete(`${path}/:id`, (request, reply) => {
    answerCommand(context, reply, { kind: 'deleteRule', id: idOf(request), ...forceOf(request) }, 204);
  });
}
