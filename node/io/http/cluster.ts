/** `/cluster/status` and `/cluster/nodes`: who leads, who is there, how far they are. */
import type { FastifyInstance } from 'fastify';
import { API_BASE } from '../../../api/rest.ts';
import { answerQuery, type ApiContext } from './exchange.ts';
import { consistencyOf, queryOf } from './query.ts';

export function registerCluster(app: FastifyInstance, context: ApiContext): void {
  app.get(`${API_BASE}/cluster/status`, (request, reply) => {
    const query = queryOf(request, ['consistency']);
    answerQuery(context, reply, { kind: 'clusterStatus' }, consistencyOf(query));
  });
  // What gossip knows is each coordinator's own: no read of the log makes it any newer.
  app.get(`${API_BASE}/cluster/nodes`, (request, reply) => {
    queryOf(request, []);
    answerQuery(context, reply, { kind: 'nodes' }, 'stale');
  });
}
