/** `/workflow-definitions`: the workflows that rules name. */
import type { FastifyInstance } from 'fastify';
import { API_BASE } from '../../../api/rest.ts';
import { acceptBody } from './body.ts';
import { DOCUMENT_TYPES, readWorkflow } from './document.ts';
import { answerCommand, answerQuery, idOf, type ApiContext } from './exchange.ts';
import { consistencyOf, forceOf, queryOf } from './query.ts';

export function registerWorkflowDefinitions(app: FastifyInstance, context: ApiContext): void {
  const path = `${API_BASE}/workflow-definitions`;
  const onRequest = acceptBody(DOCUMENT_TYPES, context.limits.documentBytesMax);
  app.get(path, (request, reply) => {
    const query = queryOf(request, ['consistency']);
    answerQuery(context, reply, { kind: 'workflows' }, consistencyOf(query));
  });
  app.post(path, { onRequest }, (request, reply) => {
    queryOf(request, []);
    const workflow = readWorkflow(request);
    const location = `${path}/${encodeURIComponent(workflow.id)}`;
    answerCommand(context, reply, { kind: 'putWorkflow', workflow, mode: 'create' }, 201, { location });
  });
  app.get(`${path}/:id`, (request, reply) => {
    const query = queryOf(request, ['consistency']);
    answerQuery(context, reply, { kind: 'workflow', id: idOf(request) }, consistencyOf(query));
  });
  app.put(`${path}/:id`, { onRequest }, (request, reply) => {
    const force = forceOf(request);
    const workflow = readWorkflow(request, idOf(request));
    answerCommand(context, reply, { kind: 'putWorkflow', workflow, mode: 'upsert', ...force }, 200);
  });
  app.delete(`${path}/:id`, (request, reply) => {
    answerCommand(context, reply, { kind: 'deleteWorkflow', id: idOf(request), ...forceOf(request) }, 204);
  });
}
