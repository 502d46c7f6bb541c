/** `/workflows`: instances, that is runs of workflows; `/instances` is an alias. */
import type { FastifyInstance } from 'fastify';
import { API_BASE } from '../../../api/rest.ts';
import type { Query } from '../../requests.ts';
import { acceptBody } from './body.ts';
import { answerCommand, answerQuery, idOf, type ApiContext } from './exchange.ts';
import { consistencyOf, filterOf, pageOf, queryOf, statusOf } from './query.ts';

function instancesQuery(query: ReadonlyMap<string, string>): Query {
  const status = statusOf(query);
  const workflow = filterOf(query, 'workflow');
  const message = filterOf(query, 'message');
  return {
    kind: 'instances',
    page: pageOf(query),
    ...(status === undefined ? {} : { status }),
    ...(workflow === undefined ? {} : { workflow }),
    ...(message === undefined ? {} : { message }),
  };
}

export function registerInstances(app: FastifyInstance, context: ApiContext): void {
  const onRequest = acceptBody(['application/json'], context.limits.documentBytesMax);
  for (const path of [`${API_BASE}/workflows`, `${API_BASE}/instances`]) {
    app.get(path, (request, reply) => {
      const query = queryOf(request, ['status', 'workflow', 'message', 'limit', 'cursor', 'consistency']);
      answerQuery(context, reply, instancesQuery(query), consistencyOf(query));
    });
    app.get(`${path}/:id`, (request, reply) => {
      const query = queryOf(request, ['consistency']);
      answerQuery(context, reply, { kind: 'instance', id: idOf(request) }, consistencyOf(query));
    });
    app.post(`${path}/:id/cancel`, { onRequest }, (request, reply) => {
      queryOf(request, []);
      answerCommand(context, reply, { kind: 'cancelInstance', id: idOf(request) }, 200);
    });
  }
}
