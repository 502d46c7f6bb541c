/** `/workers`: who executes tasks, and orders that one gets nothing more. */
import type { FastifyInstance } from 'fastify';
import { parseJson } from '../../../api/json.ts';
import { API_BASE } from '../../../api/rest.ts';
import { parseDrainRequest } from '../../../api/workers.ts';
import { acceptBody, bodyOf } from './body.ts';
import { answerCommand, answerQuery, type ApiContext, idOf } from './exchange.ts';
import { consistencyOf, queryOf } from './query.ts';

const DRAIN_REQUEST_BYTES_MAX = 1024;

export function registerWorkers(app: FastifyInstance, context: ApiContext): void {
  const path = `${API_BASE}/workers`;
  const onRequest = acceptBody(['application/json'], DRAIN_REQUEST_BYTES_MAX);
  app.get(path, (request, reply) => {
    const query = queryOf(request, ['consistency']);
    answerQuery(context, reply, { kind: 'workers' }, consistencyOf(query));
  });
  app.get(`${path}/:id`, (request, reply) => {
    const query = queryOf(request, ['consistency']);
    answerQuery(context, reply, { kind: 'worker', id: idOf(request) }, consistencyOf(query));
  });
  app.post(`${path}/:id/drain`, { onRequest }, (request, reply) => {
    queryOf(request, []);
    const body = bodyOf(request);
    const graceMs = parseDrainRequest(body.length === 0 ? {} : parseJson(body.toString('utf8')));
    answerCommand(context, reply, { kind: 'orderDrain', workerId: idOf(request), graceMs }, 200);
  });
  app.post(`${path}/:id/undrain`, { onRequest }, (request, reply) => {
    queryOf(request, []);
    answerCommand(context, reply, { kind: 'endDrain', workerId: idOf(request) }, 200);
  });
}
