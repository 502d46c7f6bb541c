/** `/cluster/members` and `/cluster/leader`: who is of the Raft group, and who leads it. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import {
  parseFounding,
  parseLeaderRequest,
  parseMemberIds,
  parseNewMember,
  parseReplacement,
} from '../../../api/members.ts';
import { parseJson } from '../../../api/json.ts';
import { API_BASE } from '../../../api/rest.ts';
import type { Command } from '../../requests.ts';
import { acceptBody, bodyOf } from './body.ts';
import { answerCommand, answerQuery, type ApiContext, idOf } from './exchange.ts';
import { consistencyOf, queryOf } from './query.ts';

const MEMBER_REQUEST_BYTES_MAX = 4 * 1024;

type Change = Extract<Command, { kind: 'changeMembers' }>['change'];

function readBody(request: FastifyRequest): unknown {
  const body = bodyOf(request);
  return body.length === 0 ? {} : parseJson(body.toString('utf8'));
}

function httpOf({ http_address: httpAddress }: { http_address?: string }): { httpAddress?: string } {
  return httpAddress === undefined ? {} : { httpAddress };
}

function addressesOf(body: { address?: string; http_address?: string }): { address?: string; httpAddress?: string } {
  const { address } = body;
  return { ...(address === undefined ? {} : { address }), ...httpOf(body) };
}

function replacementOf(id: string, input: unknown): Change {
  const body = parseReplacement(input);
  if (body.with !== undefined) return { kind: 'replace', out: id, in: body.with };
  return { kind: 'renew', id, ...addressesOf(body) };
}

export function registerMembers(app: FastifyInstance, context: ApiContext): void {
  const path = `${API_BASE}/cluster/members`;
  const onRequest = acceptBody(['application/json'], MEMBER_REQUEST_BYTES_MAX);
  const change = (request: FastifyRequest, reply: FastifyReply, toMake: Change, status: 200 | 201 = 200): void => {
    queryOf(request, []);
    answerCommand(context, reply, { kind: 'changeMembers', change: toMake }, status);
  };
  app.get(path, (request, reply) => {
    const query = queryOf(request, ['consistency']);
    answerQuery(context, reply, { kind: 'members' }, consistencyOf(query));
  });
  app.post(path, { onRequest }, (request, reply) => {
    const member = parseNewMember(readBody(request));
    change(request, reply, { kind: 'addLearner', id: member.id, ...addressesOf(member) }, 201);
  });
  app.post(`${path}/promote`, { onRequest }, (request, reply) => {
    change(request, reply, { kind: 'promote', ids: parseMemberIds(readBody(request)) });
  });
  app.post(`${path}/remove`, { onRequest }, (request, reply) => {
    change(request, reply, { kind: 'remove', ids: parseMemberIds(readBody(request)) });
  });
  app.post(`${path}/:id/promote`, { onRequest }, (request, reply) => {
    change(request, reply, { kind: 'promote', ids: [idOf(request)] });
  });
  app.post(`${path}/:id/replace`, { onRequest }, (request, reply) => {
    change(request, reply, replacementOf(idOf(request), readBody(request)));
  });
  app.delete(`${path}/:id`, (request, reply) => {
    change(request, reply, { kind: 'remove', ids: [idOf(request)] });
  });
  app.post(`${API_BASE}/cluster/bootstrap`, { onRequest }, (request, reply) => {
    queryOf(request, []);
    const {
      cluster_id: clusterId,
      data_uuid: dataUuid,
      min_voters: minVotersForWrites = 1,
      ...rest
    } = parseFounding(readBody(request));
    const founding = { clusterId, dataUuid, minVotersForWrites, address: rest.address, ...httpOf(rest) };
    answerCommand(context, reply, { kind: 'foundCluster', ...founding }, 204);
  });
  app.post(`${API_BASE}/cluster/leader`, { onRequest }, (request, reply) => {
    queryOf(request, []);
    const { target = '' } = parseLeaderRequest(readBody(request));
    answerCommand(context, reply, { kind: 'transferLeadership', target }, 200);
  });
}
