/** `/audit`: who changed what. */
import type { FastifyInstance } from 'fastify';
import { API_BASE } from '../../../api/rest.ts';
import { answerQuery, type ApiContext } from './exchange.ts';
import { consistencyOf, filterOf, pageOf, queryOf } from './query.ts';

export function registerAudit(app: FastifyInstance, context: ApiContext): void {
  app.get(`${API_BASE}/audit`, (request, reply) => {
    const query = queryOf(request, ['limit', 'cursor', 'actor', 'action', 'consistency']);
    const actor = filterOf(query, 'actor');
    const action = filterOf(query, 'action');
    const filters = { ...(actor === undefined ? {} : { actor }), ...(action === undefined ? {} : { action }) };
    answerQuery(context, reply, { kind: 'audit', page: pageOf(query), ...filters }, consistencyOf(query));
  });
}
