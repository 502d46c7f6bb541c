/** `/join`: how a node without a certificate gets one. Open to everybody; the token is what lets a node in. */
import type { FastifyInstance } from 'fastify';
import { API_BASE } from '../../../api/rest.ts';
import { parseJson } from '../../../api/json.ts';
import { DistricError } from '../../../base/errors.ts';
import { acceptBody, bodyOf } from './body.ts';
import { respond, type ApiContext } from './exchange.ts';
import { queryOf } from './query.ts';

/** Who decides; PEM in and out. */
export interface JoinGate {
  authorities(): string;
  /** Rejects with a DistricError. */
  admit(token: string, request: string, nowMs: number): Promise<{ certificate: string; authorities: string }>;
}

/** A token and a certificate request are far below. */
const JOIN_BYTES_MAX = 32 * 1024;
/** Each costs a signature. */
const JOINS_UNDER_WAY_MAX = 16;

export function registerJoin(app: FastifyInstance, context: ApiContext, gate: JoinGate): void {
  const path = `${API_BASE}/join`;
  let underWay = 0;
  app.get(`${path}/authorities`, (request, reply) => {
    queryOf(request, []);
    respond(context, reply, 200, JSON.stringify({ authorities: gate.authorities() }));
  });
  app.post(path, { onRequest: acceptBody(['application/json'], JOIN_BYTES_MAX) }, async (request, reply) => {
    queryOf(request, []);
    const { token, request: certificateRequest } = joinRequestOf(parseJson(bodyOf(request).toString('utf8')));
    if (underWay >= JOINS_UNDER_WAY_MAX) throw new DistricError('QUEUE_FULL', 'too many nodes are joining: try again');
    underWay++;
    try {
      const { certificate, authorities } = await gate.admit(token, certificateRequest, Date.now());
      respond(context, reply, 200, JSON.stringify({ certificate, authorities }));
    } finally {
      underWay--;
    }
    return reply;
  });
}

function joinRequestOf(value: unknown): { token: string; request: string } {
  if (typeof value === 'object' && value !== null && 'token' in value && 'request' in value) {
    const { token, request } = value;
    if (typeof token === 'string' && typeof request === 'string') return { token, request };
  }
  const reason = 'must be an object with the texts "token" and "request" (a PEM certificate request)';
  throw new DistricError('INVALID_REQUEST', `the body ${reason}`, [{ field: 'body', reason }]);
}
